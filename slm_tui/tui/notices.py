"""What the app asks and reports by itself."""

from slm_tui.errors import SlmTuiError
from slm_tui.text import one_line
from slm_tui.tui import keymap
from slm_tui.tui.dialogs import Choice, Question


def quit_question() -> Question:
    """What quitting asks while a run trains."""
    return Question(
        "A run is training",
        "Leave the app?",
        [
            Choice("keep", "Keep training", "it goes on without a screen and can be opened later"),
            Choice("save", "Save and stop", "a checkpoint is written; resume it later"),
            Choice("cancel", "Cancel", "stay here"),
        ],
        default="cancel",
    )


def unsaved_question(names: list[str]) -> Question:
    """What quitting asks while presets have edits that are not saved."""
    shown = ", ".join(one_line(name, 30) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return Question(
        "Unsaved edits",
        f"Leave with unsaved edits of {shown}{more}?",
        [
            Choice("save", "Save and leave", "built-in presets are saved as your copies"),
            Choice("lose", "Leave without saving", "the edits are lost"),
            Choice("cancel", "Cancel", "stay here"),
        ],
        default="cancel",
    )


def keymap_error(problems: list[str]) -> SlmTuiError:
    """Lines of the keymap file that cannot be used."""
    return SlmTuiError(
        f"{keymap.keymap_path()} has lines that cannot be used",
        "\n".join(problems),
        "those actions keep their own keys",
    )


def torch_error(reason: str) -> SlmTuiError:
    """PyTorch is not there or is broken."""
    return SlmTuiError(
        "PyTorch cannot be loaded",
        reason,
        "presets can be edited; to train, install torch again and look at `slm-tui doctor`",
    )
