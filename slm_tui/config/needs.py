"""What a preset needs before it can be trained here: a file of the user's, or a network."""

from pathlib import Path
from typing import Literal

from slm_tui.config.preset import Preset

Need = Literal["", "file", "network"]

# How lists mark a preset that needs something, and what the mark means.
SIGNS: dict[str, str] = {"file": "□", "network": "⇣"}
MEANINGS: dict[str, str] = {"file": "needs a text", "network": "downloads its text"}


def need_of(preset: Preset) -> Need:
    """What is missing; empty if the text is there, as the built-in stories always are."""
    data = preset.data
    if data.is_remote:
        return "network"
    if not data.location_setting:
        return ""
    try:
        return "" if Path(data.location).expanduser().exists() else "file"
    except (OSError, RuntimeError, ValueError):
        return "file"


def described(preset: Preset) -> str:
    """What a preset is about, after what it needs, in one line."""
    need, about = need_of(preset), preset.description or preset.title
    return f"{SIGNS[need]} {MEANINGS[need]}. {about}" if need else about
