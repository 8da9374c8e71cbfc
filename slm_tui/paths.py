"""Where files are stored. `SLM_TUI_HOME` puts everything under one directory."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs

from slm_tui.errors import SlmTuiError

_APP = "slm-tui"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Names that Windows reserves; a home directory may be on a shared drive.
_RESERVED = {"con", "prn", "aux", "nul", "last", "best"}


def _home() -> Path | None:
    home = os.environ.get("SLM_TUI_HOME")
    return Path(os.path.expanduser(home)).resolve() if home else None


def config_dir() -> Path:
    """User presets, keymap and settings.

    Raises:
        SlmTuiError: the home directory is unknown.
    """
    return _place("config", platformdirs.user_config_dir)


def data_dir() -> Path:
    """Runs and the trash.

    Raises:
        SlmTuiError: the home directory is unknown.
    """
    return _place("data", platformdirs.user_data_dir)


def cache_dir() -> Path:
    """Files that can be rebuilt: prepared corpora, tokenizers, calibration.

    Raises:
        SlmTuiError: the home directory is unknown.
    """
    return _place("cache", platformdirs.user_cache_dir)


def _place(name: str, usual: Callable[..., str]) -> Path:
    home = _home()
    if home is not None:
        return home / name
    try:
        path = usual(_APP, appauthor=False)
    except RuntimeError:
        path = "~"  # older versions of the library return a path that starts with ~
    has_own = bool(os.environ.get(f"XDG_{name.upper()}_HOME"))
    # Without a home directory, the path would be a directory called `~`, or one at the root.
    if not os.path.isabs(path) or (os.environ.get("HOME") == "" and not has_own):
        raise SlmTuiError(
            "the home directory is unknown",
            "HOME is empty" if os.environ.get("HOME") == "" else "HOME is not set",
            "set HOME, or set SLM_TUI_HOME to a writable directory",
        )
    return Path(path)


def user_presets_dir() -> Path:
    return config_dir() / "presets"


def runs_dir() -> Path:
    return data_dir() / "runs"


def suites_dir() -> Path:
    """Suites that were started: their runs and what became of them."""
    return data_dir() / "suites"


def races_dir() -> Path:
    """Records of races."""
    return data_dir() / "races"


def user_suites_dir() -> Path:
    return user_presets_dir() / "suites"


def trash_dir() -> Path:
    return data_dir() / "trash"


def corpora_dir() -> Path:
    return cache_dir() / "corpora"


def builtin_presets_dir() -> Path:
    """The built-in presets: inside the wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    shipped = package / "presets"
    return shipped if shipped.is_dir() else package.parent / "presets"


def builtin_suites_dir() -> Path:
    return builtin_presets_dir() / "suites"


def builtin_races_dir() -> Path:
    return builtin_presets_dir() / "races"


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it is safe as a single path component.

    Raises:
        SlmTuiError: it is empty, too long, reserved, or contains characters other than
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


def python_path() -> str:
    """`PYTHONPATH` for a process that runs this package: a checkout need not be installed."""
    root = str(Path(__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH")
    return root + (os.pathsep + before if before else "")
