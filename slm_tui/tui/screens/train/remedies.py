"""The choice among the remedies of a verdict."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from slm_tui.config import overrides
from slm_tui.config.drafts import Origin
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.diagnosis import Remedy, Verdict
from slm_tui.runs.store import Run
from slm_tui.tui.base import AppServices
from slm_tui.tui.dialogs import Choice, Question, show_error_notice
from slm_tui.tui.widgets.line_list import LineList


class _RemedyQuestion(Question):
    """A list of remedies; `f` opens the form with the one under the cursor."""

    HINT = "enter starts a run · f opens the form first · esc cancels"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f", "edit", show=False)]

    def action_edit(self) -> None:
        self.dismiss(f"edit {self.query_one(LineList).key}")


def ask_for_remedy(
    app: App[Any], slm: AppServices, verdict: Verdict, run: Run, origin: Origin
) -> None:
    """Show what could be tried and what each remedy changes; then start `run` anew with the chosen
    one, or show its settings in the form."""
    remedies: Sequence[Remedy] = verdict.remedies

    def chosen(answer: str | None) -> None:
        if answer is None:
            return
        remedy = remedies[int(answer.rpartition(" ")[2])]
        source = replace(origin, remedy=remedy.text)
        try:
            preset = overrides.apply(run.preset(), list(remedy.changes))
        except SlmTuiError as error:
            show_error_notice(app, error)
            return
        if answer.startswith("edit"):
            slm.edit_settings(preset, source, remedy.changes[0].partition("=")[0])
        else:
            slm.start_training(preset, source)

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
