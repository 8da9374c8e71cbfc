"""How often a comparison is wrong, on measured figures of runs that differ in nothing but the seed.

`seed_figures.json` has the best validation bits per byte of 32 seeds of a small GPT on bytes of
stories (1 layer of 32 channels, 400 steps with Muon): `base`, and `other` with beta2 0.98 instead
of 0.95, which changes hardly anything. They were trained once, with `slm-tui suite run`.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from slm_tui.experiments.ranking import paired, rank, seeds_needed, verdict

FIGURES = {
    name: {int(seed): bits for seed, bits in values.items()}
    for name, values in json.loads(
        (Path(__file__).with_name("seed_figures.json")).read_text()
    ).items()
}
SEEDS = sorted(FIGURES["base"])


def drawn(chance: random.Random, name: str, count: int) -> dict[int, float]:
    """The figures of `count` seeds, each as often as it is drawn: numbered anew."""
    return {number: FIGURES[name][seed] for number, seed in enumerate(chance.sample(SEEDS, count))}


def claims(count: int, variations: int, trials: int, *, is_paired: bool) -> float:
    """The share of comparisons of equal settings in which some variation is called better."""
    chance = random.Random(2)
    found = 0
    for _ in range(trials):
        bits = {f"v{number}": drawn(chance, "base", count) for number in range(variations)}
        if not is_paired:
            bits = {
                name: {seed + 1000 * at: value for seed, value in values.items()}
                for at, (name, values) in enumerate(bits.items())
            }
        ranking = rank(bits, "v0")
        assert ranking is not None
        words = [verdict(place, ranking) for place in ranking.places]
        found += any(word.startswith(("better", "worse")) for word in words)
    return found / trials


@pytest.mark.parametrize("is_paired", [True, False])
@pytest.mark.parametrize(("count", "variations"), [(3, 2), (8, 2), (5, 4)])
def test_equal_settings_are_hardly_ever_told_apart(
    count: int, variations: int, is_paired: bool
) -> None:
    assert claims(count, variations, 200, is_paired=is_paired) <= 0.02


def test_a_true_gain_of_one_percent_is_found_with_the_seeds_that_the_report_asks_for() -> None:
    differences = np.array([FIGURES["other"][seed] - FIGURES["base"][seed] for seed in SEEDS])
    mean = float(np.mean(list(FIGURES["base"].values())))
    gain = differences - differences.mean() - 0.01 * mean
    spread = float(gain.std(ddof=1))
    needed = seeds_needed(0.01 * mean, spread)
    assert needed is not None
    chance = np.random.default_rng(4)
    count = max(8, needed)
    found = [paired(chance.choice(gain, count)) for _ in range(1000)]
    right = sum(one.p < 0.01 and one.mean < 0 for one in found) / len(found)
    assert right >= 0.75
    print(f"{needed} seeds, {right:.0%} found with {count}")


def test_few_seeds_are_told_how_many_it_takes() -> None:
    bits = {name: {seed: FIGURES[name][seed] for seed in SEEDS[:4]} for name in FIGURES}
    ranking = rank(bits, "base")
    assert ranking is not None
    place = ranking.place("other")
    assert place is not None
    words = verdict(place, ranking)
    assert words.startswith("no clear difference from base")
    assert "seeds" in words
