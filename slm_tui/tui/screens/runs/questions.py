"""What the Runs screen asks before checkpoints are evaluated."""

from pathlib import Path
from typing import Any, cast

from textual.app import App

from slm_tui.runs.evaluation_results import EvaluationSettings, Split
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Choice, Question
from slm_tui.tui.screens.evaluation.screen import EvaluationDialog


def step_of(checkpoint: Path) -> str:
    """`1,500` for `step-001500`, as in the list of checkpoints; else the name itself."""
    digits = checkpoint.name.removeprefix("step-")
    return f"{int(digits):,}" if digits.isdecimal() else one_line(checkpoint.name, 30)


def ask_to_evaluate(app: App[Any], where: list[Path], what: str, *, is_training: bool) -> None:
    """Ask for the split, then evaluate the checkpoints or runs in `where`.

    Args:
        what: what is evaluated, in words.
        is_training: a run trains in this process and uses the device; the evaluation uses one core.
    """

    def evaluate(split: str | None) -> None:
        if split is not None:
            settings = EvaluationSettings(
                cast(Split, split), device="cpu" if is_training else "auto"
            )
            app.push_screen(EvaluationDialog(where, settings, is_training=is_training))

    several = " All use the text of the first selected run." if len(where) > 1 else ""
    question = Question(
        f"Evaluate {what}",
        f"On which split? Every token is evaluated once.{several}",
        [
            Choice("validation", "Validation", "held out; used to choose the best checkpoint"),
            Choice("test", "Test", "held out for the final evaluation, if any"),
            Choice("train", "Training", "the text the model was trained on"),
        ],
        default="validation",
    )
    app.push_screen(question, evaluate)
