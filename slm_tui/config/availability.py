"""Which choices of the schema this version can train."""

from slm_tui.config import kinds
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError

# Presets may already name these, so that files stay valid once support arrives.
NOT_BUILT: dict[tuple[str, str], str] = {
    (f"{section}.kind", kind): variant.not_built
    for section, variants in kinds.KINDS.items()
    for kind, variant in variants.items()
    if variant.not_built
}


class NotBuiltYet(SlmTuiError, NotImplementedError):  # noqa: N818 - reads better without a suffix
    """The preset is valid, but this version cannot train it."""


def not_built(preset: Preset) -> list[tuple[str, str]]:
    """`(path, reason)` for each choice that this version cannot train."""
    chosen = [(section, getattr(preset, section)) for section in kinds.KINDS]
    return [(f"{section}.kind", one.not_built) for section, one in chosen if one.not_built]


def check_built(preset: Preset) -> None:
    """Raise if this version cannot train `preset`.

    Raises:
        NotBuiltYet: names the first unsupported choice and what works instead.
    """
    for path, reason in not_built(preset):
        raise NotBuiltYet(f"{path} of {preset.name}", reason)
