"""Which checkpoint Chat loads, whether its run has a newer one, and saving conversations."""

from dataclasses import dataclass
from pathlib import Path

from slm_tui.errors import SlmTuiError
from slm_tui.runs import store
from slm_tui.runs.info import is_run
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.training import checkpoint_dir


@dataclass(frozen=True)
class CheckpointOffer:
    """Another checkpoint of the run. `loaded` describes the loaded checkpoint: `★ best`,
    `last` or nothing; `word` describes the other one."""

    path: Path
    step: int
    word: str
    is_newer: bool
    loaded: str = ""


def has_checkpoint(run: Run) -> bool:
    """Whether a run directory holds a complete checkpoint. Needs no torch."""
    return checkpoint_dir.any_in(run.checkpoints)


def run_label(path: Path) -> str:
    """The name of the run that `path` is, or is a checkpoint of."""
    run = Run(path if is_run(path) else path.parent.parent)
    try:
        name = run.info().name or run.id
    except SlmTuiError:
        name = run.id
    return one_line(name, 32)


def first_model(live: Run | None) -> Path | None:
    """The run to load from at first: the live one, else the newest with a checkpoint."""
    candidates = ([live] if live is not None else []) + store.all_runs()
    return next((run.path for run in candidates if has_checkpoint(run)), None)


def newer_than(loaded: Path) -> CheckpointOffer | None:
    """The run's best checkpoint, or its newest if the best is older than the loaded one."""
    directory, step = loaded.parent, checkpoint_dir.linked_step(loaded)
    best, last = (checkpoint_dir.linked(directory, name) for name in checkpoint_dir.LINKS)
    complete = checkpoint_dir.all_in(directory)
    if not complete:
        return None
    newest = complete[-1]
    same = {one.name for one in (best,) if one is not None}
    kind = "★ best" if loaded.name in same else ""
    if not kind and last is not None and last.name == loaded.name:
        kind = "last"
    if best is not None and checkpoint_dir.step_of(best) > step:
        return CheckpointOffer(best, checkpoint_dir.step_of(best), "is now the best", True, kind)
    if checkpoint_dir.step_of(newest) > step:
        return CheckpointOffer(newest, checkpoint_dir.step_of(newest), "is newer", True, kind)
    other = best if best is not None else newest
    return CheckpointOffer(other, checkpoint_dir.step_of(other), "", False, kind)
