"""The lists of the Experiments screen."""

from collections.abc import Sequence

from textual.content import Content

from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.watcher import SuiteLine, SuiteRunLine
from slm_tui.tui.screens.experiments.lines import queue_content, run_content, suite_content
from slm_tui.tui.widgets.line_list import LineList, Row


class SuiteList(LineList):
    """All suites, keyed by name, with headings of their groups."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: dict[str, SuiteLine] = {}

    def show(self, lines: Sequence[SuiteLine], select: str | None = None) -> None:
        """Show these suites."""
        self._lines = {line.name: line for line in lines}
        rows: list[Row] = []
        heading = ""
        for line in lines:
            group = line.suite.group if line.suite is not None and line.builtin else "yours"
            if group != heading:
                heading = group
                title = Content.styled(group, "bold $text-accent")
                rows.append(Row(f"#{group}", title, selectable=False))
            rows.append(Row(line.name))
        self.set_rows(rows, select=select)

    @property
    def current(self) -> SuiteLine | None:
        """The suite under the cursor."""
        return self._lines.get(self.key or "")

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        line = self._lines.get(row.key)
        return suite_content(line, width) if line is not None else row.content


class SuiteRuns(LineList):
    """The runs of a suite, in the order of its plan."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: dict[str, SuiteRunLine] = {}

    def show(self, lines: Sequence[SuiteRunLine]) -> None:
        """Show these runs."""
        self._lines = {str(at): line for at, line in enumerate(lines)}
        self.set_rows([Row(key) for key in self._lines])

    @property
    def current(self) -> SuiteRunLine | None:
        """The run under the cursor."""
        return self._lines.get(self.key or "")

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        return run_content(self._lines[row.key], width)


class QueueList(LineList):
    """The queue, keyed by number; those that train are first."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._items: dict[str, QueuedRun] = {}

    def show(self, items: Sequence[QueuedRun]) -> None:
        """Show these runs."""
        self._items = {str(item.id): item for item in items}
        self.set_rows([Row(key) for key in self._items])

    @property
    def current(self) -> QueuedRun | None:
        """The run under the cursor."""
        return self._items.get(self.key or "")

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        return queue_content(self._items[row.key], width)
