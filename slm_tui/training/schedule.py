"""The learning rate as a function of the step."""

import math

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
    schedule: Schedule,
    peak: float,
    step: int,
    max_steps: int,
    planned_steps: int = 0,
    *,
    time_share: float = 0.0,
) -> float:
    """Rate of update number `step`, counted from 0.

    An extended run keeps the warm-up of its `planned_steps`: a longer one would put it back
    below the peak. In a run that ends by time, `time_share` is the part of its time that has
    passed, 0 to 1; it is then as far in its schedule as if it had made that part of its steps.
    Only a warm-up given in steps still counts steps.

    Linear warm-up to `peak`, then constant; linear; half a cosine (Loshchilov and Hutter 2017,
    arXiv:1608.03983); or constant with a linear decay at the end (`wsd`: Hu et al. 2024,
    arXiv:2404.06395). All but the first reach the minimum at update `max_steps - 1`.
    """
    warmup = warmup_steps(schedule, planned_steps or max_steps)
    at = max(step, time_share * max_steps)
    warm_at = step if schedule.warmup_steps is not None else at
    if warm_at < warmup:
        return peak * _warmup_part(schedule.warmup_start_ratio, warm_at, warmup)
    if schedule.kind == "constant":
        return peak
    low = minimum_rate(schedule, peak)
    begin = warmup
    if schedule.kind == "wsd":
        begin = max(warmup, max_steps - round(schedule.decay_fraction * max_steps))
    part = min(1.0, max(0.0, (at - begin) / max(1, max_steps - 1 - begin)))
    if schedule.kind == "cosine":
        return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * part))
    return peak + (low - peak) * part


def _warmup_part(start: float, step: float, warmup: int) -> float:
    """Starting from 0, the first step already has a rate above 0, or it would be wasted."""
    if not start:
        return min(1.0, (step + 1) / warmup)
    return start + (1 - start) * step / warmup
