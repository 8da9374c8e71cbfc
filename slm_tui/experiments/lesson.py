"""The lesson of a suite, with the figures of its runs filled in."""

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from slm_tui.experiments.suite import Lesson
from slm_tui.formatting import count, duration

if TYPE_CHECKING:
    from slm_tui.experiments.report import ReportRow, RunsReport

_PLACE = re.compile(r"\{([A-Za-z0-9_.-]+)\.([a-z_]+)\}")


def _nats(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


def _gap(row: "ReportRow") -> str:
    if row.final_val is None or row.final_train is None:
        return "?"
    return f"{row.final_val - row.final_train:.2f}"


FIGURES: "dict[str, Callable[[ReportRow], str]]" = {
    "train": lambda row: _nats(row.final_train),
    "val": lambda row: _nats(row.final_val),
    "best": lambda row: _nats(row.best_val),
    "gap": _gap,
    "bpb": lambda row: "?" if math.isnan(row.mean) else f"{row.mean:.3f}",
    "copied": lambda row: "?" if row.copied is None else f"{row.copied:.0%}",
    "parameters": lambda row: "?" if row.parameters is None else count(row.parameters),
    "tokens": lambda row: "?" if row.tokens is None else count(row.tokens),
    "time": lambda row: "?" if row.seconds is None else duration(row.seconds),
    "verdict": lambda row: row.verdict,
}
"""What `{variation.figure}` in the text of a lesson can stand for."""


def asks_for(lesson: Lesson, figure: str) -> bool:
    """Whether a text of the lesson has a place for this figure."""
    return any(f".{figure}}}" in text for text in _texts(lesson))


def _texts(lesson: Lesson) -> tuple[str, ...]:
    return (lesson.before, lesson.during, lesson.after, lesson.question, lesson.answer)


def unknown_places(lesson: Lesson, variations: list[str]) -> list[str]:
    """The places in the texts of a lesson that no figure can fill."""
    wrong = []
    for text in _texts(lesson):
        for name, figure in _PLACE.findall(text):
            if name not in variations:
                wrong.append(f"lesson: {{{name}.{figure}}}: there is no variation {name!r}")
            elif figure not in FIGURES:
                wrong.append(f"lesson: {{{name}.{figure}}}: there is no figure {figure!r}")
    return wrong


def fill(text: str, rows: "dict[str, ReportRow]") -> str:
    """`text` with the figures of its runs; `?` for those that are not known yet."""

    def figure(match: "re.Match[str]") -> str:
        row, worded = rows.get(match[1]), FIGURES.get(match[2])
        return worded(row) if row is not None and worded is not None else "?"

    return _PLACE.sub(figure, text)


def filled(lesson: Lesson, report: "RunsReport") -> tuple[tuple[str, str], ...]:
    """The parts of a lesson with their headings, and the figures of the runs filled in."""
    rows = {row.name: row for row in report.rows}
    parts = [
        ("Before", lesson.before),
        ("During", lesson.during),
        ("After", lesson.after),
        ("Question", lesson.question),
        ("Answer", lesson.answer),
    ]
    filled = [(heading, fill(text, rows)) for heading, text in parts]
    if lesson.next:
        filled.append(("Next", f"slm-tui suite run {lesson.next}"))
    return tuple(filled)


def shown(lesson: Lesson, report: "RunsReport", *, is_done: bool) -> tuple[tuple[str, str], ...]:
    """What a learner reads now: before and during while it runs, the rest once it is done."""
    parts = dict(filled(lesson, report))
    now = ("After", "Question", "Answer", "Next") if is_done else ("Before", "During")
    return tuple((name, parts[name]) for name in now if name in parts)
