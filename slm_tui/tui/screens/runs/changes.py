"""Renaming, deleting and restoring runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from slm_tui import paths
from slm_tui.errors import RunError, SlmTuiError, cause_of
from slm_tui.live.run_scanner import RunLine
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Ask, Choice, Question, show_error_notice


class RunChanges:
    """Asks before changing a run, and remembers deleted runs.

    Args:
        changed: called after each change, with a note to show.
    """

    def __init__(self, app: App[Any], changed: Callable[[str], None]) -> None:
        self._app = app
        self._changed = changed
        # Trash directories of runs deleted here, newest last, with the names of the runs.
        self._deleted: list[tuple[Path, str]] = []

    def rename(self, line: RunLine) -> None:
        """Ask for a new name."""
        question = Ask(
            "Rename",
            "The folder on disk keeps its old name.",
            line.name,
            _name_problem,
        )
        self._app.push_screen(question, lambda name: self._rename(line, name))

    def _rename(self, line: RunLine, name: str | None) -> None:
        if name is not None and self._done(store.rename, Run(line.path), name):
            self._changed("")

    def delete(self, line: RunLine) -> None:
        """Ask, then move the run to the trash."""
        question = Question(
            f"Delete {one_line(line.name, 40)}?",
            "The run and all its checkpoints move to the trash (u restores it).",
            [Choice("delete", "Delete", "move it to the trash"), Choice("keep", "Keep")],
            default="keep",
        )
        self._app.push_screen(question, lambda answer: self._delete(line, answer))

    def _delete(self, line: RunLine, answer: str | None) -> None:
        if answer != "delete":
            return
        trash = self._done(store.delete, Run(line.path))
        if isinstance(trash, Path):
            self._deleted.append((trash, line.name))
            self._changed(f"{one_line(line.name, 24)} moved to the trash, u restores it")

    def undo(self) -> None:
        """Restore the run that was deleted last, even by another process."""
        # What was restored from the trash dialog is not restored again.
        self._deleted = [one for one in self._deleted if one[0].exists()]
        if not self._deleted:
            trashed = store.trashed()
            if not trashed:
                show_error_notice(
                    self._app, RunError("no deleted run to restore", "the trash is empty")
                )
                return
            self._deleted.append((trashed[-1], trashed[-1].name))
        where, name = self._deleted.pop()
        if self._done(store.restore, where):
            self._changed(f"{one_line(name, 24)} restored")

    def _done(self, call: Callable[..., object], *arguments: object) -> object:
        """The result of `call`, or `True` if it returns nothing; on errors, a notice and `None`."""
        try:
            return call(*arguments) or True
        except SlmTuiError as error:
            show_error_notice(self._app, error)
        except OSError as error:
            show_error_notice(self._app, RunError("the run cannot be changed", cause_of(error)))
        return None


def _name_problem(text: str) -> str:
    try:
        paths.check_name(text, "run name")
    except SlmTuiError as error:
        return str(error)
    return ""
