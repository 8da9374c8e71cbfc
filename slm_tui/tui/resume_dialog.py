"""What is asked before a run goes on: further steps, and where its text is now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from slm_tui.errors import SlmTuiError
from slm_tui.formatting import whole_number
from slm_tui.live import resuming
from slm_tui.live.steering import MOST_STEPS
from slm_tui.live.workshop import Workshop
from slm_tui.runs.info import RunInfo
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Ask, complain


def ask_to_resume(
    app: App[Any], workshop: Workshop, run: Run, info: RunInfo, done: Callable[[], object]
) -> None:
    """Go on with `run`, after the questions it takes; `done` is called once it has begun."""

    def with_steps(steps: int) -> None:
        missing = resuming.missing_text(run)
        if not missing:
            begin(steps, "")
            return
        question = Ask(
            f"The text of {one_line(info.name, 30)} is not where it was",
            "Where is the same text now? It is compared with the one it was trained on.",
            missing,
            _no_text_there,
        )
        app.push_screen(question, lambda place: begin(steps, place))

    def begin(steps: int, place: str | None) -> None:
        if place is None:
            return
        try:
            preset = resuming.changed(run, text=place) if place else None
            workshop.resume(run, steps, preset)
        except SlmTuiError as error:
            complain(app, error, "This run cannot go on")
        else:
            done()

    if info.state != "done":
        with_steps(0)
        return
    question = Ask(
        f"Go on with {one_line(info.name, 40)}",
        f"It made all {info.max_steps:,} steps. How many more?",
        str(max(1, info.max_steps // 10)),
        steps_problem,
    )
    app.push_screen(
        question, lambda text: with_steps(whole_number(text)) if text is not None else None
    )


def steps_problem(text: str) -> str:
    """What is wrong with a number of further steps."""
    try:
        steps = whole_number(text)
    except ValueError:
        return "a whole number of steps, such as 500"
    return "" if 1 <= steps <= MOST_STEPS else f"from 1 to {MOST_STEPS:,}"


def _no_text_there(text: str) -> str:
    try:
        there = bool(text.strip()) and Path(text.strip()).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        there = False
    return "" if there else "no file or directory has that name"
