"""Going back to saved weights: after a failure, and to the best at the end."""

from pathlib import Path

import torch

from slm_tui.models.base import LanguageModel
from slm_tui.training import checkpoint_dir
from slm_tui.training.checkpoint import Checkpoint, load_weights, newest, read
from slm_tui.training.checkpoint_dir import link, linked, name_of
from slm_tui.training.guard import Guard
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.state import TrainingState

# State of the run that is independent of the step.
_STAYS = {
    "max_steps",
    "max_seconds",
    "course",
    "elapsed_seconds",
    "learning_rate_multiplier",
    "skipped_steps",
    "micro_batch",
    "threads",
    "loss_scale",
    "loss_scale_calm",
    "guard",
}


def go_back(
    directory: Path,
    model: LanguageModel,
    optimizer: FlatOptimizer,
    state: TrainingState,
    guard: Guard,
) -> bool:
    """Return to the last good checkpoint with half the learning rate, if there is one.

    `state` is changed in place; text seen after the checkpoint is seen again. Later checkpoints
    are set aside: a resume would otherwise continue from the failure.
    """

    def is_good(checkpoint: Checkpoint) -> bool:
        whole = (torch.isfinite(weight).all() for weight in checkpoint.weights().values())
        return guard.is_good(checkpoint.state) and all(map(bool, whole))

    good, _ = newest(directory, is_good)
    if good is None:
        return False
    load_weights(model, good.weights())
    optimizer.load_state(good.moments())
    optimizer.clear()
    for name, value in vars(good.state).items():
        if name not in _STAYS:
            setattr(state, name, value)
    state.learning_rate_multiplier = good.state.learning_rate_multiplier / 2
    checkpoint_dir.set_aside(checkpoint_dir.later_than(directory, state.step), "diverged")
    link(directory, "last", good.path.name)
    guard.reset()
    guard.has_gone_back = True
    return True


def restore_best(directory: Path, model: LanguageModel) -> bool:
    """Restore the best weights and point `last` at them, if there are any.

    The checkpoint of the last step stays, so that the run can be resumed where it stopped.
    """
    best = linked(directory, "best")
    if best is None:
        return False
    load_weights(model, read(best).weights())
    link(directory, "last", best.name)
    return True


def relink_best(directory: Path, state: TrainingState) -> None:
    """Point `best` where `state` says: a process may have been killed before setting the link."""
    best = directory / name_of(state.best_step or 0)
    if checkpoint_dir.is_checkpoint(best) and linked(directory, "best") != best:
        link(directory, "best", best.name)
