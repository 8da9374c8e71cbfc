"""What is asked before a run resumes: additional steps, and where its text is now."""

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
from slm_tui.training.extension import decays, final_rate
from slm_tui.tui.dialogs import Ask, Choice, Question, show_error_notice


def ask_to_resume(
    app: App[Any], workshop: Workshop, run: Run, info: RunInfo, done: Callable[[], object]
) -> None:
    """Resume `run`, after any questions needed; `done` is called once it has started."""

    def with_steps(steps: int, rewarm: bool = False) -> None:
        missing = resuming.missing_text(run)
        if not missing:
            begin(steps, rewarm, "")
            return
        question = Ask(
            f"The text of {one_line(info.name, 30)} has moved",
            "Where is it now? It must be the text that the run was trained on.",
            missing,
            _missing_text_problem,
        )
        app.push_screen(question, lambda place: begin(steps, rewarm, place))

    def begin(steps: int, rewarm: bool, place: str | None) -> None:
        if place is None:
            return
        try:
            preset = resuming.changed(run, text=place) if place else None
            workshop.resume(run, steps, preset, rewarm=rewarm)
        except SlmTuiError as error:
            show_error_notice(app, error, "This run cannot resume")
        else:
            done()

    def with_rate(text: str | None) -> None:
        if text is None:
            return
        steps = whole_number(text)
        question = _question_of_rate(run, info, steps)
        if question is None:
            with_steps(steps)
            return

        def chosen(answer: str | None) -> None:
            if answer is not None:
                with_steps(steps, answer == "rewarm")

        app.push_screen(question, chosen)

    if info.state != "done":
        with_steps(0)
        return
    question = Ask(
        f"Resume {one_line(info.name, 40)}",
        f"It finished all {info.max_steps:,} steps. How many more?",
        str(max(1, info.max_steps // 10)),
        steps_problem,
    )
    app.push_screen(question, with_rate)


def _question_of_rate(run: Run, info: RunInfo, steps: int) -> Question | None:
    """How the learning rate continues; `None` if it does not decay, or the preset is unreadable."""
    try:
        preset = run.preset()
    except SlmTuiError:
        return None
    if not decays(preset.schedule):
        return None
    final, peak = final_rate(preset), preset.optimizer.learning_rate
    keep = Choice("keep", f"Stay at {final:.3g}", "small updates: refines what was learned")
    rewarm = Choice(
        "rewarm", "Warm up again", f"to {peak:.3g}, then decay: learns more, forgets some"
    )
    choices = [keep, rewarm] if final else [rewarm]
    text = f"It decayed to {final:.3g}."
    if not final:
        text += " At this rate more steps would change nothing."
    title = f"The learning rate of the {steps:,} steps"
    return Question(title, text, choices, choices[0].id)


def steps_problem(text: str) -> str:
    """What is wrong with a number of additional steps."""
    try:
        steps = whole_number(text)
    except ValueError:
        return "enter a whole number of steps, such as 500"
    return "" if 1 <= steps <= MOST_STEPS else f"from 1 to {MOST_STEPS:,}"


def _missing_text_problem(text: str) -> str:
    try:
        there = bool(text.strip()) and Path(text.strip()).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        there = False
    return "" if there else "no file or directory has that name"
