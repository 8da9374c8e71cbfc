"""What the footer of the Presets screen offers: the list and the form have different actions."""

from slm_tui.config.drafts import Draft
from slm_tui.config.library import LibraryEntry
from slm_tui.tui.actions import BY_ID, Action


def in_list(entry: LibraryEntry | None, draft: Draft | None) -> list[Action]:
    """With the cursor on a preset."""
    names = ["train", "edit", "new"]
    names += ["save"] if draft and draft.is_changed else []
    names += ["delete"] if entry and not entry.builtin else []
    return _actions([*names, "editor", "lessons", "suites", "vary", "queue"])


def in_form(draft: Draft | None) -> list[Action]:
    """With the cursor on a setting."""
    if draft and draft.is_changed:
        return _actions(["train", "edit", "undo", "difference", "save", "vary"])
    return _actions(["train", "edit", "nudge_less", "nudge_more", "difference", "new", "vary"])


def _actions(names: list[str]) -> list[Action]:
    return [BY_ID[f"presets.{name}"] for name in names]
