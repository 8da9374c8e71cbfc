"""Reduces the learning rate when the validation loss stops improving."""

from slm_tui.config.preset import Preset
from slm_tui.config.training import Schedule
from slm_tui.training.events import Changed, Warned
from slm_tui.training.schedule import warmup_steps
from slm_tui.training.state import TrainingState


def reduce_on_plateau(preset: Preset, state: TrainingState) -> list[Warned | Changed]:
    """Call this after each evaluation; counts in `state` and returns what to report.

    The rate is multiplied by `plateau_factor` after `plateau_patience` steps without a better
    validation loss, down to `plateau_floor` in total; then it waits for `plateau_cooldown` steps.
    Warm-up does not count.
    """
    warmup = warmup_steps(preset.schedule, preset.training.max_steps)
    if not _reduces(preset.schedule, state, warmup):
        return []
    rate = state.learning_rate_multiplier * state.plateau_multiplier
    text = "the validation loss has stopped improving: learning rate reduced"
    return [Warned(state.step, text), Changed(state.step, "learning_rate", rate)]


def _reduces(schedule: Schedule, state: TrainingState, warmup: int) -> bool:
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
