"""The speed of a training, and its remaining time."""

import time
from collections import deque

from slm_tui.config.training import Training
from slm_tui.training.events import Stepped

_WINDOW_SECONDS = 30.0
_BETWEEN_MARKS = 0.5


class StepPace:
    """Steps per wall-clock time over the last half minute, including evaluations and samples."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, step: int) -> None:
        """Record that `step` was completed now."""
        now = time.monotonic()
        if self._marks and now - self._marks[-1][0] < _BETWEEN_MARKS:
            return
        self._marks.append((now, step))
        while now - self._marks[0][0] > _WINDOW_SECONDS:
            self._marks.popleft()

    def clear(self) -> None:
        """Clear the marks: time spent paused is not training time."""
        self._marks.clear()

    def seconds_for(self, steps: int) -> float | None:
        """Seconds that `steps` more will take; `None` until the pace is known."""
        # Another thread may add marks meanwhile.
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][1] <= marks[0][1]:
            return None
        per_step = (marks[-1][0] - marks[0][0]) / (marks[-1][1] - marks[0][1])
        return max(0.0, steps * per_step)


def steps_in_time(training: Training, event: Stepped) -> int:
    """The steps that a run which ends by time will have made, judged by those up to `event`."""
    if training.max_minutes is None or not event.elapsed_seconds:
        return training.max_steps
    fit = round(event.step * 60 * training.max_minutes / event.elapsed_seconds)
    return max(event.step, min(training.max_steps, fit))
