"""Runs and checkpoints as single lines: columns, marks, order. Pure functions."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from textual.content import Content

from slm_tui.formatting import count
from slm_tui.live.run_scanner import CheckpointLine, RunLine
from slm_tui.runs import catalog
from slm_tui.runs import filter as filters
from slm_tui.runs.filter import Filterable
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


def _parameters(line: RunLine) -> float:
    try:
        return float(line.info.facts.get("parameters") or 0)
    except (TypeError, ValueError):
        return 0.0


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
        "verdict", "verdict", 24, 4, lambda line: Content(one_line(line.verdict)),
        lambda line: (line.verdict.partition(" ")[2] or "~",), right=False,
    ),
    TableColumn(
        "preset", "preset", 20, 6, lambda line: Content(one_line(line.info.preset)),
        lambda line: (line.info.preset,), right=False,
    ),
    TableColumn(
        "params", "params", 7, 5,
        lambda line: Content(count(_parameters(line)) if _parameters(line) else "–"),
        lambda line: (-_parameters(line),),
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
SORTS = ("when", "val", "bpb", "step", "name", "state", "verdict", "preset", "params")
SORT_WORDS = {
    "when": "newest first",
    "val": "best loss first",
    "bpb": "lowest bits per byte first",
    "step": "most steps first",
    "name": "by name",
    "state": "by state",
    "verdict": "by verdict",
    "preset": "by preset",
    "params": "most parameters first",
}
_SMALLEST_NAME, _MOST_NAME = 14, 56
_LEAD = 4  # selection, mark, and the spaces after them


def columns_for(width: int) -> list[tuple[TableColumn, int]]:
    """The columns that fit in `width` cells, with their widths; the name gets the rest, up to a
    width at which the figures are still close to it."""
    shown = list(COLUMNS)

    def room() -> int:
        return width - _LEAD - sum(column.width + 1 for column in shown if column.width)

    while room() < _SMALLEST_NAME and any(column.drop for column in shown):
        shown.remove(max(shown, key=lambda column: column.drop))
    return [(column, column.width or min(_MOST_NAME, max(1, room()))) for column in shown]


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
    """The lines that match the filter `query`, sorted: pinned ones first, ties newest first.

    A filter that cannot be understood yet, while it is typed, hides nothing.
    """
    wanted = filters.read(query)
    shown = [line for line in lines if wanted.problem or wanted.matches(_filterable(line))]
    newest_first = sorted(shown, key=lambda line: -line.info.created)
    ordered = sorted(newest_first, key=BY_NAME[sort].order)
    return sorted(ordered, key=lambda line: not line.is_pinned)


def _filterable(line: RunLine) -> Filterable:
    return Filterable(
        line.info, line.path.name, lambda: catalog.preset_of(line.path), line.is_pinned
    )


def checkpoint_content(line: CheckpointLine) -> Content:
    """Step, loss and kind of the checkpoint: best, last, kept, or its label."""
    kinds = [
        ("★ best", "$text-success", line.is_best),
        ("last", "$text-primary", line.is_last),
        ("kept", "$text-accent", line.is_kept and not line.label),
        (one_line(line.label, 24), "$text-accent", bool(line.label)),
    ]
    return Content.assemble(
        f" {line.step:>9,}  ",
        (f"{loss_text(line.loss):>6}", "" if line.loss is not None else "$foreground 60%"),
        "  ",
        Content(" ").join(Content.styled(text, style) for text, style, there in kinds if there),
    )


def checkpoints_title(current: RunLine | None, listed: Sequence[CheckpointLine] | None) -> Content:
    """The title of the list of checkpoints; `listed` is `None` until they were read."""
    if current is None:
        return Content(" no matching run ")
    if current.error or current.info.error:
        return Content.styled(f" ✗ {one_line(current.error or current.info.error)} ", "$text-error")
    words = "looking…" if listed is None else "checkpoints" if listed else "no checkpoints"
    name = one_line(current.name, 24)
    return Content.assemble(" ", mark_content(current.mark), f" {name}: {words} ")


def runs_title(shown: int, total: int, selected: int, note: str) -> str:
    """The title of the table: how many runs it shows, how many are selected, and a note."""
    counted = f"{total} run{'s' * (total != 1)}"
    parts = [counted if shown == total else f"{shown} of {counted}", note]
    if selected:
        parts.insert(1, f"{selected} selected")
    return " · ".join(parts)
