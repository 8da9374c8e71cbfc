"""Whether a remedy helped: the run that tried it, compared with the run before it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slm_tui.evaluation.diagnosis.signals import Values, flat_from, noise

# A difference counts if it is larger than this many deviations of the noise of both curves.
_DEVIATIONS = 2.0
# Less than this fraction of the loss is no difference: another seed changes as much.
_LEAST = 0.005


@dataclass(frozen=True)
class Outcome:
    """The best losses of two runs in bits per byte, and how much chance may differ between them."""

    before: float
    after: float
    chance: float

    @property
    def change(self) -> float:
        """Relative to the run before; negative is better."""
        return (self.after - self.before) / self.before

    @property
    def is_clear(self) -> bool:
        """Whether the difference is more than noise."""
        return abs(self.after - self.before) > self.chance

    def sentence(self, name: str = "") -> str:
        """Did it help, by how much, is it more than noise. `name` is that of the run before."""
        where = f"in {name}" if name else "before"
        what = f"best {self.after:.3f} bits per byte, {self.before:.3f} {where}"
        if not self.is_clear:
            noise_text = f"within the noise (±{self.chance:.3f})"
            return f"It made no clear difference: {what}, {noise_text}."
        size = f"{abs(self.change):.1%}"
        if self.change < 0:
            return f"It helped: {what}. {size} better, more than the noise (±{self.chance:.3f})."
        return f"It did not help: {what}. {size} worse, more than the noise (±{self.chance:.3f})."


def outcome(before: Sequence[float], after: Sequence[float]) -> Outcome | None:
    """Compare the validation losses of two runs, in bits per byte by ascending step.

    Returns `None` while one of them has no finite loss after the first.
    """
    curves = [_finite(before), _finite(after)]
    if any(len(one) < 2 for one in curves):
        return None
    best = [float(one.min()) for one in curves]
    spread = math.hypot(*(noise(one[flat_from(one) :]) for one in curves))
    return Outcome(best[0], best[1], max(_DEVIATIONS * spread, _LEAST * best[0]))


def _finite(values: Sequence[float]) -> Values:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]
