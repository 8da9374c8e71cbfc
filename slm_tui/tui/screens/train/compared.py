"""The shown run next to the run that it is meant to improve on, or was forked from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.content import Content

from slm_tui.config import overrides
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import clock, count
from slm_tui.runs.info import LoggedEvaluation
from slm_tui.runs.info import evaluations as evaluations_of
from slm_tui.runs.store import Run, RunInfo
from slm_tui.text import one_line
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.property_list import display

_LABEL, _VALUE = 24, 12
_LONGEST_VALUE = 16


@dataclass(frozen=True)
class RunBefore:
    """What is known of the run before; read once, as it does not change any more."""

    run: Run
    info: RunInfo
    evaluations: list[LoggedEvaluation]
    is_parent: bool
    # `(path, value before, value now)`
    differences: tuple[tuple[str, Any, Any], ...]


def run_before(run: Run, info: RunInfo) -> RunBefore | None:
    """The run that `run` is meant to improve on, or was forked from; `None` if it is not here."""
    parent = info.parent.rpartition("@")[0]
    name = info.before or parent
    if not name or Path(name).name != name:
        return None
    other = Run(run.path.with_name(name))
    try:
        its_info = other.info()
        differences = overrides.difference(run.preset().to_dict(), other.preset().to_dict())
    except SlmTuiError:
        return None
    return RunBefore(
        other, its_info, evaluations_of(other.path), not info.before, tuple(differences)
    )


def compared_lines(
    before: RunBefore, info: RunInfo, evaluations: Sequence[LoggedEvaluation], width: int
) -> list[Content]:
    """Figures of both runs in two columns, then the settings that differ."""
    theirs = "parent" if before.is_parent else "before"
    lines = [Content.styled(f"{'':{_LABEL}}{'this run':>{_VALUE}}{theirs:>{_VALUE}}", MUTED)]
    for label, one, other in _rows(before, info, evaluations):
        ours = (f"{one:>{_VALUE}}", "bold")
        lines.append(Content.assemble((f"{label:{_LABEL}}", MUTED), ours, f"{other:>{_VALUE}}"))
    if before.differences:
        lines += [Content(""), Content.styled("settings that differ", MUTED)]
    for path, old, new in before.differences:
        was, now = (one_line(display(value), _LONGEST_VALUE) for value in (old, new))
        line = Content.assemble(f"{path} ", (was, MUTED), " → ", (now, "bold"))
        lines += line.wrap(max(20, width))
    return lines


def _rows(
    before: RunBefore, info: RunInfo, evaluations: Sequence[LoggedEvaluation]
) -> list[tuple[str, str, str]]:
    rows = []
    ours, theirs = _best(evaluations), _best(before.evaluations)
    if ours is not None and theirs is not None:
        best = [f"{one.bits_per_byte:.3f}" for one in (ours, theirs)]
        rows.append(("best bits per byte", best[0], best[1]))
        rows.append(("  at step", f"{ours.step:,}", f"{theirs.step:,}"))
        common = min(evaluations[-1].step, before.evaluations[-1].step)
        same = [f"{_at(curve, common):.3f}" for curve in (evaluations, before.evaluations)]
        rows.append((f"  both at step {common:,}", same[0], same[1]))
    ran = [f"{one.step:,}" for one in (info, before.info)]
    rows.append(("steps", ran[0], ran[1]))
    sizes = [one.facts.get("parameters") for one in (info, before.info)]
    if all(sizes):
        made = [count(float(size or 0)) for size in sizes]
        rows.append(("parameters", made[0], made[1]))
    times = [clock(one.elapsed_seconds) for one in (info, before.info)]
    rows.append(("time", times[0], times[1]))
    return rows


def _best(evaluations: Sequence[LoggedEvaluation]) -> LoggedEvaluation | None:
    finite = [one for one in evaluations if one.bits_per_byte == one.bits_per_byte]
    return min(finite, key=lambda one: one.bits_per_byte, default=None)


def _at(evaluations: Sequence[LoggedEvaluation], step: int) -> float:
    """Bits per byte at the newest evaluation until `step`."""
    until = [one for one in evaluations if one.step <= step] or list(evaluations[:1])
    return until[-1].bits_per_byte
