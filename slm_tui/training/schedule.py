"""The learning rate as a function of the step."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, Strict

from slm_tui.config.training import Schedule
from slm_tui.records import Count, Step

_Place = Annotated[float, Strict(), Field(ge=0, le=2.0**53, allow_inf_nan=False)]
_Share = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
_Ratio = Annotated[float, Strict(), Field(ge=0, le=1e9, allow_inf_nan=False)]


@dataclass(frozen=True)
class Course:
    """Where a run whose end was moved is in its schedule; as planned if nothing is set.

    The share `decayed` of the decay was done at step `decay_from` (which counts as in
    `learning_rate` if a run ends by time); the rest fills the steps that are left. From step
    `rewarmed_at` on, the rate warms up again for `rewarm_steps`, from `rewarm_from` times the peak.
    """

    decay_from: _Place = 0.0
    decayed: _Share = 0.0
    rewarmed_at: Step = 0
    rewarm_steps: Count = 0
    rewarm_from: _Ratio = 0.0


_PLANNED = Course()
# Re-warming helps, however short it is (Ibrahim et al. 2024): for schedules without a warm-up.
_SHORTEST_REWARMING = 0.01
_LONGEST_REWARMING = 0.5


def windows_in_one(schedule: Schedule, place: float, max_steps: int) -> int:
    """Into how many windows each window of a step is divided: 2 while the length warms up, else 1.

    `place` is the number of the step; in a run that ends by time, further on if the time is.

    Short windows cost less, and teach first what depends on few tokens. The tokens of a step are
    the same. Source: Li et al. 2022 (arXiv:2108.06084), whose windows grow in many small steps.
    """
    return 2 if place < round(schedule.length_warmup_fraction * max_steps) else 1


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
    course: Course = _PLANNED,
) -> float:
    """Rate of update number `step`, counted from 0.

    An extended run keeps the warm-up of its `planned_steps`: a longer one would put it back
    below the peak. In a run that ends by time, `time_share` is the part of its time that has
    passed, 0 to 1; it is then as far in its schedule as if it had made that part of its steps.
    Only a warm-up given in steps still counts steps. `course` says how a run continues after its
    end was moved.

    Linear warm-up to `peak`, then constant; linear; half a cosine (Loshchilov and Hutter 2017,
    arXiv:1608.03983); or constant with a linear decay at the end (`wsd`: Hu et al. 2024,
    arXiv:2404.06395). All but the first reach the minimum at update `max_steps - 1`.
    """
    planned = planned_steps or max_steps
    warm = _warm(schedule, step, max_steps, planned, time_share, course)
    if warm is not None:
        return peak * warm
    if schedule.kind == "constant":
        return peak
    low = minimum_rate(schedule, peak)
    part = _decayed(schedule, step, max_steps, planned, time_share, course)
    if schedule.kind == "cosine":
        return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * part))
    return peak + (low - peak) * part


def moved(
    schedule: Schedule,
    step: int,
    max_steps: int,
    new_steps: int,
    planned_steps: int,
    *,
    time_share: float = 0.0,
    course: Course = _PLANNED,
) -> Course:
    """The course if the end moves from `max_steps` to `new_steps` before update `step`.

    The rate does not jump: a decay continues from where it is to the new end, and one that has
    ended stays at its minimum. One that has not begun is not affected.
    """
    if schedule.kind == "constant":
        return course
    if _warm(schedule, step, max_steps, planned_steps, time_share, course) is not None:
        return course
    part = _decayed(schedule, step, max_steps, planned_steps, time_share, course)
    if not part:
        return course
    return replace(course, decay_from=float(max(step, time_share * new_steps)), decayed=part)


def rewarmed(schedule: Schedule, step: int, new_steps: int, ratio: float) -> Course:
    """The course if the rate, now `ratio` times the peak, warms up again before update `step`.

    The warm-up is that of the schedule, for the steps that are left; the decay follows it. Ibrahim
    et al. 2024, arXiv:2403.08763.
    """
    left = max(1, new_steps - step)
    steps = min(warmup_steps(schedule, left), round(_LONGEST_REWARMING * left))
    steps = max(1, steps, round(_SHORTEST_REWARMING * left))
    return Course(rewarmed_at=step, rewarm_steps=steps, rewarm_from=ratio)


def _warm(
    schedule: Schedule,
    step: int,
    max_steps: int,
    planned_steps: int,
    time_share: float,
    course: Course,
) -> float | None:
    """The share of the peak during a warm-up; `None` after it."""
    if course.decayed:
        return None
    if course.rewarmed_at:
        done = step + 1 - course.rewarmed_at
        if done > course.rewarm_steps:
            return None
        share = max(0, done) / course.rewarm_steps
        return course.rewarm_from + (1 - course.rewarm_from) * share
    warmup = warmup_steps(schedule, planned_steps)
    at = step if schedule.warmup_steps is not None else max(step, time_share * max_steps)
    return _warmup_part(schedule.warmup_start_ratio, at, warmup) if at < warmup else None


def _decayed(
    schedule: Schedule,
    step: int,
    max_steps: int,
    planned_steps: int,
    time_share: float,
    course: Course,
) -> float:
    """The share of the decay that is done, 0 to 1."""
    at = max(step, time_share * max_steps)
    if course.decayed:
        begin = course.decay_from
    else:
        begin = warmup_steps(schedule, planned_steps)
        if course.rewarmed_at:
            begin = course.rewarmed_at + course.rewarm_steps
        if schedule.kind == "wsd":
            length = round(schedule.decay_fraction * (max_steps - course.rewarmed_at))
            begin = max(begin, max_steps - length)
    share = min(1.0, max(0.0, (at - begin) / max(1, max_steps - 1 - begin)))
    return course.decayed + (1 - course.decayed) * share


def _warmup_part(start: float, step: float, warmup: int) -> float:
    """Starting from 0, the first step already has a rate above 0, or it would be wasted."""
    if not start:
        return min(1.0, (step + 1) / warmup)
    return start + (1 - start) * step / warmup
