"""Editing a text in the user's own editor."""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from slm_tui import plain_text
from slm_tui.errors import SlmTuiError

# Tried in this order if no editor is set.
_USUAL = ("nano", "vi")


class EditorText:
    """A text in a temporary file that is kept until `discard`, so that no typing is lost."""

    def __init__(self, name: str, text: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="slm-tui-"))
        self.path = self._folder / f"{name}.toml"
        self.path.write_text(text, encoding="utf-8")

    def edit(self, app: App[Any]) -> str:
        """Suspend the app, open the editor, and return what was saved.

        Raises:
            SlmTuiError: there is no editor, or it failed; the file is kept.
        """
        command = editor_command()
        try:
            with app.suspend():
                code = subprocess.run([*command, str(self.path)], check=False).returncode
        except SuspendNotSupported:
            raise SlmTuiError(
                "the editor cannot be opened here",
                "the app cannot be suspended in this terminal",
                f"edit {self.path} elsewhere",
            ) from None
        except OSError as error:
            raise SlmTuiError(
                f"{command[0]!r} cannot be started", str(error), "set VISUAL or EDITOR"
            ) from None
        if code != 0:
            raise SlmTuiError(
                f"{command[0]!r} exited with code {code}",
                "the edits were not applied",
                f"your text is in {self.path}",
            )
        try:
            return plain_text.read(self.path)
        except (OSError, ValueError) as error:
            raise SlmTuiError(f"{self.path} cannot be read", str(error)) from None

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        # If the editor left a backup file, keep the folder.
        try:
            self._folder.rmdir()
        except OSError:
            return


def editor_command() -> list[str]:
    """`$VISUAL` or `$EDITOR`, split into words; nano or vi if neither is set.

    Raises:
        SlmTuiError: there is no editor.
    """
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise SlmTuiError(f"${name} cannot be parsed", str(error)) from None
        if words:
            return words
    for name in _USUAL:
        if shutil.which(name):
            return [name]
    raise SlmTuiError(
        "there is no editor",
        f"neither VISUAL nor EDITOR is set, and {' and '.join(_USUAL)} are not installed",
        "quit, run `export EDITOR=nano`, and start again",
    )
