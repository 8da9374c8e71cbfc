"""The geometry of a chart: stable ranges, ticks, labels, cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slm_tui.tui.charts import series

SMALLEST_WIDTH, SMALLEST_HEIGHT = 20, 5  # below, only the curve is drawn
_HUGE = 8e307
_COLUMNS_PER_TICK = 10
_BETWEEN_LABELS = 6
_ROWS_PER_TICK = 4

Range = tuple[float, float]
Tick = tuple[float, str]


@dataclass(frozen=True)
class Axes:
    """The geometry of one drawing, in cells; ranges are logarithms (base 10) if `log_y`."""

    width: int
    height: int
    gutter: int  # columns left of the curve, for labels and the axis; 0 without axes
    top: int  # rows above the curve, kept free for the legend
    x_range: Range
    y_range: Range
    log_y: bool
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    @property
    def columns(self) -> int:
        return self.width - self.gutter

    @property
    def rows(self) -> int:
        """Rows between the top edge and the x axis, including the free rows at the top."""
        return self.height - (2 if self.gutter else 0)

    def column_of(self, x: float) -> int:
        """The plot column that contains `x`; column 0 is right of the axis."""
        low, high = self.x_range
        part = (x / 2 - low / 2) / (high / 2 - low / 2)
        return min(max(int(part * self.columns), 0), self.columns - 1)

    def x_of(self, column: int) -> float:
        """The x at the center of a plot column."""
        low, high = self.x_range
        part = (column + 0.5) / max(1, self.columns)
        return low * (1 - part) + high * part


def make_axes(
    width: int,
    height: int,
    x_range: Range,
    y_range: Range,
    *,
    log_y: bool = False,
    time: bool = False,
    top: int = 0,
) -> Axes:
    """Axes for `width` x `height` cells; a very small chart has only the curve."""
    if width < SMALLEST_WIDTH or height < SMALLEST_HEIGHT:
        return Axes(width, height, 0, 0, x_range, y_range, log_y, (), ())
    top = top if height >= SMALLEST_HEIGHT + 2 else 0
    rows = height - 2 - top
    y_ticks = _y_ticks(y_range, log_y, max(2, min(6, rows // _ROWS_PER_TICK + 1)), width // 4)
    gutter = max((len(text) for _, text in y_ticks), default=0) + 1
    x_ticks = _x_ticks(x_range, time, width - gutter)
    return Axes(width, height, gutter, top, x_range, y_range, log_y, x_ticks, y_ticks)


def _y_ticks(y_range: Range, log_y: bool, count: int, widest: int) -> tuple[Tick, ...]:
    if log_y:
        low, high = (10.0 ** min(max(value, -300), 300) for value in y_range)
        values = series.log_ticks(low, high, count)
        places = [math.log10(value) for value in values]
    else:
        values = places = series.ticks(*y_range, count)
    texts = series.labels(values)
    if any(len(text) > widest for text in texts):
        return ()
    # Labels of constant width keep the axis in its column while the range changes.
    pad = max([len(text) for text in texts] + [min(3, widest)])
    return tuple((place, text.rjust(pad)) for place, text in zip(places, texts, strict=True))


def _x_ticks(x_range: Range, time: bool, columns: int) -> tuple[Tick, ...]:
    for count in range(max(1, columns // _COLUMNS_PER_TICK), 0, -1):
        values = (series.time_ticks if time else series.ticks)(*x_range, count)
        texts = [series.time_label(value) for value in values] if time else series.labels(values)
        widest = max((len(text) for text in texts), default=0)
        if len(values) < 2 or columns // count >= widest + _BETWEEN_LABELS:
            return tuple(
                (value, text)
                for value, text in zip(values, texts, strict=True)
                if len(text) <= columns
            )
    return ()


class StickyRange:
    """A range that follows its data in jumps, so that the axis rarely changes."""

    def __init__(self, padding: float = 0.06, fill: float = 0.6) -> None:
        self._padding = padding
        self._fill = fill  # the share of the range that data must cover for it to stay
        self._range: Range | None = None

    def clear(self) -> None:
        self._range = None

    def fit(self, low: float, high: float) -> Range:
        """A range that contains [low, high] and has some width."""
        if self._range is not None:
            bottom, top = self._range
            covered = (high / 2 - low / 2) >= self._fill * (top / 2 - bottom / 2)
            if bottom <= low and high <= top and (covered or low == high):
                return self._range
        self._range = _wider(low, high, self._padding)
        return self._range


class GrowingRange:
    """The x range of a growing run: it extends by a seventh at a time."""

    def __init__(self) -> None:
        self._range: Range | None = None

    def clear(self) -> None:
        self._range = None

    def fit(self, low: float, high: float, end: float | None = None) -> Range:
        """A range that contains [low, high] and extends to `end`, or a bit further without it."""
        if 0 < low <= high / 8:
            low = 0.0
        if end is not None:
            self._range = None
            return _wider(low, max(high, end), 0.0)
        if self._range is not None:
            bottom, top = self._range
            if bottom == low and high <= top and (high / 2 - low / 2) > 0.6 * (top / 2 - low / 2):
                return self._range
        self._range = _wider(low, min(high + (high / 7 - low / 7), _HUGE), 0.0)
        return self._range


def _wider(low: float, high: float, padding: float) -> Range:
    low, high = max(low, -_HUGE), min(high, _HUGE)
    low, high = min(low, _HUGE), max(high, -_HUGE)
    room = (high - low) * padding
    # Ends with only some thousand representable numbers between them need a wider range.
    if high - low <= max(abs(low), abs(high)) * 1e-12:
        room = max(abs(low) * 0.05, 1e-300 if low or high else 1.0)
    return max(low - room, -_HUGE), min(high + room, _HUGE)


def extent(values: Sequence[Sequence[float]]) -> Range | None:
    """The minimum and maximum of several lists of finite values; None if all are empty."""
    parts = [part for part in values if part]
    if not parts:
        return None
    return min(min(part) for part in parts), max(max(part) for part in parts)


# The first part of a curve that may leave the picture, and how much of the height that must save.
_EARLY_SHARE = 0.1
_WORTHWHILE = 0.6
_FEWEST_POINTS = 12


def settled_top(curves: Sequence[tuple[Sequence[float], Sequence[float]]], top: float) -> float:
    """The upper end of the y axis: `top`, or less if only the beginning of the curves is so high.

    The first steps of a run lose more than all that follow: at full height the rest would be flat.

    Args:
        curves: xs and ys of each curve.
        top: the highest value of all.
    """
    points = [(x, y) for xs, ys in curves for x, y in zip(xs, ys, strict=True)]
    if max((len(xs) for xs, _ in curves), default=0) < _FEWEST_POINTS:
        return top
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    edge = first + (last / 2 - first / 2) * 2 * _EARLY_SHARE
    later = [y for x, y in points if x >= edge]
    low = min(y for _, y in points)
    if not later or max(later) / 2 - low / 2 >= _WORTHWHILE * (top / 2 - low / 2):
        return top
    return max(later)
