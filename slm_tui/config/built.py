"""Which choices of the schema can be trained with this version."""

from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError

# Presets may already name these, so that files stay valid when they arrive.
NOT_BUILT: dict[tuple[str, str], str] = {
    ("model.kind", "hgrn"): "HGRN-bit comes in a later version; use gpt",
    ("model.kind", "hnet"): "H-Net comes in a later version; use gpt",
}


class NotBuiltYet(SlmTuiError, NotImplementedError):  # noqa: N818 - it reads as what it says
    """The preset is valid, and this version cannot train it."""


def not_built(preset: Preset) -> list[tuple[str, str]]:
    """`(path, reason)` for each choice that this version cannot train."""
    chosen = [
        ("data.kind", preset.data.kind),
        ("tokenizer.kind", preset.tokenizer.kind),
        ("model.kind", preset.model.kind),
    ]
    return [(path, NOT_BUILT[path, kind]) for path, kind in chosen if (path, kind) in NOT_BUILT]


def check_built(preset: Preset) -> None:
    """Raise where this version cannot train `preset`.

    Raises:
        NotBuiltYet: naming the first such choice and what works instead.
    """
    for path, reason in not_built(preset):
        raise NotBuiltYet(f"{path} of {preset.name}", reason)
