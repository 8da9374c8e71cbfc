"""The learning rate as a function of the step."""

import math

from slm_tui.config.built import NotBuiltYet
from slm_tui.config.training import Schedule


def warmup_steps(schedule: Schedule, max_steps: int) -> int:
    """Steps of linear warm-up."""
    if schedule.warmup_steps is not None:
        return schedule.warmup_steps
    return round((schedule.warmup_fraction or 0.0) * max_steps)


def minimum_rate(schedule: Schedule, peak: float) -> float:
    """Learning rate at the end."""
    if schedule.minimum is not None:
        return schedule.minimum
    return (schedule.minimum_ratio or 0.0) * peak


def learning_rate(
    schedule: Schedule, peak: float, step: int, max_steps: int, planned_steps: int = 0
) -> float:
    """Rate of update number `step`, counted from 0.

    A run that was given more steps keeps the warm-up of its `planned_steps`: a longer one
    would send it back below its peak.

    Linear warm-up to `peak`, then constant, a line, or half a cosine (Loshchilov and Hutter
    2017, arXiv:1608.03983) down to the minimum, reached at update `max_steps - 1`.
    """
    warmup = warmup_steps(schedule, planned_steps or max_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule.kind == "constant":
        return peak
    low = minimum_rate(schedule, peak)
    part = min(1.0, (step - warmup) / max(1, max_steps - 1 - warmup))
    if schedule.kind == "linear":
        return peak + (low - peak) * part
    if schedule.kind == "cosine":
        return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * part))
    raise NotBuiltYet(f"the schedule {schedule.kind}", "it comes in a later version; use linear")
