"""The lists of the Runs screen: the table with its heading, checkpoints, facts."""

from collections.abc import Sequence
from pathlib import Path

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from slm_tui.live.run_scanner import CheckpointLine, RunLine
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.data import ChartData
from slm_tui.tui.screens.runs.columns import (
    checkpoint_content,
    column_at,
    columns_for,
    heading,
    mark_content,
)
from slm_tui.tui.widgets.line_list import LineList, Row


class RunsTable(LineList):
    """All runs. `selected` are the runs in the overlay."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.lines: dict[str, RunLine] = {}
        self.selected: list[Path] = []

    def show(self, lines: Sequence[RunLine], select: str | None = None) -> None:
        """Show these runs, keyed by their path."""
        self.lines = {str(line.path): line for line in lines}
        self.set_rows([Row(key) for key in self.lines], select=select)

    @property
    def current(self) -> RunLine | None:
        return self.lines.get(self.key or "")

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        line = self.lines[row.key]
        chosen = line.path in self.selected
        sign = Content.styled("✓ " if chosen else "  ", "bold $text-accent")
        cells = []
        for column, wide in columns_for(width):
            cell = column.cell(line).truncate(wide, ellipsis=True)
            gap = Content(" " * (wide - cell.cell_length))
            cells.append(Content.assemble(*((gap, cell) if column.right else (cell, gap))))
        pin = ("▴", "bold $text-accent") if line.is_pinned else " "
        return Content.assemble(sign, mark_content(line.mark), pin, Content(" ").join(cells))


class CheckpointList(LineList):
    """The checkpoints of the focused run, newest first."""

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.checkpoints: dict[str, CheckpointLine] = {}
        # Where `show` put the cursor; if it is elsewhere, the user moved it.
        self._put: str | None = None

    def show(self, lines: Sequence[CheckpointLine], *, reset: bool) -> None:
        """Show these. `reset` puts the cursor on the best one, or else the newest; it stays
        there while a run saves more, until the user moves it."""
        follows = reset or self.key is None or self.key == self._put
        self.checkpoints = {str(line.path): line for line in lines}
        best = next((str(line.path) for line in lines if line.is_best), None)
        first = str(lines[0].path) if lines else None
        self._put = (best or first) if follows else None
        self.set_rows([Row(key) for key in self.checkpoints], select=self._put)

    @property
    def current(self) -> CheckpointLine | None:
        return self.checkpoints.get(self.key or "")

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        return checkpoint_content(self.checkpoints[row.key])


class Heading(Widget):
    """The column titles of the table; a click sorts."""

    DEFAULT_CSS = "Heading { height: 1; width: 1fr; }"

    class Clicked(Message):
        """The column `name` was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    sort = "when"

    def render(self) -> Content:
        return heading(self._table_width, self.sort)

    @property
    def _table_width(self) -> int:
        return self.screen.query_one(RunsTable).scrollable_content_region.width

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked(column_at(self._table_width, event.x)))


class RunFacts(LineList):
    """Lines to read; the cursor is shown only while scrolling."""

    DEFAULT_CSS = "RunFacts > .line-list--cursor-blurred { background: $background; }"

    class Widened(Message):
        """The width has changed: what is shown must be wrapped anew."""

    _width = 0

    # Textual calls the handler of the base class too.
    def on_resize(self) -> None:
        if self.outer_size.width != self._width:
            self._width = self.outer_size.width
            self.post_message(self.Widened())


_SMOOTHINGS = (0.0, 0.5, 0.8)


class Overlay(Chart):
    """The chart of the compared runs; its series change with every cursor move."""

    def on_mount(self) -> None:
        # Curves of evaluations have few points.
        self.smoothing = _SMOOTHINGS[0]

    def smooth_more(self) -> None:
        """Go to the next level of smoothing; after the last one, to none."""
        levels = _SMOOTHINGS
        at = levels.index(self.smoothing) if self.smoothing in levels else 0
        self.smoothing = levels[(at + 1) % len(levels)]

    def show(self, data: ChartData, *, with_next: bool = False) -> None:
        super().show(data, with_next=with_next)
        # A drawing of the previous series may still arrive; the legend is for the current ones.
        self._update_curves()
