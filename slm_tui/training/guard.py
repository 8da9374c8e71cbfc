"""Watches every step for trouble: losses that are not finite, spikes, divergence."""

import math

from slm_tui.training.events import Spiked
from slm_tui.training.state import TrainingState
from slm_tui.training.stepper import StepResult

NON_FINITE_IN_A_ROW = 5
# The mean changes slowly enough not to follow a spike, but fast enough to follow learning.
_MEMORY = 0.98
_STEPS_TO_LEARN = 50
_DEVIATIONS = 8.0
_LEAST_NATS = 0.5
_QUIET_STEPS = 100
# Worse than a uniform guess for this long after being better: it will not recover by itself.
_STEPS_LOST = 50
# Worse than a uniform guess for this long without getting better: it never learned anything.
_STEPS_NEVER = 200
_BETTER = 0.95
# With a learning rate this many times the highest usual one, a loss that stays above this fraction
# of a uniform guess for this long without getting better is due to the rate.
_FAR_TOO_HIGH, _LITTLE_LEARNED, _STEPS_STUCK = 25, 0.6, 300


class Guard:
    """Keeps a running mean of the loss and reports what is wrong with a step.

    Args:
        n_vocab: its logarithm is the loss of a uniform guess.
        times_usual: the learning rate as a multiple of the highest that is usual for the size of
            the model; 0 if that is not known.
    """

    def __init__(self, n_vocab: int, times_usual: float = 0.0) -> None:
        self._uniform = math.log(n_vocab)
        self._times_usual = times_usual
        self.has_gone_back = False
        self._best = math.inf
        self.reset()

    def reset(self) -> None:
        """Forget the losses, because training went back, but not that the model had learned: it
        may fail again at once."""
        self._mean = self._deviation = 0.0
        self._seen = self._bad_steps = 0
        # Steps of a model that has not learned yet above the uniform guess, and the mean at first.
        self._high_steps, self._high_mean = 0, 0.0
        # Steps at a rate that is far too high without getting better, and the mean at first.
        self._stuck_steps, self._stuck_mean = 0, 0.0
        self._spiked = -_QUIET_STEPS
        self.non_finite = 0

    def state(self) -> dict[str, float]:
        """The state with which a resumed run judges steps as if it had never stopped."""
        values = {
            "mean": self._mean,
            "deviation": self._deviation,
            "seen": self._seen,
            "lost": self._bad_steps,
            "high_steps": self._high_steps,
            "high_mean": self._high_mean,
            "stuck_steps": self._stuck_steps,
            "stuck_mean": self._stuck_mean,
            "spiked": self._spiked,
            "non_finite": self.non_finite,
            "has_gone_back": float(self.has_gone_back),
        }
        return values if math.isinf(self._best) else {**values, "best": self._best}

    def load_state(self, values: dict[str, float]) -> None:
        """Restore the output of `state`; missing values are as at the start."""
        self._mean, self._deviation = values.get("mean", 0.0), values.get("deviation", 0.0)
        self._seen, self._bad_steps = int(values.get("seen", 0)), int(values.get("lost", 0))
        self._high_steps = int(values.get("high_steps", 0))
        self._high_mean = values.get("high_mean", 0.0)
        self._stuck_steps = int(values.get("stuck_steps", 0))
        self._stuck_mean = values.get("stuck_mean", 0.0)
        self._best = values.get("best", math.inf)
        self._spiked = int(values.get("spiked", -_QUIET_STEPS))
        self.non_finite = int(values.get("non_finite", 0))
        self.has_gone_back = bool(values.get("has_gone_back", 0.0))

    @property
    def is_sound(self) -> bool:
        """Whether the last step was fine, so that its weights are worth a checkpoint."""
        return not self.non_finite and not self._bad_steps

    def is_good(self, state: TrainingState) -> bool:
        """Whether its state shows that a checkpoint is one to go back to."""
        loss = state.train_loss
        unsound = state.guard.get("non_finite") or state.guard.get("lost")
        return not unsound and (loss is None or loss <= 1.1 * self._uniform)

    def is_broken(self, done: StepResult) -> str:
        """Add a step; return why training must go back, or an empty text."""
        if not done.finite:
            self.non_finite += 1
            if self.non_finite < NON_FINITE_IN_A_ROW:
                return ""
            what = f"loss {done.loss:.3g}, gradient norm {done.gradient_norm:.3g}"
            return f"the loss is not finite ({what}) for {self.non_finite} steps in a row"
        self.non_finite = 0
        had_learned = self._best < 0.9 * self._uniform
        self._bad_steps = (
            self._bad_steps + 1 if had_learned and done.loss > 1.1 * self._uniform else 0
        )
        if not had_learned and self._never_learns():
            return (
                f"the loss is {done.loss:.2f} nats after {self._high_steps:,} steps, worse than a "
                f"uniform guess ({self._uniform:.2f}): the model never learned"
            )
        if self._is_stuck():
            return (
                f"the loss has stayed at {self._mean:.2f} nats for {self._stuck_steps:,} steps, at "
                f"{self._times_usual:.0f} times the highest usual learning rate"
            )
        if self._bad_steps < _STEPS_LOST:
            return ""
        return (
            f"the loss is {done.loss:.2f} nats, worse than a uniform guess "
            f"({self._uniform:.2f}), after it had been {self._best:.2f}"
        )

    def _never_learns(self) -> bool:
        """Add a step of a model that has not learned; whether it has stayed too high for too long.

        A loss that begins high and falls, as after a fork to another text, starts anew.
        """
        if self._mean <= 1.1 * self._uniform or self._seen < _STEPS_TO_LEARN:
            self._high_steps = 0
        elif not self._high_steps or self._mean < _BETTER * self._high_mean:
            self._high_steps, self._high_mean = 1, self._mean
        else:
            self._high_steps += 1
        return self._high_steps >= _STEPS_NEVER

    def _is_stuck(self) -> bool:
        """Add a step; whether a rate that is far too high has kept the loss up for too long."""
        if self._times_usual < _FAR_TOO_HIGH or self._seen < _STEPS_TO_LEARN:
            return False
        if self._mean <= _LITTLE_LEARNED * self._uniform:
            self._stuck_steps = 0
        elif not self._stuck_steps or self._mean < _BETTER * self._stuck_mean:
            self._stuck_steps, self._stuck_mean = 1, self._mean
        else:
            self._stuck_steps += 1
        return self._stuck_steps >= _STEPS_STUCK

    def spike(self, step: int, done: StepResult) -> Spiked | None:
        """Add a finite step; return a spike to report, once per jump."""
        loss = done.loss
        far = max(_LEAST_NATS, _DEVIATIONS * self._deviation)
        jumped = self._seen >= _STEPS_TO_LEARN and loss > self._mean + far
        spike = None
        if jumped and step - self._spiked >= _QUIET_STEPS:
            spike = Spiked(step, loss, self._mean, done.gradient_norm)
        if jumped:
            self._spiked = step
        memory = min(_MEMORY, self._seen / (self._seen + 1))
        self._deviation = memory * self._deviation + (1 - memory) * abs(loss - self._mean)
        self._mean = memory * self._mean + (1 - memory) * loss
        self._seen += 1
        if self._seen >= _STEPS_TO_LEARN:
            self._best = min(self._best, self._mean)
        return spike
