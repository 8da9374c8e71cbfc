"""The legend of a chart: symbol, name and value of each series, as space allows."""

from collections.abc import Sequence

from slm_tui.text import cells, one_line
from slm_tui.tui.charts.data import LEVEL, SYMBOLS, Curve, HorizontalLine, Series
from slm_tui.tui.charts.series import label, time_label

Part = tuple[str, str]  # text, role
Group = list[Part]

_LONGEST_NAME = 24


def groups(
    shown: Sequence[tuple[Series, Curve]], levels: Sequence[HorizontalLine], x: float | None
) -> list[Group]:
    """The entries of the legend, with the values nearest to `x`, or the newest ones."""
    parts: list[Group] = []
    for line, curve in shown:
        point = curve.at(x)
        value = "–" if point is None else number(point[1])
        name = f" {one_line(line.name, _LONGEST_NAME)} "
        parts.append([(SYMBOLS[line.shape], line.role), (name, "label"), (value, "value")])
    for level in levels:
        name = f" {one_line(level.name, _LONGEST_NAME)} "
        parts.append([(LEVEL, level.role), (name, "label"), (number(level.y), "value")])
    return parts


def x_text(shown: Sequence[tuple[Series, Curve]], x: float, x_mode: str) -> str:
    """The x of the point nearest to the crosshair, in steps, tokens or time."""
    points = [point for _, curve in shown if (point := curve.at(x))]
    x = min((near for near, _ in points), key=lambda near: abs(near - x), default=x)
    if x_mode == "time":
        return time_label(round(x))
    if x_mode == "steps":
        return f"step {x:,.0f}" if abs(x) < 1e15 else f"step {label(x, 4)}"
    return f"{label(x, 4)} {'FLOPs' if x_mode == 'flops' else x_mode}"


def number(value: float) -> str:
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1000 else label(value, 4)


def width(groups: list[Group]) -> int:
    return sum(cells(text) for group in groups for text, _ in group) + 2 * (len(groups) - 1)


def fitting(groups: list[Group], room: int) -> list[Part]:
    """The groups side by side; if space is short, with shorter names, without those that say
    least (the first ones), or without names."""
    named = [group for group in groups if any(role == "label" for _, role in group)]
    whole = groups
    for longest in (_LONGEST_NAME, 12, 8):
        groups = [_with_name(group, longest) for group in whole]
        if width(groups) <= room:
            break
    # Raw points are drawn behind their own average, whose name says enough.
    if width(groups) > room and len(named) > 2:
        groups = [group for group in groups if group[0][1] != "raw"]
    if width(groups) > room:
        groups = [[part for part in group if part[1] != "label"] for group in groups]
        groups = [
            [(group[0][0] + " ", group[0][1]), *group[1:]] if len(group) > 1 else group
            for group in groups
            if group
        ]
    while groups and width(groups) > room:
        groups.pop(0)
    parts = []
    for number, group in enumerate(groups):
        if number:
            parts.append(("  ", "label"))
        parts.extend(group)
    return [(" ", "label"), *parts] if parts and width(groups) < room else parts


def _with_name(group: Group, longest: int) -> Group:
    return [
        (f" {one_line(text.strip(), longest)} ", role) if role == "label" else (text, role)
        for text, role in group
    ]
