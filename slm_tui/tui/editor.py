"""Handing a text to the user's own editor and taking it back."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from slm_tui import plain_text
from slm_tui.errors import SlmTuiError


class EditorText:
    """A text in a file of its own, which stays there until `discard`: nothing typed is lost."""

    def __init__(self, name: str, text: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="slm-tui-"))
        self.path = self._folder / f"{name}.toml"
        self.path.write_text(text, encoding="utf-8")

    def edit(self, app: App[Any]) -> str:
        """Open the editor with the app out of the way; return what was saved.

        Raises:
            SlmTuiError: there is no editor, or it failed; the file stays.
        """
        command = editor_command()
        try:
            with app.suspend():
                code = subprocess.run([*command, str(self.path)], check=False).returncode
        except SuspendNotSupported:
            raise SlmTuiError(
                "the editor cannot be opened here",
                "this terminal cannot be handed over",
                f"edit {self.path} elsewhere",
            ) from None
        except OSError as error:
            raise SlmTuiError(
                f"{command[0]!r} cannot be started", str(error), "set VISUAL or EDITOR"
            ) from None
        if code != 0:
            raise SlmTuiError(
                f"{command[0]!r} ended with code {code}",
                "nothing was taken over",
                f"the text is in {self.path}",
            )
        try:
            return plain_text.read(self.path)
        except (OSError, ValueError) as error:
            raise SlmTuiError(f"{self.path} cannot be read back", str(error)) from None

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        # An editor may have left a backup beside it: then the folder stays.
        try:
            self._folder.rmdir()
        except OSError:
            return


def editor_command() -> list[str]:
    """`$VISUAL` or `$EDITOR` as words.

    Raises:
        SlmTuiError: neither is set.
    """
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise SlmTuiError(f"${name} cannot be understood", str(error)) from None
        if words:
            return words
    raise SlmTuiError(
        "no editor is known",
        "neither VISUAL nor EDITOR is set",
        "leave, run `export EDITOR=nano`, and start again",
    )
