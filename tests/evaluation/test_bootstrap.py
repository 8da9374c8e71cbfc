"""Intervals: noise is called noise, and real differences are not."""

import math

import numpy as np
import pytest

from slm_tui.evaluation.bootstrap import FEWEST, is_noise, resample


def units(count: int, seed: int, mean: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Nats and bytes of documents of different lengths and difficulty."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(50, 500, count).astype(float)
    return sizes * math.log(2) * generator.normal(mean, 0.2, count), sizes


def test_identical_models_differ_by_noise() -> None:
    nats, sizes = units(50, 1)
    resamples = resample(np.array([nats, nats]), np.array([sizes, sizes]))
    assert resamples is not None
    assert resamples.difference(0, 1) == (0.0, 0.0)
    assert is_noise(resamples.difference(0, 1))


def test_pairing_detects_a_difference_smaller_than_the_intervals() -> None:
    nats, sizes = units(50, 2)
    other = nats + 0.02 * sizes * math.log(2)
    resamples = resample(np.array([nats, other]), np.array([sizes, sizes]))
    assert resamples is not None
    assert resamples.interval(1)[0] < resamples.interval(0)[1]
    low, high = resamples.difference(1, 0)
    assert low == pytest.approx(0.02)
    assert high == pytest.approx(0.02)
    assert not is_noise((low, high))
    assert not is_noise(resamples.difference(0, 1))


def test_models_that_are_equal_on_average_nearly_always_differ_by_noise() -> None:
    wrong = 0
    for seed in range(100):
        nats, sizes = units(40, seed)
        other, _ = units(40, seed + 1000)
        other *= sizes / units(40, seed + 1000)[1]
        resamples = resample(np.array([nats, other]), np.array([sizes, sizes]), resamples=400)
        assert resamples is not None
        wrong += not is_noise(resamples.difference(0, 1))
    assert 0 < wrong <= 14


def test_intervals_have_about_the_nominal_coverage() -> None:
    inside = 0
    for seed in range(200):
        nats, sizes = units(60, seed, mean=1.3)
        resamples = resample(nats[None], sizes[None], resamples=400, seed=seed)
        assert resamples is not None
        low, high = resamples.interval(0)
        inside += low <= 1.3 <= high
    assert 175 <= inside <= 199


def test_the_same_seed_gives_the_same_resamples() -> None:
    nats, sizes = units(20, 3)
    one, two = (resample(nats[None], sizes[None], resamples=300) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one.interval(0) == two.interval(0)


def test_many_units_are_grouped_without_changing_the_interval_much() -> None:
    nats, sizes = units(9000, 4)
    resamples = resample(nats[None], sizes[None], resamples=1000)
    assert resamples is not None
    low, high = resamples.interval(0)
    mean = nats.sum() / math.log(2) / sizes.sum()
    bits = nats / math.log(2)
    expected = np.sqrt(((bits - mean * sizes) ** 2).sum()) / sizes.sum()
    assert (high - low) / (2 * 1.96 * expected) == pytest.approx(1, abs=0.12)


def test_with_few_units_there_is_no_interval() -> None:
    nats, sizes = units(FEWEST - 1, 5)
    assert resample(nats[None], sizes[None]) is None
