"""Training on the text that the Data screen shows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.app import App

from slm_tui.config.drafts import Draft
from slm_tui.config.estimate import estimate
from slm_tui.config.needs import need_of
from slm_tui.config.preset import Preset
from slm_tui.formatting import count, ratio_text, size
from slm_tui.live.data_worker import CorpusSnapshot
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Choice, Question
from slm_tui.tui.screens.presets.missing_text import ask_for_text

if TYPE_CHECKING:
    from slm_tui.corpus.statistics import Statistics

_LONGEST = 50


def ask_to_train(
    app: App[Any],
    draft: Draft,
    snapshot: CorpusSnapshot,
    *,
    train: Callable[[], None],
    edit: Callable[[], None],
    open_text: Callable[[], None],
) -> None:
    """Say which text and which preset would be trained, and ask. A text that is not here is
    asked for as on the Presets screen.

    Args:
        train: starts the draft.
        edit: shows the draft in the form.
        open_text: asks for another text.
    """
    assert draft.preset is not None
    is_shown = snapshot.state == "ready" and snapshot.preset == draft.preset
    need = need_of(draft.preset)
    if need and not is_shown:
        ask_for_text(app, draft, need, train=train, open_text=open_text)
        return

    def chosen(answer: str | None) -> None:
        if answer == "train":
            train()
        elif answer == "edit":
            edit()

    choices = [
        Choice("train", "Train", "start the run and watch it"),
        Choice("edit", "Edit the preset", "change the model or the number of steps first"),
        Choice("cancel", "Cancel"),
    ]
    statistics = snapshot.statistics if is_shown else None
    text = f"{_text_line(draft.preset, statistics)}\n{_preset_line(draft, statistics)}"
    app.push_screen(Question("Train on this text?", text, choices, default="train"), chosen)


def _text_line(preset: Preset, statistics: "Statistics | None") -> str:
    """The text, and how much of it there is for training."""
    line = f"Text: {one_line(preset.data.label, _LONGEST)}"
    if statistics is None:
        return f"{line}, which is prepared first"
    part = statistics.parts["train"]
    return f"{line}, {size(part.bytes)} ({count(part.tokens)} tokens) for training"


def _preset_line(draft: Draft, statistics: "Statistics | None") -> str:
    """The preset, its model, and how often it sees the text."""
    preset = draft.preset
    assert preset is not None
    budget = estimate(preset)
    if statistics is not None:
        tokens = statistics.parts["train"].tokens
        budget = estimate(preset, n_vocab=statistics.n_vocab, train_tokens=tokens)
    steps = f"{preset.training.max_steps:,} steps"
    epochs = f" or {ratio_text(budget.epochs)} epochs" if budget.epochs else ""
    name = f"{one_line(draft.name, _LONGEST)}{' with your edits' if draft.is_changed else ''}"
    return f"Preset: {name}, {count(budget.parameters)} parameters, {steps}{epochs}"
