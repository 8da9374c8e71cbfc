"""Questions of the Train screen before stopping or extending a run."""

from typing import TYPE_CHECKING, Any

from textual.app import App

from slm_tui.formatting import whole_number
from slm_tui.tui.dialogs import Ask, Choice, Question
from slm_tui.tui.resume_dialog import steps_problem

if TYPE_CHECKING:
    from slm_tui.live.workshop import Training


def ask_to_stop(app: App[Any], training: "Training") -> None:
    """Ask, then save and stop."""

    def stop(choice: str | None) -> None:
        if choice == "stop":
            training.stop()

    question = Question(
        "Stop this run?",
        "A checkpoint is saved, so the run can resume exactly.",
        [Choice("stop", "Save and stop", ""), Choice("cancel", "Cancel", "keep training")],
        default="cancel",
    )
    app.push_screen(question, stop)


def ask_for_steps(app: App[Any], training: "Training", max_steps: int) -> None:
    """Ask how many steps to add to `max_steps`, then add them."""

    def extend(text: str | None) -> None:
        if text:
            training.control.extend(whole_number(text))

    tenth = str(max(1, max_steps // 10))
    text = "How many steps to add? The learning rate continues from where it is, to the new end."
    app.push_screen(Ask("Extend the run", text, tenth, steps_problem), extend)
