"""The choice among the remedies of a verdict."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from slm_tui.evaluation.diagnosis import Remedy, Verdict
from slm_tui.tui.dialogs import Choice, Question
from slm_tui.tui.widgets.line_list import LineList


class _RemedyQuestion(Question):
    """A list of remedies; `f` edits the one under the cursor before it starts."""

    HINT = "enter starts a run · f edits the changes first · esc cancels"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f", "edit", show=False)]

    def action_edit(self) -> None:
        self.dismiss(f"edit {self.query_one(LineList).key}")


def ask_for_remedy(
    app: App[Any],
    verdict: Verdict,
    start: Callable[[Remedy], None],
    edit: Callable[[Remedy], None],
) -> None:
    """Show what could be tried and what each remedy changes; then start or edit the chosen one."""
    remedies: Sequence[Remedy] = verdict.remedies

    def chosen(answer: str | None) -> None:
        if answer is None:
            return
        number = int(answer.rpartition(" ")[2])
        (edit if answer.startswith("edit") else start)(remedies[number])

    choices = [
        Choice(str(number), one.text, " ".join(one.changes)) for number, one in enumerate(remedies)
    ]
    question = _RemedyQuestion(
        f"{verdict.word}: what to try",
        "Start a new run with this change?"
        if len(remedies) == 1
        else "Start a new run with one of these changes; the first is the most likely to help.",
        choices,
        default="0",
    )
    app.push_screen(question, chosen)
