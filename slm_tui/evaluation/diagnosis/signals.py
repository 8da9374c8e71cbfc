"""The noise of a curve, and the confidence in an effect that exceeds it."""

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Second differences of independent noise have sqrt(6) times its deviation; the median absolute
# value of a normal variable is 0.6745 deviations.
_SECOND_DIFFERENCE = math.sqrt(6) * 0.6745
# Changes below this fraction of a loss are not worth reporting, however smooth the curve.
_LEAST = 0.002


def noise(values: Values) -> float:
    """Deviation of a single value from the smooth trend, at least 0.2 % of the level.

    Uses second differences, which ignore a steady trend, and their median, which ignores single
    spikes.
    """
    if not len(values):
        return 0.0
    least = _LEAST * abs(float(np.median(values)))
    if len(values) < 4:
        return 2 * least
    return max(least, jitter(values))


def jitter(values: Values) -> float:
    """The same without a minimum: how far a curve zigzags."""
    if len(values) < 4:
        return 0.0
    return float(np.median(np.abs(np.diff(values, n=2)))) / _SECOND_DIFFERENCE


def flat_from(values: Values) -> int:
    """Where the steep beginning of a falling curve ends: only a tenth of its fall is left.

    The bend at the beginning must not be taken for noise.
    """
    if not len(values):
        return 0
    lowest = float(values.min())
    return int(np.argmax(values <= lowest + 0.1 * (float(values[0]) - lowest)))


def median_of_three(values: Values) -> Values:
    """Each value replaced by the median of itself and the two before it."""
    if len(values) < 3:
        return values.copy()
    medians = values.copy()
    stacked = np.stack([values[:-2], values[1:-1], values[2:]])
    medians[2:] = np.median(stacked, axis=0)
    medians[1] = max(values[0], values[1])
    return medians


def holds(values: Values, enter: float, stay: float) -> bool:
    """Whether `values` rose above `enter` and has been above `stay` ever since.

    With two thresholds a small fluctuation does not revoke an earlier answer.
    """
    above = np.flatnonzero(values > enter)
    below = np.flatnonzero(values <= stay)
    if not len(above):
        return False
    return not len(below) or bool(above[-1] > below[-1])


def confidence(effect: float, deviation: float, evaluations: int) -> float:
    """Confidence, 0 to 1: the probability that noise of this `deviation` causes no such `effect`,
    times the probability that so many evaluations are not all on one side by chance (1/2 each)."""
    z = effect / (deviation * math.sqrt(2)) if deviation > 0 else 10.0
    return math.erf(max(0.0, z) / math.sqrt(2)) * (1 - 0.5 ** max(0, evaluations))


def reason(effect: float, deviation: float, evaluations: int) -> str:
    """The confidence in words."""
    times = effect / deviation if deviation > 0 else math.inf
    shown = f"{times:.0f} ×" if times < 1000 else "far above"
    many = "evaluation" if evaluations == 1 else "evaluations"
    return f"{shown} the curve's noise, over {evaluations} {many}"
