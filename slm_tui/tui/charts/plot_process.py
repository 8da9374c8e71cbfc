"""The process that draws charts with plotext: one JSON request per line, one answer each."""

import itertools
import json
import math
import os
import re
import sys
import time
from typing import Any

import plotext

from slm_tui.errors import in_words
from slm_tui.tui.charts.series import finite, unpack

Run = tuple[str, str]  # text, role
Row = list[Run]

# The size comes from the widget, not from the terminal that started the process.
plotext.terminal.limit(False, False)

_COLOUR = re.compile("\x1b\\[([0-9;]*)m")
# Palette numbers encode roles: the colors come from the app's theme, not from plotext.
_FIRST_COLOUR = 16
_BLANK = " \u2800"
_COLUMNS_PER_POINT = 6
_DASH = 4  # columns of a dash and of the gap after it; half as many rows
_MOST_DASHES = 500  # of one segment


def draw(request: dict[str, Any]) -> list[Row]:
    """`height` rows of exactly `width` cells, as runs of (text, role)."""
    width, height = int(request["width"]), int(request["height"])
    canvas = _Canvas(request)
    under = _layer(canvas, _draw_marks, canvas.columns, canvas.rows)
    _add_grid(canvas, under)
    over = _layer(canvas, _draw_curves, width, height)
    rows = []
    for number in range(height):
        cells = _cells(over, number, width)
        if number < canvas.rows:
            below = _cells(under, number, canvas.columns)
            for column, cell in enumerate(below, canvas.gutter):
                if cells[column][0] in _BLANK:
                    cells[column] = cell
        if number == int(request.get("top", 0)):
            _mark_above(canvas, cells)
        rows.append(_runs(cells))
    return rows


def _mark_above(canvas: "_Canvas", cells: list[Run]) -> None:
    """An arrow where a curve that begins above the picture comes into it."""
    for entry in canvas.request.get("above", ()):
        column = canvas.gutter + min(int(canvas.x(entry["x"]) * canvas.columns), canvas.columns - 1)
        if 0 <= column < len(cells):
            cells[column] = ("▲", entry["role"])


class _Canvas:
    """The request in plot coordinates, both from 0 to 1."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.gutter = int(request.get("gutter", 0))
        self.columns = max(1, int(request["width"]) - self.gutter)
        self.rows = max(1, int(request["height"]) - (2 if self.gutter else 0))
        self.log_y = bool(request.get("log_y"))
        self._share = 1 - min(int(request.get("top", 0)), self.rows - 1) / self.rows
        self.roles: list[str] = []

    def pixel(self, role: str) -> Any:
        if role not in self.roles:
            self.roles.append(role)
        return plotext.pixel(foreground=_FIRST_COLOUR + self.roles.index(role))

    def x(self, value: float) -> float:
        return _part(value, *self.request["x_range"])

    def y(self, value: float) -> float:
        return _part(value, *self.request["y_range"]) * self._share

    def height_of(self, value: float) -> float | None:
        """The position of a data value on the y axis; None if it is outside."""
        if self.log_y:
            if value <= 0:
                return None
            value = math.log10(value)
        low, high = self.request["y_range"]
        return self.y(value) if low <= value <= high else None

    def points(self, curve: dict[str, Any]) -> tuple[list[float], list[float]]:
        xs, ys = finite(unpack(curve["xs"]), unpack(curve["ys"]))
        if self.log_y:
            pairs = [(x, math.log10(y)) for x, y in zip(xs, ys, strict=True) if y > 0]
            xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
        return [self.x(x) for x in xs], [self.y(y) for y in ys]


def _part(value: float, low: float, high: float) -> float:
    span = high / 2 - low / 2
    # Just under 1: plotext would put the upper end in an extra column.
    part = (value / 2 - low / 2) / span if span > 0 else 0.5
    return min(max(part, -1.0), 2.0) if part != 1 else 0.999999


def _layer(canvas: _Canvas, paint: Any, width: int, height: int) -> list[list[Run]]:
    figure = plotext.figure
    figure.clear.data()
    figure.clear.settings()
    figure.clear.pixels()
    figure.plot_size(width, height)
    figure.canvas("default")
    figure.legend(False)
    figure.axes(False)
    for axis, side in (("x", "lower"), ("y", "left")):
        figure.ruler(axis, side).ticks([]).lim(0, 1).alignment(lim="edge")
    paint(canvas, figure)
    return _parse(figure.build().string(), canvas.roles)


def _draw_marks(canvas: _Canvas, figure: Any) -> None:
    """What is drawn beneath the curves: raw points, floor, marks."""
    request = canvas.request
    for line in request.get("hlines", ()):
        y = canvas.height_of(line["y"])
        if y is not None:
            figure.line(y, 0, pixel=canvas.pixel(line["role"]), style="dotted")
    for line in request.get("vlines", ()):
        x = canvas.x(line["x"])
        if 0 <= x <= 1:
            figure.line(x, 1, pixel=canvas.pixel(line["role"]), style="dotted")
    for curve in request["series"]:
        if curve["shape"] == "dots":
            marker = plotext.marker("braille", pixel=canvas.pixel(curve["role"]))
            _add(figure, *canvas.points(curve), marker)


def _add_grid(canvas: _Canvas, lines: list[list[Run]]) -> None:
    """A dot in every eighth column of the y-tick rows, where the cell is empty."""
    for value, _ in canvas.request.get("y_ticks", ()):
        row = canvas.rows - 1 - min(int(canvas.y(value) * canvas.rows), canvas.rows - 1)
        for column in range(7, min(canvas.columns, len(lines[row])), 8):
            if lines[row][column][0] in _BLANK:
                lines[row][column] = ("·", "grid")


def _draw_curves(canvas: _Canvas, figure: Any) -> None:
    """The curves and, if there is a gutter, the axes."""
    request = canvas.request
    if canvas.gutter:
        axis = canvas.pixel("axis")
        figure.axes(True, axis="x", side="lower", pixel=axis)
        figure.axes(True, axis="y", side="left", pixel=axis)
        x_ticks, y_ticks = request.get("x_ticks", ()), request.get("y_ticks", ())
        figure.ruler("y", "left").ticks(
            [canvas.y(value) for value, _ in y_ticks], [text for _, text in y_ticks]
        ).pixel(axis)
        # Without ticks plotext omits the row of labels: an invisible tick keeps it.
        figure.ruler("x", "lower").ticks(
            [canvas.x(value) for value, _ in x_ticks] or [-5.0],
            [text for _, text in x_ticks] or ["-"],
        ).pixel(axis)
    for curve in request["series"]:
        if curve["shape"] != "dots":
            _draw_curve(canvas, figure, curve)


def _draw_curve(canvas: _Canvas, figure: Any, curve: dict[str, Any]) -> None:
    xs, ys = canvas.points(curve)
    pixel = canvas.pixel(curve["role"])
    marker = plotext.marker("braille", pixel=pixel)
    if curve["shape"] == "dashed":
        lines = _dashes(xs, ys, canvas.columns, canvas.rows)
    else:
        lines = [(xs, ys)]
    for line in lines:
        signal = figure.signal(*line, marker=marker)
        signal.lines()
        figure.draw(signal)
    if curve["shape"] == "points":
        shown: dict[int, tuple[float, float]] = {}
        for x, y in zip(xs, ys, strict=True):
            shown.setdefault(int(x * canvas.columns) // _COLUMNS_PER_POINT, (x, y))
        marker = plotext.marker("•", pixel=pixel)
        _add(figure, [x for x, _ in shown.values()], [y for _, y in shown.values()], marker)


def _dashes(
    xs: list[float], ys: list[float], columns: int, rows: int
) -> list[tuple[list[float], list[float]]]:
    """The dashes of the line through these points, however far apart the points are.

    Dashes begin at fixed columns, so that they stay in place while the curve grows; where the line
    is steep, at fixed rows.
    """
    dashes: list[tuple[list[float], list[float]]] = []
    was_drawn = False
    for (x, y), (next_x, next_y) in itertools.pairwise(zip(xs, ys, strict=True)):
        across, up = abs(next_x - x) * columns, abs(next_y - y) * rows
        is_steep = up > across
        start, end = (y * rows, next_y * rows) if is_steep else (x * columns, next_x * columns)
        length = _DASH / 2 if is_steep else float(_DASH)
        points = [(x, y)]
        for place in [*_cuts(start, end, length), end]:
            share = (place - start) / (end - start) if end != start else 1.0
            points.append((x + (next_x - x) * share, y + (next_y - y) * share))
            before = points[-2][1] * rows if is_steep else points[-2][0] * columns
            is_drawn = int((before + place) / 2 // length) % 2 == 0
            if is_drawn and not was_drawn:
                dashes.append(([points[-2][0]], [points[-2][1]]))
            if is_drawn:
                dashes[-1][0].append(points[-1][0])
                dashes[-1][1].append(points[-1][1])
            was_drawn = is_drawn
    return dashes


def _cuts(start: float, end: float, length: float) -> list[float]:
    """The multiples of `length` between `start` and `end`, in that direction."""
    low, high = min(start, end), max(start, end)
    first = math.floor(low / length) + 1
    # Points far outside the picture would make countless dashes that are not seen.
    last = min(math.ceil(high / length), first + _MOST_DASHES)
    cuts = [number * length for number in range(first, last)]
    return cuts if end >= start else cuts[::-1]


def _add(figure: Any, xs: list[float], ys: list[float], marker: Any) -> None:
    figure.draw(figure.signal(xs, ys, marker=marker))


def _parse(text: str, roles: list[str]) -> list[list[Run]]:
    """plotext's lines as lists of single cells with their roles."""
    lines = []
    for line in text.split("\n"):
        cells: list[Run] = []
        role = ""
        parts = _COLOUR.split(line)
        for index, part in enumerate(parts):
            if index % 2:
                role = _role(part, role, roles)
            else:
                cells.extend((char, role) for char in part)
        lines.append(cells)
    return lines


def _role(code: str, current: str, roles: list[str]) -> str:
    if code.startswith("38;5;"):
        number = int(code.split(";")[2]) - _FIRST_COLOUR
        return roles[number] if 0 <= number < len(roles) else ""
    return "" if code in ("", "0") else current


def _cells(lines: list[list[Run]], number: int, width: int) -> list[Run]:
    cells = lines[number][:width] if number < len(lines) else []
    return cells + [(" ", "")] * (width - len(cells))


def _runs(cells: list[Run]) -> Row:
    row: Row = []
    text, role = "", ""
    for char, style in cells:
        if char in _BLANK:
            char, style = " ", role if text else ""
        if style != role and text:
            row.append((text, role))
            text = ""
        text, role = text + char, style
    if text:
        row.append((text, role))
    return row


def answer(line: bytes) -> bytes:
    """The answer to one request: `id`, `cpu` (seconds) and `rows`, or `error`."""
    started = time.process_time()
    reply: dict[str, Any] = {"id": None}
    try:
        request = json.loads(line)
        reply["id"] = request.get("id")
        reply["rows"] = draw(request)
    except Exception as error:  # noqa: BLE001 - a bad chart must not stop the process
        reply["error"] = in_words(error)
    reply["cpu"] = time.process_time() - started
    return json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def main() -> None:
    """Answer requests until standard input closes, even if the app was killed."""
    os.nice(15)
    # Keep anything that a library prints out of the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        try:
            answers.write(answer(line))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
