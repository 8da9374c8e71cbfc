"""Which variation is better, and whether the difference is more than chance.

Variations with a seed in common are compared by the differences at those seeds (paired t-test),
others by their means (Welch's t-test). P values are corrected for the number of comparisons (Holm
1979). A difference is claimed at 1%: of a hundred suites whose variations do the same, one claims
a difference.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.01
"""The corrected p value below which a difference is claimed."""
POWER = 0.8
_SMALLEST_SPREAD = 1e-9
_MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Difference:
    """How two variations differ. `mean` is that of the first minus that of the other, in bits per
    byte; `spread` its standard deviation over seeds; `pairs` the seeds in common, 0 if
    the means were compared; `p` two-sided, `corrected` for the number of comparisons."""

    mean: float
    spread: float
    pairs: int
    p: float
    corrected: float
    comparisons: int = 1

    @property
    def is_claimed(self) -> bool:
        """Whether the difference is more than chance explains."""
        return self.corrected < ALPHA


@dataclass(frozen=True)
class Place:
    """A variation in the ranking: `bits` by seed. `test` compares it with the reference; `None`
    for the reference itself and where one has a single seed."""

    name: str
    bits: Mapping[int, float]
    mean: float
    spread: float | None
    test: Difference | None = None

    @property
    def seeds(self) -> int:
        return len(self.bits)


@dataclass(frozen=True)
class Ranking:
    """Variations by mean bits per byte, best first. `reference` is what the others are compared
    with; `is_chosen` whether it was named rather than found best in these runs."""

    places: tuple[Place, ...]
    reference: str
    is_chosen: bool
    comparisons: int

    def place(self, name: str) -> Place | None:
        """The place of the variation `name`."""
        return next((one for one in self.places if one.name == name), None)


def rank(bits: Mapping[str, Mapping[int, float]], reference: str = "") -> Ranking | None:
    """Rank variations by their best validation bits per byte.

    Args:
        bits: bits per byte by variation and seed; values that are not finite are left out.
        reference: what to compare the others with; the best one if it is empty or missing.

    Returns:
        The ranking, or `None` if there is nothing to rank.
    """
    finite = {
        name: {seed: value for seed, value in seeds.items() if math.isfinite(value)}
        for name, seeds in bits.items()
    }
    places = [_place(name, seeds) for name, seeds in finite.items() if seeds]
    if not places:
        return None
    places.sort(key=lambda one: one.mean)
    is_chosen = any(one.name == reference for one in places)
    chosen = reference if is_chosen else places[0].name
    first = next(one for one in places if one.name == chosen)
    tests = {one.name: _test(one, first) for one in places if one is not first}
    count = len(places)
    # The best one was found by looking at all pairs.
    comparisons = count - 1 if is_chosen else count * (count - 1) // 2
    corrected = _holm({name: test.p for name, test in tests.items() if test}, comparisons)
    done = [
        replace(one, test=replace(test, corrected=corrected[one.name], comparisons=comparisons))
        if (test := tests.get(one.name)) is not None
        else one
        for one in places
    ]
    return Ranking(tuple(done), chosen, is_chosen, comparisons)


def _place(name: str, bits: Mapping[int, float]) -> Place:
    values = np.array(list(bits.values()))
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return Place(name, dict(bits), float(values.mean()), spread)


def _test(one: Place, other: Place) -> Difference | None:
    common = sorted(set(one.bits) & set(other.bits))
    if len(common) > 1:
        return paired(np.array([one.bits[seed] - other.bits[seed] for seed in common]))
    if one.seeds > 1 and other.seeds > 1:
        return unpaired(np.array([*one.bits.values()]), np.array([*other.bits.values()]))
    return None


def paired(differences: NDArray[np.float64]) -> Difference:
    """The t-test of `differences`, `(seeds,)`, one for each seed that both have."""
    count = len(differences)
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if mean == 0.0:
        return Difference(0.0, spread, count, 1.0, 1.0)
    t = mean / max(spread, _SMALLEST_SPREAD) * math.sqrt(count)
    p = _two_sided(t, count - 1)
    return Difference(mean, spread, count, p, p)


def unpaired(one: NDArray[np.float64], other: NDArray[np.float64]) -> Difference:
    """Welch's t-test of two variations, `(seeds,)` each, at least two seeds."""
    mean = float(one.mean() - other.mean())
    parts = [max(float(x.var(ddof=1)), _SMALLEST_SPREAD**2) / len(x) for x in (one, other)]
    error = math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(x) - 1) for part, x in zip(parts, (one, other), strict=True)
    )
    p = 1.0 if mean == 0.0 else _two_sided(mean / error, freedom)
    spread = math.sqrt(sum(part * len(x) for part, x in zip(parts, (one, other), strict=True)))
    return Difference(mean, spread, 0, p, p)


def _two_sided(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


def _holm(p: Mapping[str, float], comparisons: int) -> dict[str, float]:
    """P values corrected for `comparisons`, which may be more than there are values here."""
    result: dict[str, float] = {}
    largest = 0.0
    for number, name in enumerate(sorted(p, key=lambda name: p[name])):
        largest = max(largest, min(1.0, p[name] * max(1, comparisons - number)))
        result[name] = largest
    return result


def seeds_needed(
    difference: float, spread: float, comparisons: int = 1, *, paired: bool = True
) -> int | None:
    """How many seeds detect a true `difference` with 80% power; `None` if over 100,000.

    Args:
        difference: in bits per byte.
        spread: standard deviation over seeds of the difference of two runs, in bits per byte.
        comparisons: how many variations are compared at once.
        paired: whether both use the same seeds.
    """
    from scipy.special import nctdtr, stdtrit

    if not difference or not math.isfinite(difference):
        return None
    effect = abs(difference) / max(spread, _SMALLEST_SPREAD)
    low, high = 2, _MOST_SEEDS

    def shows(seeds: int) -> bool:
        freedom = seeds - 1 if paired else 2 * (seeds - 1)
        limit = float(stdtrit(freedom, 1 - ALPHA / max(1, comparisons) / 2))
        center = effect * math.sqrt(seeds)
        if center - limit > 8:  # far beyond: the distribution function need not be evaluated
            return True
        return 1 - float(nctdtr(freedom, center, limit)) >= POWER

    if not shows(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle + 1, high)
    return low


def verdict(place: Place, ranking: Ranking) -> str:
    """Whether a variation differs from the reference, in words that say what was tested."""
    if len(ranking.places) == 1:
        return "the only variation"
    if place.name == ranking.reference:
        return "the reference" if ranking.is_chosen else "the lowest mean"
    test = place.test
    if test is None:
        return "only one seed: chance cannot be ruled out; run at least 3 (--seeds 1,2,3)"
    percent = abs(test.mean) / abs(place.mean - test.mean or 1.0)
    how = f"paired over {test.pairs} seeds" if test.pairs else "seeds not paired"
    many = f", corrected for {test.comparisons} comparisons" if test.comparisons > 1 else ""
    p = "p < 0.001" if test.corrected < 0.001 else f"p = {test.corrected:.2g}"
    if test.is_claimed:
        word = "better" if test.mean < 0 else "worse"
        return f"{word} than {ranking.reference} by {percent:.1%} ({p}{many}, {how})"
    needed = seeds_needed(test.mean, test.spread, test.comparisons, paired=bool(test.pairs))
    more = f"; detecting {percent:.1%} would take {needed:,} seeds" if needed else ""
    return f"no clear difference from {ranking.reference} ({p}{many}, {how}{more})"
