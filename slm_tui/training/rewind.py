"""Going back to weights that were saved: after a break, and to the best at the end."""

from pathlib import Path

from slm_tui.models.base import LanguageModel
from slm_tui.training.checkpoint import TrainingState, link, linked, load_weights, newest, read
from slm_tui.training.guard import Guard
from slm_tui.training.optimizer import FlatOptimizer


def go_back(
    directory: Path,
    model: LanguageModel,
    optimizer: FlatOptimizer,
    state: TrainingState,
    guard: Guard,
) -> bool:
    """Return to the last good checkpoint with half the learning rate, if there is one.

    `state` is changed in place; what was seen after the checkpoint is seen again.
    """
    good, _ = newest(directory, guard.is_good)
    if good is None:
        return False
    load_weights(model, good.weights())
    optimizer.load_state(good.moments())
    optimizer.clear()
    state.step, state.tokens_seen = good.state.step, good.state.tokens_seen
    state.evaluated_step = good.state.evaluated_step
    state.sampled_step = good.state.sampled_step
    state.learning_rate_multiplier = good.state.learning_rate_multiplier / 2
    guard.reset()
    return True


def restore_best(directory: Path, model: LanguageModel) -> bool:
    """Give the model its best weights and let `last` point at them, if there are any.

    The checkpoint of the last step stays, so that the run can be resumed where it stopped.
    """
    best = linked(directory, "best")
    if best is None:
        return False
    load_weights(model, read(best).weights())
    link(directory, "last", best.name)
    return True
