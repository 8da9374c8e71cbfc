"""The app's two themes, and the settings file that remembers the chosen one."""

from pathlib import Path

import tomli_w
from textual.theme import Theme

from slm_tui import paths, plain_text, safe_files

# Secondary text in content. ($text-muted is for CSS: content draws it unmuted.)
MUTED = "$foreground-muted"

DARK = Theme(
    name="slm-dark",
    primary="#4c9be8",
    secondary="#7fb3a6",
    accent="#ffb454",
    warning="#ffb454",
    error="#f2707f",
    success="#86cfa0",
    foreground="#dcdfe4",
    background="#111316",
    surface="#1a1d22",
    panel="#20272e",
    dark=True,
)
LIGHT = Theme(
    name="slm-light",
    primary="#1f6fbf",
    secondary="#3f7f72",
    accent="#b86a00",
    warning="#a35f00",
    error="#b3263c",
    success="#1d7a45",
    foreground="#22262b",
    background="#faf9f6",
    surface="#f0eeea",
    panel="#e4e1db",
    dark=False,
)


def remembered() -> str:
    """The last chosen theme; empty if there is none or the file cannot be read."""
    try:
        value = plain_text.toml(plain_text.read(_path())).get("theme", "")
    except (OSError, ValueError):
        return ""
    return value if isinstance(value, str) else ""


def remember(name: str) -> None:
    """Save `name` for next time and keep other settings in the file; ignore write errors."""
    try:
        settings = plain_text.toml(plain_text.read(_path()))
    except (OSError, ValueError):
        settings = {}
    if settings.get("theme") == name:
        return
    try:
        safe_files.write_atomically(_path(), tomli_w.dumps({**settings, "theme": name}))
    except OSError:
        return


def _path() -> Path:
    return paths.config_dir() / "settings.toml"
