"""Moving the end of a run: where it ends now, and how its learning rate continues."""

from slm_tui.config.preset import Preset
from slm_tui.config.training import Schedule
from slm_tui.training import schedule as schedules
from slm_tui.training.schedule import Course
from slm_tui.training.state import TrainingState


def move_end(preset: Preset, state: TrainingState, max_steps: int, *, rewarm: bool = False) -> str:
    """Let the run of `state` end at `max_steps`; return how its learning rate continues.

    It never jumps unless `rewarm` is set: then it warms up to its peak again. The text is empty if
    nothing needs to be said, as the rate is not decaying.
    """
    schedule, before = preset.schedule, state.max_steps
    if max_steps == before and not rewarm:
        return ""
    now = rate(preset, state)
    # A run that ended by time had fewer steps than it might have had.
    planned = min(preset.training.max_steps, before)
    if rewarm and schedule.kind != "constant" and state.step:
        ratio = now / preset.optimizer.learning_rate
        state.course = schedules.rewarmed(schedule, state.step, max_steps, ratio)
    else:
        state.course = schedules.moved(
            schedule,
            state.step,
            before,
            max_steps,
            planned,
            time_share=_time_share(state),
            course=state.course,
        )
    state.max_steps = max_steps
    return _note(preset, state, now, rewarm=rewarm)


def end_here(state: TrainingState) -> None:
    """End a run at its step, as its time is used up: its learning rate has decayed."""
    state.max_steps = state.step
    state.course = Course(decay_from=float(state.step), decayed=1.0)


def rate(preset: Preset, state: TrainingState) -> float:
    """The learning rate of the next update, without what the user or a plateau changed."""
    return schedules.learning_rate(
        preset.schedule,
        preset.optimizer.learning_rate,
        state.step,
        state.max_steps,
        preset.training.max_steps,
        time_share=_time_share(state),
        course=state.course,
    )


def place(preset: Preset, state: TrainingState) -> float:
    """Where in the planned steps the next update is; time that has passed counts as steps."""
    return max(state.step, _time_share(state) * preset.training.max_steps)


def _time_share(state: TrainingState) -> float:
    """The part of its time that has passed, of a run that ends by time; else 0."""
    return state.elapsed_seconds / state.max_seconds if state.max_seconds else 0.0


def final_rate(preset: Preset) -> float:
    """The learning rate at the end of the schedule."""
    peak = preset.optimizer.learning_rate
    return schedules.minimum_rate(preset.schedule, peak) if decays(preset.schedule) else peak


def decays(schedule: Schedule) -> bool:
    """Whether the learning rate decays by itself."""
    return schedule.kind != "constant"


def _note(preset: Preset, state: TrainingState, now: float, *, rewarm: bool) -> str:
    if not decays(preset.schedule):
        return ""
    factor = state.learning_rate_multiplier * state.plateau_multiplier
    peak = preset.optimizer.learning_rate * factor
    low, now = final_rate(preset) * factor, now * factor
    course, end = state.course, f"{low:.3g} at step {state.max_steps:,}"
    if rewarm and course.rewarmed_at == state.step:
        steps = f"{course.rewarm_steps:,} step{'s' * (course.rewarm_steps != 1)}"
        return (
            f"the learning rate warms up again from {now:.3g} to {peak:.3g} in {steps}, "
            f"then decays to {end}"
        )
    if course.decayed >= 1:
        return f"the learning rate stays at {now:.3g}, where its decay ended"
    if course.decayed:
        return f"the learning rate continues from {now:.3g} and decays to {end}"
    return ""
