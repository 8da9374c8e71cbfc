"""What the Runs screen asks before it evaluates a checkpoint or starts a run from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from textual.app import App

from slm_tui.config import overrides
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.live.workshop import Workshop
from slm_tui.runs.evaluation_results import EvaluationSettings, Split
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Ask, Choice, Question, complain
from slm_tui.tui.screens.evaluation.screen import EvaluationDialog


def step_of(checkpoint: Path) -> str:
    """`1,500` of `step-001500`, as the list of checkpoints has it; else the name itself."""
    digits = checkpoint.name.removeprefix("step-")
    return f"{int(digits):,}" if digits.isdecimal() else one_line(checkpoint.name, 30)


def ask_to_evaluate(app: App[Any], where: list[Path], what: str, *, beside: bool) -> None:
    """Ask on which split, then evaluate the checkpoints or runs in `where`.

    Args:
        what: what is evaluated, in words.
        beside: a run trains in this process and has the device; beside it, one core must do.
    """

    def evaluate(split: str | None) -> None:
        if split is not None:
            settings = EvaluationSettings(cast(Split, split), device="cpu" if beside else "auto")
            app.push_screen(EvaluationDialog(where, settings, beside=beside))

    several = " It is that of the first one selected." if len(where) > 1 else ""
    question = Question(
        f"Evaluate {what}",
        f"On which text? Every token of it counts once.{several}",
        [
            Choice("validation", "Validation", "held out; it chose the best checkpoint"),
            Choice("test", "Test", "held out for the end, if the preset keeps some"),
            Choice("train", "Training", "what the model was trained on"),
        ],
        default="validation",
    )
    app.push_screen(question, evaluate)


def ask_to_fork(
    app: App[Any],
    workshop: Workshop,
    checkpoint: Path,
    preset: Preset,
    name: str,
    done: Callable[[], object],
) -> None:
    """Ask for changes, then start a run of `preset` from `checkpoint`; `done` once it started.

    Args:
        name: the name of the run that the checkpoint is of.
    """

    def fork(text: str | None) -> None:
        if text is None:
            return
        try:
            workshop.fork(checkpoint, overrides.apply_line(preset, text))
        except SlmTuiError as error:
            complain(app, error, "This run cannot start")
        else:
            done()

    question = Ask(
        f"New run from {one_line(name, 30)} @ {step_of(checkpoint)}",
        "What should be different? One line, for example\n"
        "training.max_steps=500 optimizer.learning_rate=1e-4",
        f"training.max_steps={preset.training.max_steps} ",
        lambda text: overrides.line_problem(preset, text),
    )
    app.push_screen(question, fork)
