"""Where things live on disk. `SLM_TUI_HOME` puts all of it under one directory."""

import os
import re
from pathlib import Path

import platformdirs

from slm_tui.errors import SlmTuiError

_APP = "slm-tui"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Names that Windows reserves; a home directory may be on a shared drive.
_RESERVED = {"con", "prn", "aux", "nul", "last", "best"}


def _home() -> Path | None:
    home = os.environ.get("SLM_TUI_HOME")
    return Path(home).expanduser().resolve() if home else None


def config_dir() -> Path:
    """User presets, keymap and settings."""
    home = _home()
    return home / "config" if home else Path(platformdirs.user_config_dir(_APP, appauthor=False))


def data_dir() -> Path:
    """Runs and their trash."""
    home = _home()
    return home / "data" if home else Path(platformdirs.user_data_dir(_APP, appauthor=False))


def cache_dir() -> Path:
    """What can be made again: prepared corpora, tokenizers, calibration."""
    home = _home()
    return home / "cache" if home else Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def user_presets_dir() -> Path:
    return config_dir() / "presets"


def runs_dir() -> Path:
    return data_dir() / "runs"


def trash_dir() -> Path:
    return data_dir() / "trash"


def corpora_dir() -> Path:
    return cache_dir() / "corpora"


def builtin_presets_dir() -> Path:
    """The presets that ship: inside the wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    shipped = package / "presets"
    return shipped if shipped.is_dir() else package.parent / "presets"


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it is safe as a single path component.

    Raises:
        SlmTuiError: it is empty, too long, reserved, or has other characters than
            letters, digits, dot, dash and underscore.
    """
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise SlmTuiError(
            f"{what} {name!r} cannot be used",
            "it must be 1 to 64 letters, digits, '.', '-' or '_', start with a letter or digit, "
            "and not be a reserved word",
            "choose another",
        )
    return name
