"""Changes to the checkpoints of a run: keep, promote, label, delete and restore.

Keeping and labelling are safe while the run trains; the others need the lock of the run.
"""

import contextlib
import math
import shutil
import time
from pathlib import Path

from slm_tui import paths
from slm_tui.errors import CheckpointError, RunError
from slm_tui.runs import store
from slm_tui.runs.info import evaluations
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint_dir


def run_of(path: Path) -> Run:
    """The run that the checkpoint at `path` belongs to."""
    return Run(path.parent.parent)


def keep(path: Path, *, on: bool) -> None:
    """Protect a checkpoint from automatic deletion, or stop protecting it.

    Raises:
        OSError: it cannot be written.
    """
    if on:
        checkpoint_dir.keep(path)
    else:
        checkpoint_dir.release(path)


def set_label(path: Path, text: str) -> None:
    """Label a checkpoint, so that commands find it by that name, and keep it.

    An empty text removes the label.

    Raises:
        SlmTuiError: the label is not valid.
        CheckpointError: another checkpoint of the run has it.
        OSError: it cannot be written.
    """
    if not text:
        checkpoint_dir.write_label(path, "")
        return
    check_label(path, text)
    checkpoint_dir.keep(path)
    checkpoint_dir.write_label(path, text)


def check_label(path: Path, text: str) -> None:
    """Check that `text` can be the label of the checkpoint at `path`.

    Raises:
        SlmTuiError: it is not valid, means something else, or another checkpoint has it.
    """
    paths.check_name(text, "label")
    if text.isdecimal() or text in checkpoint_dir.LINKS or text.startswith("step-"):
        raise CheckpointError(
            f"label {text!r} cannot be used", "it would mean another checkpoint", "choose another"
        )
    for other in checkpoint_dir.all_in(path.parent):
        if other != path and checkpoint_dir.label_of(other) == text:
            step = checkpoint_dir.step_of(other)
            raise CheckpointError(
                f"label {text!r} is taken", f"the checkpoint of step {step:,} has it"
            )


def promote(path: Path) -> None:
    """Make a checkpoint the best one of its run.

    It stays the best until training finds a lower validation loss than any before.

    Raises:
        RunError: the run is being trained.
        OSError: the directory cannot be written.
    """
    with store.lock(run_of(path)):
        checkpoint_dir.link(path.parent, "best", path.name)


def delete(path: Path) -> Path:
    """Move a checkpoint to the trash; return its new path.

    If it is the best or the last one, another one takes its place.

    Raises:
        RunError: the run is being trained, or is not in the runs directory, so that the
            checkpoint could not be restored.
        OSError: it cannot be moved.
    """
    run = run_of(path)
    if run.path.parent.resolve() != paths.runs_dir().resolve():
        raise RunError(
            f"checkpoint {path.name} cannot be moved to the trash",
            f"its run is not in {paths.runs_dir()}",
            "delete it for good instead",
        )
    with store.lock(run):
        trash = paths.trash_dir() / "checkpoints"
        trash.mkdir(parents=True, exist_ok=True)
        target = trash / f"{run.id}@{path.name}"
        if target.exists():
            target = trash / f"{run.id}@{path.name}@{time.time_ns()}"
        shutil.move(path, target)
        _link_again(run)
    return target


def erase(path: Path) -> None:
    """Delete a checkpoint for good.

    Raises:
        RunError: the run is being trained.
        OSError: it cannot be removed.
    """
    run = run_of(path)
    with store.lock(run):
        checkpoint_dir.discard(path)
        _link_again(run)


def restore(trashed: Path) -> Path:
    """Restore a deleted checkpoint; return its path in the run.

    Raises:
        CheckpointError: its run is gone, or has another checkpoint of that step.
        RunError: the run is being trained.
        OSError: it cannot be moved.
    """
    id, _, name = trashed.name.partition("@")
    name = name.partition("@")[0]
    run = Run(paths.runs_dir() / id)
    if not run.path.is_dir():
        raise CheckpointError(
            f"the run {id} of this checkpoint is gone", "", "restore the run first"
        )
    target = run.checkpoints / name
    if target.exists():
        raise CheckpointError(f"{id} has another checkpoint {name}", "", "delete that one first")
    with store.lock(run):
        run.checkpoints.mkdir(exist_ok=True)
        shutil.move(trashed, target)
        _link_again(run, restored=target)
    return target


def _link_again(run: Run, restored: Path | None = None) -> None:
    """Let `best` and `last` point at existing checkpoints, and at `restored` if it deserves it."""
    directory = run.checkpoints
    saved = checkpoint_dir.all_in(directory)
    losses = {one.step: one.loss for one in evaluations(run.path) if math.isfinite(one.loss)}
    known = [path for path in saved if checkpoint_dir.step_of(path) in losses]
    best = min(known, key=lambda path: losses[checkpoint_dir.step_of(path)], default=None)
    last = saved[-1] if saved else None
    for name, wanted in (("best", best), ("last", last)):
        now = checkpoint_dir.linked(directory, name)
        if wanted is None:
            if now is None:
                with contextlib.suppress(OSError):
                    (directory / name).unlink()
        elif now is None or wanted == restored:
            checkpoint_dir.link(directory, name, wanted.name)
