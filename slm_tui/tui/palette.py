"""The command palette: all available actions, plus entries from the screens."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, cast

from textual.app import SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen

from slm_tui.text import one_line
from slm_tui.tui import actions
from slm_tui.tui.base import PaletteEntry, RoomScreen
from slm_tui.tui.keymap import shown


class PaletteHost(Protocol):
    """What the palette uses of the app."""

    keys: dict[str, str]
    palette_sources: list[Callable[[], Iterable[PaletteEntry]]]

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Commands of the whole app."""
        ...

    def run_action(self, action: str, default_namespace: Any) -> Awaitable[bool]:
        """Run an action."""
        ...


class PaletteProvider(Provider):
    """Offers actions with their keys, then presets, runs and checkpoints."""

    def _entries(self) -> Iterator[PaletteEntry]:
        app = cast(PaletteHost, self.app)
        room = self.screen
        if isinstance(room, RoomScreen):
            for one in actions.offered(type(room), room.ROOM):
                yield self._of_action(app, one, room)
        for one in actions.offered(type(self.app), "all"):
            if one.name not in ("palette", "back"):
                yield self._of_action(app, one, None)
        for title, help, callback, _ in app.get_system_commands(room):
            yield PaletteEntry(title, help, callback)
        for source in app.palette_sources:
            yield from source()

    def _of_action(
        self, app: PaletteHost, action: actions.Action, room: RoomScreen | None
    ) -> PaletteEntry:
        keys = " ".join(shown(key) for key in app.keys[action.id].split(","))
        target = f"screen.{action.name}" if room else f"app.{action.name}"
        return PaletteEntry(
            f"{action.label}  ({keys})", action.help, lambda: app.run_action(target, room)
        )

    async def discover(self) -> Hits:
        for entry in self._entries():
            title = one_line(entry.title)
            yield DiscoveryHit(Content(title), entry.run, text=title, help=one_line(entry.help))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self._entries():
            title, help = one_line(entry.title), one_line(entry.help)
            score = max(matcher.match(title), 0.6 * matcher.match(help))
            if score > 0:
                yield Hit(score, Content(title), entry.run, text=title, help=help)
