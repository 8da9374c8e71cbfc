"""Steps that were launched but whose results were not read yet."""

import time
from dataclasses import dataclass, replace

from slm_tui.training.events import Stepped
from slm_tui.training.stepper import Stepper, StepResult
from slm_tui.training.token_rate import TokenRate


@dataclass(frozen=True)
class LaunchedStep:
    """A step; `seconds` is its share of the time that it and those read with it took, and
    `tokens_per_second` the rate of training after it. Both are 0 until it is read."""

    step: int
    tokens_seen: int
    learning_rate: float
    seconds: float = 0.0
    tokens_per_second: float = 0.0

    def event(self, result: StepResult, elapsed_seconds: float) -> Stepped:
        """What to report of it; `elapsed_seconds` of training after it."""
        return Stepped(
            self.step,
            elapsed_seconds,
            self.tokens_seen,
            self.learning_rate,
            result.loss,
            result.gradient_norm,
            self.tokens_per_second,
            result.metrics,
        )


class LaunchedSteps:
    """Reads the results of launched steps together.

    Args:
        tokens: of each step.
    """

    def __init__(self, stepper: Stepper, tokens: int) -> None:
        self._stepper = stepper
        self._tokens = tokens
        self._steps: list[LaunchedStep] = []
        self._seconds = 0.0
        self._pace = TokenRate()

    @property
    def are_read(self) -> bool:
        """Whether no step is waiting to be read."""
        return not self._steps

    def add(self, step: LaunchedStep, seconds: float) -> None:
        """A step that the stepper was just given; `seconds` the host spent on that."""
        self._steps.append(step)
        self._seconds += seconds

    def read(self) -> list[tuple[LaunchedStep, StepResult]]:
        """Wait for the results of all steps since the last call; in their order."""
        steps, self._steps = self._steps, []
        if not steps:
            return []
        began = time.monotonic()
        results = self._stepper.results()
        each = (self._seconds + time.monotonic() - began) / len(steps)
        self._seconds = 0.0
        rates = [self._pace.add(each, step.tokens_seen, self._tokens) for step in steps]
        read = [
            replace(step, seconds=each, tokens_per_second=rate)
            for step, rate in zip(steps, rates, strict=True)
        ]
        return list(zip(read, results, strict=True))
