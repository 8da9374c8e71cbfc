"""The line of tabs: five screens, with a dot while a run is live."""

from textual import events
from textual.content import Content
from textual.widget import Widget

from slm_tui.tui.actions import ROOM_TITLES, ROOMS, Room


class TabLine(Widget):
    """`1 Presets  2 Train●  3 Runs  4 Chat  5 Data`; a click opens the screen."""

    DEFAULT_CSS = """
    TabLine { height: 1; width: 1fr; padding: 0 1; background: $background; color: $text-muted; }
    """

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room
        self._live = False

    def show_live(self, live: bool) -> None:
        """Show or hide the dot; repaints only on a change."""
        if live != self._live:
            self._live = live
            self.refresh()

    def _labels(self) -> list[tuple[Room, str]]:
        dots: dict[Room, str] = {"train": "●"} if self._live else {}
        return [
            (room, f"{number} {ROOM_TITLES[room]}{dots.get(room, '')}")
            for number, room in enumerate(ROOMS, 1)
        ]

    def render(self) -> Content:
        current = "bold underline $text-accent"
        return Content("  ").join(
            Content.styled(label, current if room == self._room else "")
            for room, label in self._labels()
        )

    async def on_click(self, event: events.Click) -> None:
        at = 1
        for room, label in self._labels():
            if at <= event.x < at + len(label):
                await self.run_action(f"app.go_{room}")
            at += len(label) + 2
