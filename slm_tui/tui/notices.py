"""Questions and error notices of the app itself."""

from slm_tui.errors import SlmTuiError
from slm_tui.text import one_line
from slm_tui.tui import keymap
from slm_tui.tui.dialogs import Choice, Question


def quit_question() -> Question:
    """What quitting asks while a run is training."""
    return Question(
        "A run is training",
        "Quit the app?",
        [
            Choice("keep", "Keep training", "it continues in the background; reopen it later"),
            Choice("save", "Save and stop", "save a checkpoint; you can resume later"),
            Choice("cancel", "Cancel", "stay in the app"),
        ],
        default="cancel",
    )


def unsaved_question(names: list[str]) -> Question:
    """What quitting asks while presets have unsaved edits."""
    shown = ", ".join(one_line(name, 30) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return Question(
        "Unsaved edits",
        f"Quit with unsaved edits in {shown}{more}?",
        [
            Choice("save", "Save and quit", "edits of built-in presets become copies"),
            Choice("lose", "Quit without saving", "the edits are lost"),
            Choice("cancel", "Cancel", "stay in the app"),
        ],
        default="cancel",
    )


def keymap_error(problems: list[str]) -> SlmTuiError:
    """Reports invalid lines of the keymap file."""
    return SlmTuiError(
        f"{keymap.keymap_path()} has invalid lines",
        "\n".join(problems),
        "those actions keep their default keys",
    )


def torch_error(reason: str) -> SlmTuiError:
    """Reports that PyTorch is missing or broken."""
    return SlmTuiError(
        "PyTorch cannot be loaded",
        reason,
        "you can edit presets; to train, reinstall torch and run `slm-tui doctor`",
    )
