"""Paired bootstrap intervals over documents: whether a difference is more than noise.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13: units are
sampled with replacement, the same ones for every model; the intervals are percentiles.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
SEED = 7
# With fewer units the interval would depend more on the units than on the models.
FEWEST = 8
# More units than this are first summed in groups; for independent units the interval hardly
# changes.
_MOST = 2048
_AT_ONCE = 256

Interval = tuple[float, float]


@dataclass(frozen=True)
class Resamples:
    """`bits_per_byte` of every model in every resample, `(resamples, models)`."""

    bits_per_byte: NDArray[np.float64]

    def interval(self, model: int) -> Interval:
        """The 95% interval of the bits per byte of `model`."""
        return _middle(self.bits_per_byte[:, model])

    def difference(self, model: int, other: int) -> Interval:
        """The 95% interval of how many more bits per byte `model` needs than `other`."""
        return _middle(self.bits_per_byte[:, model] - self.bits_per_byte[:, other])


def _middle(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def is_noise(interval: Interval) -> bool:
    """Whether the interval includes zero."""
    return not (interval[0] > 0 or interval[1] < 0)


def resample(
    nats: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Resamples | None:
    """Resample the units; `None` if there are fewer than `FEWEST`.

    Args:
        nats: of the text of each unit under each model, `(models, units)`.
        sizes: bytes that these nats are for, `(models, units)`.
    """
    if nats.shape[1] < FEWEST:
        return None
    nats, sizes = _grouped(nats), _grouped(sizes)
    units = nats.shape[1]
    generator = np.random.default_rng(seed)
    sampled = []
    for at in range(0, resamples, _AT_ONCE):
        draws = min(_AT_ONCE, resamples - at)
        times = generator.multinomial(units, np.full(units, 1 / units), size=draws)
        sampled.append((times @ nats.T) / (math.log(2) * np.maximum(times @ sizes.T, 1)))
    return Resamples(np.concatenate(sampled))


def _grouped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.shape[1] <= _MOST:
        return values
    group = np.arange(values.shape[1]) % _MOST
    return np.array([np.bincount(group, row, _MOST) for row in values])
