"""The command palette: the actions of all screens, commands, settings, and what screens add."""

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, cast

from textual.app import SystemCommand
from textual.await_complete import AwaitComplete
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from slm_tui.text import one_line
from slm_tui.tui import actions, search_words
from slm_tui.tui.actions import ROOM_TITLES, ROOMS, Action, Room
from slm_tui.tui.base import PaletteEntry, RoomScreen
from slm_tui.tui.keymap import first_shown, shown
from slm_tui.tui.relevance import relevance

# What belongs to another screen comes after what works here, if both fit equally well.
_ELSEWHERE = 0.93
# The most that an entry gets of which only the letters fit, less than for any word.
_LETTERS_ONLY = 0.2
_NOT_AN_ENTRY = ("palette", "back")


class PaletteHost(Protocol):
    """What the palette uses of the app."""

    keys: dict[str, str]
    palette_sources: list[Callable[[], Iterable[PaletteEntry]]]

    @property
    def screen(self) -> Screen[Any]:
        """The screen that is shown."""
        ...

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Commands of the whole app."""
        ...

    def run_action(self, action: str, default_namespace: Any) -> Awaitable[bool]:
        """Run an action."""
        ...

    def go(self, room: Room) -> AwaitComplete:
        """Show one of the five screens; await the result to know that it is shown."""
        ...

    def open_experiments(self, suite: str = "", *, start: bool = False) -> None:
        """Show the Experiments screen."""
        ...

    def notify(self, message: str, *, title: str = "", markup: bool = True) -> None:
        """Show a message for a moment."""
        ...


class PaletteProvider(Provider):
    """Offers actions with their keys, then commands, settings, presets, runs and checkpoints."""

    @functools.cached_property
    def entries(self) -> list[PaletteEntry]:
        """All entries; read once, since the palette asks again at every key."""
        return list(self._entries())

    def _entries(self) -> Iterator[PaletteEntry]:
        app = cast(PaletteHost, self.app)
        room = self.screen
        here: list[Action] = []
        if isinstance(room, RoomScreen):
            here = actions.offered(type(room), room.ROOM)
            for one in here:
                yield _here(app, one, room)
        everywhere = actions.offered(type(self.app), "all")
        for one in everywhere:
            if one.name not in _NOT_AN_ENTRY:
                yield _here(app, one, None)
        for title, help, callback, _ in app.get_system_commands(room):
            words = search_words.OF_COMMANDS.get(title, ())
            yield PaletteEntry(title, help, callback, words)
        for source in app.palette_sources:
            yield from source()
        for one in actions.ACTIONS:
            if one not in here and one not in everywhere:
                yield _elsewhere(app, one)

    async def discover(self) -> Hits:
        for entry in self.entries:
            title = one_line(entry.title)
            yield DiscoveryHit(Content(title), entry.run, text=title, help=one_line(entry.help))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self.entries:
            title, help = one_line(entry.title), one_line(entry.help)
            score = relevance(query, title.partition("  (")[0], entry.words, help) * entry.weight
            # Some letters of a name, in their order, are enough to find it.
            letters = matcher.match(title)
            score = max(score, _LETTERS_ONLY * letters / (1 + letters))
            if score > 0:
                yield Hit(score, Content(title), entry.run, text=title, help=help)


def _here(app: PaletteHost, action: Action, room: RoomScreen | None) -> PaletteEntry:
    """An action of the current screen or of the whole app, which is done at once."""
    target = f"screen.{action.name}" if room else f"app.{action.name}"
    return PaletteEntry(
        f"{action.label}  ({_keys(app, action)})",
        action.help,
        lambda: app.run_action(target, room),
        search_words.OF_ACTIONS.get(action.id, ()),
    )


def _elsewhere(app: PaletteHost, action: Action) -> PaletteEntry:
    """An action of another screen: choosing it opens that screen and says which key it is.

    It is not done there and then: many act on the row under the cursor, which the user has not
    seen yet.
    """
    where = "other screens" if action.screen == "all" else ROOM_TITLES[_room_of(action)]
    return PaletteEntry(
        f"{action.label}  ({_keys(app, action)} on {where})",
        action.help,
        functools.partial(_show_elsewhere, app, action),
        search_words.OF_ACTIONS.get(action.id, ()),
        weight=_ELSEWHERE,
    )


async def _show_elsewhere(app: PaletteHost, action: Action) -> None:
    """Open the screen of `action` and say which key does it there."""
    room = _room_of(action)
    if room == "experiments":
        app.open_experiments()
    elif room in ROOMS:
        await app.go(room)
    keys = app.keys[action.id].split(",")
    typing = isinstance(app.screen.focused, Input)
    key = first_shown(keys, typing=typing)
    press = f"Press {key}" if key is not None else f"Press esc, then {first_shown(keys)}"
    if action.screen == "all":
        text = f"{action.help}: {shown(keys[0])} does nothing on this screen."
    else:
        text = f"{press}: {action.help[0].lower()}{action.help[1:]}."
    title = "" if action.screen == "all" else ROOM_TITLES[room]
    app.notify(text, title=title, markup=False)


def _room_of(action: Action) -> Room:
    """The screen to show for an action: that of its own, or Train for what charts do."""
    return "train" if action.screen == "chart" else action.screen


def _keys(app: PaletteHost, action: Action) -> str:
    return " ".join(shown(key) for key in app.keys[action.id].split(","))
