"""The data of a chart, and its downsampled state between two drawings."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slm_tui.tui.charts.axes import Axes
from slm_tui.tui.charts.series import Points, Smoother, ThinnedSeries, pack

Run = tuple[str, str]  # text, role
Shape = Literal["line", "dots", "points", "dashed"]

# Distinguishable without color, in the legend and in the plot.
SYMBOLS: dict[str, str] = {"line": "━", "dots": "⠕", "points": "●", "dashed": "╍"}

# The colors of the roles: of curves, marks and levels, and of the parts of a chart.
COLORS: dict[str, str] = {
    "axis": "$foreground 45%",
    "grid": "$foreground 20%",
    "raw": "$foreground 40%",
    "train": "$text-primary",
    "val": "$text-warning",
    "best": "$text-success",
    "floor": "$text-secondary",
    "mark": "$foreground 55%",
    "run-1": "$text-primary",
    "run-2": "$text-warning",
    "run-3": "$text-success",
    "run-4": "$text-error",
    "run-5": "$text-accent",
    "run-6": "$text-secondary",
    "label": "$foreground 60%",
    "value": "$foreground",
    "crosshair": "$foreground 80%",
}
# Signs of the levels and marks of a chart.
LEVEL, MARK, ABOVE = "┈", "┊", "▲"


@dataclass(frozen=True)
class Series:
    """One curve. `xs` ascend; both lists may grow in place between two calls of show().
    Names are unique within a chart.

    `role` names its color (raw, train, val, run-1 … run-6). A series with `smooth` is drawn
    as its moving average with the chart's `smoothing`.
    """

    name: str
    role: str
    xs: Sequence[float]
    ys: Sequence[float]
    shape: Shape = "line"
    smooth: bool = False


@dataclass(frozen=True)
class VerticalLine:
    """A mark at `x`: the best checkpoint (`best`) or an event (`mark`)."""

    x: float
    role: str = "best"


@dataclass(frozen=True)
class HorizontalLine:
    """A named level, such as the floor."""

    y: float
    name: str = "floor"
    role: str = "floor"


@dataclass(frozen=True)
class ChartData:
    """Everything that a chart shows. `x_end` is the end of the x axis, once known; without it
    the axis leaves some space for new points. `note` is shown on the bottom border."""

    series: Sequence[Series]
    vlines: Sequence[VerticalLine] = ()
    hlines: Sequence[HorizontalLine] = ()
    x_end: float | None = None
    note: str = ""


# Points that a curve takes in at once: a few milliseconds.
_MOST_AT_ONCE = 750


class Curve:
    """A series as drawn: smoothed and downsampled, and readable at any x."""

    def __init__(self) -> None:
        self._thinned = ThinnedSeries()
        self._smoother = Smoother(0.0)
        self._series: Series | None = None
        self._limit = 0
        self._count = 0
        self._ends: tuple[float, ...] = ()
        self.points: Points = ([], [])
        # Whether `update` left points for its next call.
        self.is_behind = False

    def update(self, series: Series, weight: float, limit: int) -> None:
        """Add what is new in `series`; start over if it is a different series.

        Of a long series only a part is added at once, so that no key waits: see `is_behind`.
        """
        weight = weight if series.smooth else 0.0
        count = min(len(series.xs), len(series.ys))
        if not self._continues(series, weight, limit, count):
            self._thinned = ThinnedSeries(limit)
            self._smoother = Smoother(weight)
            self._limit, self._count = limit, 0
        self._series = series
        whole, count = count, min(count, self._count + _MOST_AT_ONCE)
        self.is_behind = count < whole
        if count == self._count and self._count:
            return
        start, self._count = self._count, count
        xs, ys = series.xs[start:count], series.ys[start:count]
        if weight:
            self._smoother.extend(ys)
            ys = self._smoother.values[start:count]
        self._thinned.extend(xs, ys)
        self._ends = self._ends_of(series, count)
        self.points = self._thinned.points()

    def _continues(self, series: Series, weight: float, limit: int, count: int) -> bool:
        if self._series is None or limit != self._limit or count < self._count:
            return False
        if weight != self._smoother.weight:
            return False
        # Equal ends are taken to mean equal content: comparing everything would be too slow.
        return self._ends == self._ends_of(series, self._count)

    @staticmethod
    def _ends_of(series: Series, count: int) -> tuple[float, ...]:
        if not count:
            return ()
        ends = (series.xs[0], series.ys[0], series.xs[count - 1], series.ys[count - 1])
        return tuple(0.0 if math.isnan(value) else value for value in ends)

    def at(self, x: float | None) -> tuple[float, float] | None:
        """The original point nearest to `x` with a finite value; the last one for None."""
        if self._series is None or not self._count:
            return None
        xs = self._series.xs
        ys = self._smoother.values if self._smoother.weight else self._series.ys
        last = self._count - 1
        nearest = last if x is None else min(bisect_left(xs, x, 0, self._count), last)
        if x is not None and nearest and x - xs[nearest - 1] < xs[nearest] - x:
            nearest -= 1
        for index in _outwards(nearest, self._count):
            if math.isfinite(ys[index]) and math.isfinite(xs[index]):
                return xs[index], ys[index]
        return None


def _outwards(start: int, count: int) -> list[int]:
    """Indices around `start`, nearest first, at most a few hundred."""
    reach = min(count, 200)
    around = ((start - step, start + step) for step in range(reach))
    return [index for pair in around for index in dict.fromkeys(pair) if 0 <= index < count]


def make_request(axes: Axes, data: ChartData, points: Sequence[Points]) -> dict[str, Any]:
    """The request for the plot process: the axes, and `points` for each series of `data`."""
    return {
        "width": axes.width,
        "height": axes.height,
        "gutter": axes.gutter,
        "top": axes.top,
        "x_range": axes.x_range,
        "y_range": axes.y_range,
        "log_y": axes.log_y,
        "x_ticks": axes.x_ticks,
        "y_ticks": axes.y_ticks,
        "vlines": [{"x": line.x, "role": line.role} for line in data.vlines],
        "hlines": [{"y": line.y, "role": line.role} for line in data.hlines],
        "series": [
            {"role": line.role, "shape": line.shape, "xs": pack(xs), "ys": pack(ys)}
            for line, (xs, ys) in zip(data.series, points, strict=True)
        ],
        "above": [
            {"role": line.role, "x": x}
            for line, curve in zip(data.series, points, strict=True)
            if line.shape != "dots" and (x := _entry(curve, axes)) is not None
        ],
    }


def _entry(points: Points, axes: Axes) -> float | None:
    """The x at which a curve that begins above the picture comes into it; `None` if it does not
    begin there."""
    xs, ys = points
    top = 10 ** min(axes.y_range[1], 300.0) if axes.log_y else axes.y_range[1]
    if not ys or ys[0] <= top:
        return None
    for (x, y), (next_x, next_y) in itertools.pairwise(zip(xs, ys, strict=True)):
        if next_y <= top:
            return x + (next_x - x) * ((y - top) / (y - next_y))
    return xs[-1]


def positive(points: Points) -> Points:
    """The points that a logarithmic axis can show."""
    positive_points = [(x, y) for x, y in zip(*points, strict=True) if y > 0]
    return [x for x, _ in positive_points], [y for _, y in positive_points]


def changed_span(old: str, new: str) -> tuple[int, int] | None:
    """Where two equally long strings differ: start and end; None if nowhere."""
    if old == new:
        return None
    size = min(len(old), len(new))
    start = next((i for i in range(size) if old[i] != new[i]), size)
    if len(old) != len(new):
        return start, max(len(old), len(new))
    end = next(i for i in range(size, 0, -1) if old[i - 1] != new[i - 1])
    return start, end


def row_span(old: Sequence[Run], new: Sequence[Run]) -> tuple[int, int] | None:
    """The cells in which two rows differ, in text or in role."""
    text = changed_span("".join(t for t, _ in old), "".join(t for t, _ in new))
    roles = changed_span(_roles(old), _roles(new))
    spans = [span for span in (text, roles) if span]
    return (min(s for s, _ in spans), max(e for _, e in spans)) if spans else None


def _roles(row: Sequence[Run]) -> str:
    return "".join(chr(1 + hash(role) % 50_000) * len(text) for text, role in row)
