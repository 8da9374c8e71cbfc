"""Small charts of one series, drawn in braille: two dots per column."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from slm_tui.tui.charts.axes import GrowingRange, Range, StickyRange, extent
from slm_tui.tui.charts.data import Curve, Series, changed_span
from slm_tui.tui.charts.series import Points, label, labels, ticks

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column and row of a cell
_BRAILLE = 0x2800
_TARGET = "╌"
_SLACK = 0.3  # of the interval: it is drawn that much earlier rather than on its own
_CATCH_UP = 0.01  # seconds between two parts of a long series
_BESIDE_TITLE = 4  # columns of the top border that the title leaves free
_BORDERS = 2
_USUAL_VALUE = 5  # `0.342`, `7.19k`
_ROOM_FOR_LABELS = 24  # minimum width for showing the range next to the curve


def braille(points: Points, width: int, height: int, x_range: Range, y_range: Range) -> list[str]:
    """`height` strings of `width` cells with the points, joined by lines.

    The ranges are the values at the outer edges.
    """
    xs, ys = points
    cells = [[0] * width for _ in range(height)]
    if not xs or not width or not height:
        return [" " * width] * height
    before: tuple[int, int] | None = None
    for x, y in zip(xs, ys, strict=True):
        point = _place(x, *x_range, 2 * width), _row(y, y_range, 4 * height)
        for column, dot in _line(before or point, point):
            cells[dot // 4][column // 2] |= _DOTS[column % 2][dot % 4]
        before = point
    return ["".join(chr(_BRAILLE + cell) if cell else " " for cell in row) for row in cells]


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots from `start` to `end`, without a gap in any column or row."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        part = step / steps
        yield (
            round(start[0] + part * (end[0] - start[0])),
            round(start[1] + part * (end[1] - start[1])),
        )


def _row(value: float, y_range: Range, count: int) -> int:
    return count - 1 - _place(value, *y_range, count)


def _place(value: float, low: float, high: float, count: int) -> int:
    span = high / 2 - low / 2
    part = (value / 2 - low / 2) / span if span > 0 else 0.5
    return min(max(int(part * count), 0), count - 1)


class SmallChart(Widget):
    """A small chart with its name and last value in the border title, and its range on the left.

    It is redrawn at most every `min_interval` seconds: a new title repaints all of it.
    """

    DEFAULT_CSS = """
    SmallChart {
        height: 6;
        border: round $foreground 20%;
        border-title-color: $foreground 60%;
        border-subtitle-color: $foreground 60%;
        & > .smallchart--curve { color: $text-secondary; }
        & > .smallchart--label { color: $foreground 45%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"smallchart--curve", "smallchart--label"}

    def __init__(
        self,
        title: str = "",
        *,
        short_title: str = "",
        from_zero: bool = False,
        min_interval: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._short_title = short_title
        self.min_interval = min_interval
        self._title = title
        self._from_zero = from_zero
        self._target: float | None = None
        self._curve = Curve()
        self._across, self._range = GrowingRange(), StickyRange()
        self._timer: Timer | None = None
        self._drawn_at = -math.inf
        self._data: Series | None = None
        self._value = self._note = ""
        self._rows: list[str] = []
        self.border_title = Content(title)

    def show(self, xs: Sequence[float], ys: Sequence[float], target: float | None = None) -> None:
        """Show these points, and a line at `target`; the lists may be the same objects as before,
        extended."""
        self._target = target
        self._data = Series(self._title, "curve", xs, ys)
        wait = self._drawn_at + self.min_interval - time.monotonic()
        # Together with what else is repainted now: a screen is composed anew for every repaint.
        if wait <= _SLACK * self.min_interval or not self.is_attached:
            self._redraw()
        elif self._timer is None:
            self._timer = self.set_timer(wait, self._redraw)

    def fit_anew(self) -> None:
        """Choose the ranges from the points alone at the next drawing, not from earlier ones."""
        self._across, self._range = GrowingRange(), StickyRange()

    def _redraw(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        width, height = self.size
        if self._data is None or not width or not height:
            return
        gutter = self._gutter
        self._drawn_at = time.monotonic()
        limit = 2 * max(8, min(200, 2 * (width - gutter)))
        self._curve.update(self._data, 0.0, limit)
        if self._curve.is_behind:
            self._timer = self.set_timer(_CATCH_UP, self._redraw)
            return
        last = self._curve.at(None)
        value = "–" if last is None else label(last[1])
        if value != self._value:
            # Setting a border's text repaints the whole chart, even if the text is unchanged.
            self._value = value
            self._entitle()
        self._replace(self._draw(width, height, gutter))

    @property
    def note(self) -> str:
        """What the bottom border says."""
        return self._note

    @note.setter
    def note(self, text: str) -> None:
        if text != self._note:
            self._note = text
            self._entitle()

    def title_fits(self, width: int) -> bool:
        """Whether a chart that is `width` cells wide can show its name and a usual value."""
        name = min(len(one) for one in (self._title, self._short_title or self._title))
        value = max(len(self._value), _USUAL_VALUE)
        return name + 1 + value <= width - _BESIDE_TITLE - _BORDERS

    def _entitle(self) -> None:
        """Show name and value. A value that does not fit beside the name is on the bottom."""
        room = self.size.width - _BESIDE_TITLE
        value = Content(self._value)
        names = [Content(one) for one in (self._title, self._short_title) if one]
        beside = [Content(" ").join([name, value]) for name in names] if value else names
        fitting = next((one for one in beside if one.cell_length <= room), None)
        below = [self._note] if self._note else []
        if fitting is None and not self._note:
            fitting = next((one for one in names if one.cell_length <= room), None)
            below = [self._value] if fitting is not None else []
        if fitting is None:
            # Rather the beginning of the name than no value.
            name = names[-1].truncate(max(1, room - 1 - value.cell_length), ellipsis=True)
            fitting = Content(" ").join([name, value])
        self.border_title = fitting
        self.border_subtitle = Content(below[0]) if below else None

    @property
    def _gutter(self) -> int:
        return 6 if self.size.width >= _ROOM_FOR_LABELS else 0

    def _draw(self, width: int, height: int, gutter: int) -> list[str]:
        xs, ys = self._curve.points
        up = extent([ys])
        if up is None:
            return [" " * width] * height
        across = self._across.fit(xs[0], xs[-1])
        least, most = (
            (up[0], up[1]) if self._target is None else extent([[*up, self._target]]) or up
        )
        low, high = self._range.fit(min(least, 0.0) if self._from_zero else least, most)
        rows = braille((xs, ys), width - gutter, height, across, (low, high))
        if self._target is not None:
            at = _row(self._target, (low, high), height)
            rows[at] = rows[at].replace(" ", _TARGET)
        if not gutter:
            return rows
        marks = dict.fromkeys(range(height), "")
        values = ticks(low, high, max(2, height // 3 + 1))
        for value, text in zip(values, labels(values), strict=True):
            if len(text) < gutter:
                marks[_row(value, (low, high), height)] = text
        return [
            f"{marks[y]:>{gutter - 1}}{'┤' if marks[y] else '│'}{row}" for y, row in enumerate(rows)
        ]

    def _replace(self, rows: list[str]) -> None:
        old, self._rows = self._rows, rows
        if len(old) != len(rows):
            self.refresh()
            return
        for y, row in enumerate(rows):
            span = changed_span(old[y], row)
            if span:
                self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def render_line(self, y: int) -> Strip:
        width, gutter = self.size.width, self._gutter
        row = self._rows[y] if y < len(self._rows) else ""
        row = f"{row[:width]:<{width}}"
        parts = [
            Segment(row[:gutter], self._style("label")),
            Segment(row[gutter:], self._style("curve")),
        ]
        return Strip([part for part in parts if part.text], width)

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"smallchart--{part}")

    def on_resize(self) -> None:
        self._entitle()
        self._redraw()

    def on_show(self) -> None:
        self._redraw()
