"""Reduces the learning rate when the validation loss stops improving."""

from slm_tui.config.training import Schedule
from slm_tui.training.state import TrainingState


def reduce_on_plateau(schedule: Schedule, state: TrainingState, warmup: int) -> bool:
    """Call this after each evaluation; counts in `state` and returns whether it reduced.

    The rate is multiplied by `plateau_factor` after `plateau_patience` steps without a better
    validation loss, down to `plateau_floor` in total; then it waits for `plateau_cooldown` steps.
    Warm-up does not count.
    """
    loss = state.val_loss
    if schedule.plateau_factor is None or loss is None or state.step < warmup:
        return False
    if state.plateau_loss is None or loss < state.plateau_loss:
        state.plateau_loss = loss
        state.plateau_step = max(state.plateau_step, state.step)
        return False
    if state.step - state.plateau_step < schedule.plateau_patience:
        return False
    lower = max(schedule.plateau_floor, state.plateau_multiplier * schedule.plateau_factor)
    if lower >= state.plateau_multiplier:
        return False
    state.plateau_multiplier = lower
    state.plateau_step = state.step + schedule.plateau_cooldown
    return True
