"""The help screen: the keys of the current screen, then those that work everywhere."""

from collections.abc import Callable

from textual.app import ComposeResult
from textual.content import Content

from slm_tui.tui import actions
from slm_tui.tui.actions import ROOM_TITLES, Action, Room
from slm_tui.tui.dialogs import TextDialog
from slm_tui.tui.keymap import shown
from slm_tui.tui.theme import MUTED


class HelpScreen(TextDialog):
    """Keys, what they do, and their action names in the keymap file."""

    def __init__(
        self,
        room: Room,
        here: list[Action],
        keys: dict[str, str],
        above: Callable[[int], list[Content]] = lambda width: [],
    ) -> None:
        self._room, self._here, self._keys, self._above = room, here, keys, above
        super().__init__("Help", [])

    def compose_box(self) -> ComposeResult:
        columns = self.app.size.width
        above = self._above(max(20, min(100, int(columns * 0.96)) - 6))
        self.lines = [*above, *self._all_lines(named=columns >= 100)]
        yield from super().compose_box()

    def _all_lines(self, *, named: bool) -> list[Content]:
        room, keys = self._room, self._keys
        own = [one for one in self._here if one.screen == room]
        everywhere = [one for one in actions.ACTIONS if one.screen == "all"]
        lines = [_heading(ROOM_TITLES[room]), *_lines(own, keys, named)] if own else []
        if room in actions.CHART_ROOMS:
            of_charts = [one for one in actions.ACTIONS if one.screen == "chart"]
            lines += [_heading(ROOM_TITLES["chart"]), *_lines(of_charts, keys, named)]
        lines += [_heading(ROOM_TITLES["all"]), *_lines(everywhere, keys, named), Content("")]
        lines.append(Content.styled("Arrows, page up/down, home, end and tab move around.", MUTED))
        lines.append(
            Content.styled("To change keys, edit keymap.toml in the config directory.", MUTED)
        )
        return lines


def _heading(title: str) -> Content:
    return Content.styled(title, "bold $text-accent")


def _lines(which: list[Action], keys: dict[str, str], named: bool) -> list[Content]:
    return [
        Content.assemble(
            ("  " + " ".join(shown(key) for key in keys[one.id].split(",")).ljust(12), "bold"),
            one.help.ljust(56),
            ("  " + one.id if named else "", MUTED),
        )
        for one in which
    ]
