"""The ranking claims a difference when there is one, and hardly ever when there is none."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from slm_tui.experiments.ranking import (
    ALPHA,
    paired,
    rank,
    seeds_needed,
    unpaired,
    verdict,
)

CHANCE = np.random.default_rng(5)


def test_the_paired_test_has_the_p_value_of_scipy() -> None:
    for count in (2, 3, 8, 30):
        one, other = CHANCE.normal(1.0, 0.1, count), CHANCE.normal(1.05, 0.1, count)
        expected = stats.ttest_rel(one, other)
        result = paired(one - other)
        assert result.p == pytest.approx(expected.pvalue, rel=1e-9)
        assert result.mean == pytest.approx(float((one - other).mean()))


def test_the_unpaired_test_has_the_p_value_of_scipy() -> None:
    for sizes in ((2, 2), (3, 9), (20, 7)):
        one, other = (CHANCE.normal(1.0, 0.1, size) for size in sizes)
        expected = stats.ttest_ind(one, other, equal_var=False)
        assert unpaired(one, other).p == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_correction_is_that_of_holm() -> None:
    def bits(shift: float) -> dict[int, float]:
        noise = np.random.default_rng(3).normal(0, 0.01, 6)
        other = np.random.default_rng(int(1000 * shift) + 100).normal(0, 0.01, 6)
        return {seed: 2.0 + shift + noise[seed] + other[seed] for seed in range(6)}

    shifts = {"base": 0.0, "a": -0.05, "b": 0.02, "c": 0.001}
    ranking = rank({name: bits(shift) for name, shift in shifts.items()}, "base")
    assert ranking is not None
    tests = {one.name: one.test for one in ranking.places if one.test is not None}
    order = sorted(tests, key=lambda name: tests[name].p)
    running = 0.0
    for number, name in enumerate(order):
        running = max(running, min(1.0, tests[name].p * (3 - number)))
        assert tests[name].corrected == pytest.approx(running)


def test_without_a_reference_every_pair_counts_as_a_comparison() -> None:
    bits = {name: {seed: CHANCE.normal(2, 0.1) for seed in range(3)} for name in "abcd"}
    ranking = rank(bits)
    assert ranking is not None
    assert ranking.comparisons == 6
    assert not ranking.is_chosen
    assert ranking.reference == ranking.places[0].name
    named = rank(bits, "c")
    assert named is not None
    assert (named.comparisons, named.reference) == (3, "c")


def test_a_large_difference_is_told_with_three_seeds_and_in_words() -> None:
    ranking = rank(
        {
            "fast": {1: 1.00, 2: 1.02, 3: 0.98},
            "slow": {1: 1.50, 2: 1.521, 3: 1.479},
        },
        "slow",
    )
    assert ranking is not None
    words = verdict(ranking.places[0], ranking)
    assert words.startswith("better than slow by 33.3% (p < 0.001, paired over 3 seeds)")
    assert verdict(ranking.places[1], ranking) == "the reference"


def test_one_seed_is_never_a_claim() -> None:
    ranking = rank({"a": {1: 1.0}, "b": {1: 9.0}})
    assert ranking is not None
    assert ranking.places[1].test is None
    assert "one seed" in verdict(ranking.places[1], ranking)


def test_equal_figures_are_not_a_difference() -> None:
    ranking = rank({"a": {1: 1.0, 2: 1.1}, "b": {1: 1.0, 2: 1.1}})
    assert ranking is not None
    test = ranking.places[1].test
    assert test is not None
    assert not test.is_claimed
    assert "no clear difference" in verdict(ranking.places[1], ranking)


def test_runs_without_a_finite_loss_are_left_out() -> None:
    ranking = rank({"a": {1: 1.0, 2: math.nan}, "b": {1: math.inf}, "c": {}})
    assert ranking is not None
    assert [place.name for place in ranking.places] == ["a"]
    assert rank({"a": {1: math.nan}}) is None
    assert rank({}) is None


@pytest.mark.parametrize("count", [2, 6])
def test_normal_noise_is_claimed_as_rarely_as_promised(count: int) -> None:
    chance = np.random.default_rng(11)
    claims, trials = 0, 3000
    for _ in range(trials):
        bits = {
            f"v{number}": dict(enumerate(chance.normal(2.0, 0.02, 5))) for number in range(count)
        }
        ranking = rank(bits, "v0")
        assert ranking is not None
        claims += any(one.test is not None and one.test.is_claimed for one in ranking.places)
    # 99.9% of such experiments have fewer, if one in a hundred is claimed.
    assert claims <= stats.binom.ppf(0.999, trials, ALPHA)


def test_as_many_seeds_as_said_find_a_difference_four_times_in_five() -> None:
    chance = np.random.default_rng(12)
    for difference, spread in ((0.02, 0.02), (0.01, 0.03)):
        needed = seeds_needed(difference, spread)
        assert needed is not None
        found = {
            count: sum(
                paired(chance.normal(difference, spread, count)).p < ALPHA for _ in range(2000)
            )
            / 2000
            for count in (needed, needed - 2)
        }
        assert found[needed] == pytest.approx(0.8, abs=0.06)
        assert found[needed - 2] < found[needed]


def test_more_comparisons_take_more_seeds() -> None:
    counts = [seeds_needed(0.02, 0.03, comparisons) for comparisons in (1, 3, 10, 45)]
    assert counts == sorted(set(counts))
    assert seeds_needed(0.0, 0.1) is None
    assert seeds_needed(1e-9, 1.0) is None


def test_a_ranking_does_not_depend_on_the_order_of_its_runs() -> None:
    bits = {name: {seed: CHANCE.normal(2, 0.1) for seed in range(4)} for name in "abcd"}
    names = list(bits)
    random.Random(1).shuffle(names)
    first, second = rank(bits), rank({name: bits[name] for name in names})
    assert first == second
