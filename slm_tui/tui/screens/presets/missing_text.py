"""What to do with a preset whose text is not here."""

from collections.abc import Callable
from typing import Any

from textual.app import App

from slm_tui.config import overrides
from slm_tui.config.drafts import Draft
from slm_tui.config.needs import Need
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Choice, Question


def ask_for_text(
    app: App[Any],
    draft: Draft,
    need: Need,
    *,
    train: Callable[[], None],
    open_text: Callable[[], None],
) -> None:
    """Offer what works here: a text of the user's, the built-in stories, or the download.

    Args:
        train: starts the draft, after its text was replaced.
        open_text: asks for another text.
    """
    assert draft.preset is not None
    where = one_line(draft.preset.data.location, 50)
    choices = [
        Choice("open", "Choose a text", "a file, a directory or a dataset on this machine"),
        Choice("stories", "Built-in stories", "train on generated stories instead"),
        Choice("cancel", "Cancel"),
    ]
    text = f"There is no file {where}."
    if need == "network":
        text = f"Its text is the dataset {where}. Downloading it needs a network."
        choices.insert(0, Choice("train", "Train", "download the dataset if it is not here"))

    def chosen(answer: str | None) -> None:
        if answer == "stories":
            draft.replace(overrides.put(draft.values, "data.kind", "stories"))
        if answer in ("train", "stories"):
            train()
        elif answer == "open":
            open_text()

    title = f"{one_line(draft.name, 40)} needs a text"
    app.push_screen(Question(title, text, choices, default=choices[0].id), chosen)
