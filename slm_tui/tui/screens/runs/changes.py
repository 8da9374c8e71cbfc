"""Changes to runs and their checkpoints, with the questions before them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App

from slm_tui import paths
from slm_tui.errors import RunError, SlmTuiError, cause_of
from slm_tui.live.run_scanner import CheckpointLine, RunLine
from slm_tui.runs import catalog, checkpoints, store, trash
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Ask, Choice, Question, show_error_notice


class RunChanges:
    """Asks before changing a run or a checkpoint, and remembers what was deleted.

    Args:
        changed: called after each change, with a note to show.
    """

    def __init__(self, app: App[Any], changed: Callable[[str], None]) -> None:
        self._app = app
        self._changed = changed
        # What was deleted here, newest last: its place in the trash and its name.
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
        where = self._done(store.delete, Run(line.path))
        if isinstance(where, Path):
            self._deleted.append((where, line.name))
            self._changed(f"{one_line(line.name, 24)} moved to the trash, u restores it")

    def pin(self, line: RunLine) -> None:
        """Pin the run to the top, or no longer."""
        try:
            catalog.pin(Run(line.path), on=not line.is_pinned)
        except OSError as error:
            show_error_notice(self._app, RunError("the run cannot be pinned", cause_of(error)))
        self._changed("")

    def keep(self, line: CheckpointLine) -> None:
        """Keep the checkpoint, or no longer."""
        if self._done(functools.partial(checkpoints.keep, on=not line.is_kept), line.path):
            self._changed("")

    def promote(self, line: CheckpointLine) -> None:
        """Make the checkpoint the best one of its run."""
        if self._done(checkpoints.promote, line.path):
            self._changed(f"step {line.step:,} is now the best checkpoint")

    def label(self, line: CheckpointLine) -> None:
        """Ask for a label."""
        question = Ask(
            f"Label of step {line.step:,}",
            "Commands find it as RUN@LABEL. A labelled checkpoint is never deleted automatically. "
            "Leave it empty to remove the label.",
            line.label,
            lambda text: _label_problem(line.path, text),
        )

        def set_label(text: str | None) -> None:
            if text is not None and self._done(checkpoints.set_label, line.path, text):
                self._changed("")

        self._app.push_screen(question, set_label)

    def delete_checkpoint(self, run: RunLine, line: CheckpointLine, *, is_only: bool) -> None:
        """Ask, then move the checkpoint to the trash, or delete it for good."""
        about = "The run can then no longer be resumed or chatted with." if is_only else ""
        if not is_only and (line.is_best or line.is_last):
            which = " and ".join(
                word for word, there in (("best", line.is_best), ("last", line.is_last)) if there
            )
            about = f"It is the {which} one: another checkpoint takes its place."
        name = f"{one_line(run.name, 30)} @ {line.step:,}"
        question = Question(
            f"Delete checkpoint {name}?",
            about or "The run and its other checkpoints stay.",
            [
                # The one that cannot be undone is farthest from the default.
                Choice("erase", "Delete for good", "and free its disk space"),
                Choice("delete", "Delete", "move it to the trash (u restores it)"),
                Choice("cancel", "Cancel"),
            ],
            default="cancel",
        )
        self._app.push_screen(question, lambda answer: self._delete_checkpoint(line, name, answer))

    def _delete_checkpoint(self, line: CheckpointLine, name: str, answer: str | None) -> None:
        if answer == "erase" and self._done(checkpoints.erase, line.path):
            self._changed(f"{name} deleted")
        elif answer == "delete":
            where = self._done(checkpoints.delete, line.path)
            if isinstance(where, Path):
                self._deleted.append((where, name))
                self._changed(f"{name} moved to the trash, u restores it")

    def undo(self) -> None:
        """Restore what was deleted last, even by another process."""
        # What was restored from the trash dialog is not restored again.
        self._deleted = [one for one in self._deleted if one[0].exists()]
        found = [one for one in trash.entries() if one.kind in ("run", "checkpoint")]
        if not found:
            self._app.notify("There is nothing to restore: the trash is empty", markup=False)
            return
        where, name = self._deleted.pop() if self._deleted else (found[0].path, found[0].name)
        item = next((one for one in found if one.path == where), found[0])
        if self._done(trash.restore, item):
            self._changed(f"{one_line(name, 30)} restored")

    def _done(self, call: Callable[..., object], *arguments: object) -> object:
        """The result of `call`, or `True` if it returns nothing; on errors, a notice and `None`."""
        try:
            return call(*arguments) or True
        except SlmTuiError as error:
            show_error_notice(self._app, error)
        except OSError as error:
            show_error_notice(self._app, RunError("it cannot be changed", cause_of(error)))
        return None


def _label_problem(path: Path, text: str) -> str:
    try:
        if text:
            checkpoints.check_label(path, text)
    except SlmTuiError as error:
        return str(error)
    return ""


def _name_problem(text: str) -> str:
    try:
        paths.check_name(text, "run name")
    except SlmTuiError as error:
        return str(error)
    return ""
