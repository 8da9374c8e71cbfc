"""Runs and checkpoints as single lines: columns, marks, order. Pure functions."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from textual.content import Content

from slm_tui.live.run_scanner import CheckpointLine, RunLine
from slm_tui.text import one_line, pad
from slm_tui.tui.charts.data import SYMBOLS, Shape

SHAPES = cast("tuple[Shape, ...]", ("line", "dashed", "points", "dots"))
# The colors that the chart gives to roles run-1 to run-6.
_COLOURS = (
    "$text-primary",
    "$text-warning",
    "$text-success",
    "$text-error",
    "$text-accent",
    "$text-secondary",
)
_STATES = {
    "preparing": ("…", "starting", "$text-warning"),
    "running": ("▶", "", "$text-success"),
    "paused": ("‖", "paused", "$text-warning"),
    "done": ("✓", "done", "$text-success"),
    "stopped early": ("✓", "early stop", "$text-success"),
    "stopped": ("■", "stopped", "$foreground 60%"),
    "interrupted": ("!", "interrupted", "$text-warning"),
    "failed": ("✗", "failed", "$text-error"),
    "damaged": ("✗", "damaged", "$text-error"),
}


def shape_of(mark: int) -> Shape:
    return SHAPES[mark % len(SHAPES)]


def role_of(mark: int) -> str:
    return f"run-{mark % len(_COLOURS) + 1}"


def mark_content(mark: int) -> Content:
    """The color and shape that identify a run in the table and in the chart."""
    return Content.styled(SYMBOLS[shape_of(mark)], f"bold {_COLOURS[mark % len(_COLOURS)]}")


def state_content(line: RunLine) -> Content:
    sign, word, style = _STATES.get(line.info.state, ("·", one_line(line.info.state, 11), ""))
    if line.info.state in ("running", "paused"):
        steps = line.info.max_steps
        share = min(1.0, line.info.step / steps) if steps > 0 else 0.0
        word = f"{word} {share:.0%}".strip()
    return Content.styled(f"{sign} {word}", style)


def loss_text(value: float | None) -> str:
    """A loss with three decimals; a dash for none."""
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "–"


def when_text(created: float, now: float | None = None) -> str:
    """`14:05` today, `20 Nov` this year, else `2025-11-20`; local time."""
    try:
        then = datetime.fromtimestamp(created)
    except (OverflowError, ValueError, OSError):
        return "–"
    today = datetime.fromtimestamp(time.time() if now is None else now)
    if not created:
        return "–"
    if then.date() == today.date():
        return then.strftime("%H:%M")
    return then.strftime("%d %b" if then.year == today.year else "%Y-%m-%d")


@dataclass(frozen=True)
class TableColumn:
    """A column; `drop` is the order in which a narrow table drops columns, 0 for never."""

    name: str
    title: str
    width: int
    drop: int
    cell: Callable[[RunLine], Content]
    order: Callable[[RunLine], tuple[object, ...]]
    right: bool = True


def _number(value: float | None) -> float:
    return value if value is not None and not math.isnan(value) else math.inf


COLUMNS = (
    TableColumn(
        "name", "name", 0, 0, lambda line: Content(one_line(line.name)),
        lambda line: (line.name.lower(),), right=False,
    ),
    TableColumn(
        "state", "state", 13, 0, state_content,
        lambda line: (list(_STATES).index(line.info.state) if line.info.state in _STATES else 99,),
        right=False,
    ),
    TableColumn(
        "val", "val", 7, 0, lambda line: Content(loss_text(line.info.best_loss)),
        lambda line: (_number(line.info.best_loss),),
    ),
    TableColumn(
        "bpb", "bpb", 6, 3, lambda line: Content(loss_text(line.info.best_bpb)),
        lambda line: (_number(line.info.best_bpb),),
    ),
    TableColumn(
        "step", "step", 7, 2, lambda line: Content("–" if line.error else f"{line.info.step:,}"),
        lambda line: (-line.info.step,),
    ),
    TableColumn(
        "when", "when", 10, 1,
        lambda line: Content.styled(when_text(line.info.created), "$foreground 60%"),
        lambda line: (-line.info.created,),
    ),
)  # fmt: skip
BY_NAME = {column.name: column for column in COLUMNS}
SORTS = ("when", "val", "bpb", "step", "name", "state")
_SMALLEST_NAME = 14
_LEAD = 4  # selection, mark, and the spaces after them


def columns_for(width: int) -> list[tuple[TableColumn, int]]:
    """The columns that fit in `width` cells, with their widths; the name gets the rest."""
    shown = list(COLUMNS)

    def room() -> int:
        return width - _LEAD - sum(column.width + 1 for column in shown if column.width)

    while room() < _SMALLEST_NAME and any(column.drop for column in shown):
        shown.remove(max(shown, key=lambda column: column.drop))
    return [(column, column.width or max(1, room())) for column in shown]


def heading(width: int, sort: str) -> Content:
    """The line of titles; the sort column is marked."""
    cells = [
        Content.styled(
            _fit(Content(column.title + (" ▾" if column.name == sort else "")), wide, column.right),
            "bold $text-accent" if column.name == sort else "$foreground 60%",
        )
        for column, wide in columns_for(width)
    ]
    return Content(" " * _LEAD) + Content(" ").join(cells)


def column_at(width: int, x: int) -> str:
    """The name of the column at cell `x` of the heading."""
    at = _LEAD
    for column, wide in columns_for(width):
        at += wide + 1
        if x < at:
            return column.name
    return "when"


def _fit(content: Content, width: int, right: bool) -> str:
    text = content.truncate(width, ellipsis=True).plain
    return pad(text, width, right=right)


def arranged(lines: Iterable[RunLine], sort: str, query: str) -> list[RunLine]:
    """The lines that match all words of `query`, sorted; ties are newest first."""
    words = query.lower().split()
    shown = [line for line in lines if all(word in _searched(line) for word in words)]
    newest_first = sorted(shown, key=lambda line: -line.info.created)
    return sorted(newest_first, key=BY_NAME[sort].order)


def _searched(line: RunLine) -> str:
    info = line.info
    return f"{line.name} {line.path.name} {info.preset} {info.state} {info.parent}".lower()


def checkpoint_content(line: CheckpointLine) -> Content:
    """Step, loss and kind of the checkpoint: best, last, kept."""
    kinds = [
        ("★ best", "$text-success", line.is_best),
        ("last", "$text-primary", line.is_last),
        ("kept", "$text-accent", line.is_kept),
    ]
    return Content.assemble(
        f" {line.step:>9,}  ",
        (f"{loss_text(line.loss):>6}", "" if line.loss is not None else "$foreground 60%"),
        "  ",
        Content(" ").join(Content.styled(text, style) for text, style, there in kinds if there),
    )
