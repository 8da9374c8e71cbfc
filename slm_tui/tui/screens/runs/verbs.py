"""What can be done on the Runs screen: open, load, evaluate, resume, fork, rename, delete."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

from slm_tui import paths
from slm_tui.config.built import check_built
from slm_tui.config.overrides import apply
from slm_tui.config.preset import Preset
from slm_tui.errors import CheckpointError, PresetError, RunError, SlmTuiError, cause_of
from slm_tui.live.run_scanner import RunLine
from slm_tui.runs import store
from slm_tui.runs.evaluation_results import Settings, Split
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Ask, Choice, Question, complain
from slm_tui.tui.resume_dialog import ask_to_resume
from slm_tui.tui.screens.evaluation.screen import EvaluationDialog

if TYPE_CHECKING:
    from slm_tui.tui.screens.runs.screen import RunsScreen


def forked(preset: Preset, text: str) -> Preset:
    """`preset` with the overrides of one line, as `training.max_steps=500`.

    Raises:
        PresetError: they cannot be read, or the result is not valid.
        NotBuiltYet: this version cannot train it.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise PresetError("the line cannot be read", str(error), "close the quotes") from None
    changed = apply(preset, words)
    check_built(changed)
    return changed


def _error_of(call: object, *arguments: object) -> str:
    try:
        call(*arguments)  # type: ignore[operator]
    except SlmTuiError as error:
        return str(error)
    return ""


def _step_of(checkpoint: Path) -> str:
    """`1,500` of `step-001500`, as the list of checkpoints has it; else the name itself."""
    digits = checkpoint.name.removeprefix("step-")
    return f"{int(digits):,}" if digits.isdecimal() else one_line(checkpoint.name, 30)


def _busy(line: RunLine) -> RunError:
    return RunError(f"{one_line(line.name)} is being trained", "", "stop it first (2, then x)")


class RunVerbs:
    """The part of the Runs screen that changes things."""

    # Trash folders of what was deleted here, newest last, with the names of the runs.
    _deleted: list[tuple[Path, str]]

    @property
    def _me(self) -> "RunsScreen":
        return cast("RunsScreen", self)

    def action_open(self) -> None:
        me, line = self._me, self._me.current
        if me.on_checkpoints:
            self.action_load()
        elif line is not None and not me.damaged(line):
            me.slm.open_run(line.path)

    def action_load(self) -> None:
        checkpoint = self._checkpoint()
        if checkpoint is not None:
            self._me.slm.open_chat(checkpoint)

    def _checkpoint(self) -> Path | None:
        """The checkpoint under the cursor, or a notice that there is none."""
        me, line = self._me, self._me.current
        if line is None or me.damaged(line):
            return None
        if me.current_checkpoint is None:
            name = one_line(line.name)
            remedy = "r goes on with the run" if not line.is_live else "wait until it saves one"
            complain(me.app, CheckpointError(f"{name} has no checkpoint yet", "", remedy))
        return me.current_checkpoint

    def action_evaluate(self) -> None:
        """Evaluate the checkpoint under the cursor, or compare the best ones of the selected
        runs."""
        me = self._me
        several = list(me.table.selected) if not me.on_checkpoints else []
        if len(several) > 1:
            where, what = several, f"the best checkpoints of {len(several)} runs"
        else:
            checkpoint = self._checkpoint()
            if checkpoint is None or me.current is None:
                return
            where, what = [checkpoint], f"{one_line(me.current.name, 30)} @ {_step_of(checkpoint)}"
        question = Question(
            f"Evaluate {what}",
            "On which text? Every token of it counts once."
            + (" It is that of the first one selected." if len(several) > 1 else ""),
            [
                Choice("validation", "Validation", "held out; it chose the best checkpoint"),
                Choice("test", "Test", "held out for the end, if the preset keeps some"),
                Choice("train", "Training", "what the model was trained on"),
            ],
            default="validation",
        )
        me.app.push_screen(question, lambda split: self._evaluate(where, split))

    def _evaluate(self, where: list[Path], split: str | None) -> None:
        if split is None:
            return
        # A training in this process has the device; beside it, one core must do.
        beside = self._me.slm.workshop.is_training
        settings = Settings(cast(Split, split), device="cpu" if beside else "auto")
        self._me.app.push_screen(EvaluationDialog(where, settings, beside=beside))

    # Going on

    def action_resume(self) -> None:
        me, line = self._me, self._me.current
        if line is None or me.damaged(line):
            return
        if line.is_live:
            complain(me.app, _busy(line))
        else:
            ask_to_resume(
                me.app, me.slm.workshop, Run(line.path), line.info, lambda: self._show(line)
            )

    def _show(self, line: RunLine) -> None:
        self._me.slm.open_run(line.path)

    def action_fork(self) -> None:
        me, line = self._me, self._me.current
        checkpoint = self._checkpoint()
        if line is None or checkpoint is None:
            return
        try:
            preset = Run(line.path).preset()
        except SlmTuiError as error:
            complain(me.app, error)
            return
        question = Ask(
            f"New run from {one_line(line.name, 30)} @ {_step_of(checkpoint)}",
            "What should be different? One line, for example\n"
            "training.max_steps=500 optimizer.learning_rate=1e-4",
            f"training.max_steps={preset.training.max_steps} ",
            lambda text: _error_of(forked, preset, text),
        )
        me.app.push_screen(question, lambda text: self._fork(checkpoint, preset, text))

    def _fork(self, checkpoint: Path, preset: Preset, text: str | None) -> None:
        if text is None:
            return
        me = self._me
        try:
            me.slm.workshop.fork(checkpoint, forked(preset, text))
        except SlmTuiError as error:
            complain(me.app, error, "This run cannot start")
        else:
            me.slm.go("train")

    # Names and the trash

    def action_rename(self) -> None:
        me, line = self._me, self._me.current
        if line is None or me.damaged(line):
            return
        if line.is_live:
            complain(me.app, _busy(line))
            return
        question = Ask(
            "Rename",
            "Its folder keeps its name.",
            line.name,
            lambda text: _error_of(paths.check_name, text, "run name"),
        )
        me.app.push_screen(question, lambda name: self._rename(line, name))

    def _rename(self, line: RunLine, name: str | None) -> None:
        if name is not None and self._done(store.rename, Run(line.path), name):
            self._read_again("")

    def action_delete(self) -> None:
        me, line = self._me, self._me.current
        if line is None:
            return
        if line.is_live:
            complain(me.app, _busy(line))
            return
        question = Question(
            f"Delete {one_line(line.name, 40)}?",
            "It goes to the trash with all its checkpoints; u brings it back.",
            [Choice("delete", "Delete", "move it to the trash"), Choice("keep", "Keep")],
            default="keep",
        )
        me.app.push_screen(question, lambda answer: self._delete(line, answer))

    def _delete(self, line: RunLine, answer: str | None) -> None:
        if answer != "delete":
            return
        went = self._done(store.delete, Run(line.path))
        if isinstance(went, Path):
            self._trash().append((went, line.name))
            self._read_again(f"{one_line(line.name, 24)} is in the trash, u brings it back")

    def action_undo(self) -> None:
        deleted = self._trash()
        # The trash can be opened too: what came back from there is not brought back again.
        deleted[:] = [one for one in deleted if one[0].exists()]
        if not deleted:
            found = store.trashed()
            if not found:
                complain(self._me.app, RunError("there is no deleted run", "the trash is empty"))
                return
            deleted.append((found[-1], found[-1].name))
        where, name = deleted.pop()
        if self._done(store.restore, where):
            self._read_again(f"{one_line(name, 24)} is back")

    def _trash(self) -> list[tuple[Path, str]]:
        if not hasattr(self, "_deleted"):
            self._deleted = []
        return self._deleted

    def _done(self, call: object, *arguments: object) -> object:
        """What `call` returns, `True` for nothing; after an error a notice and `None`."""
        try:
            return call(*arguments) or True  # type: ignore[operator]
        except SlmTuiError as error:
            complain(self._me.app, error)
        except OSError as error:
            complain(self._me.app, RunError("the run cannot be changed", cause_of(error)))
        return None

    def _read_again(self, note: str) -> None:
        self._me.note = note
        self._me.reader.wake()
