"""A remedy helped only if its run is better by more than chance."""

import math
import random

from slm_tui.evaluation.diagnosis.outcome import outcome


def curve(end: float, noise: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [end + 3 * math.exp(-step / 3) + rng.gauss(0, noise) for step in range(30)]


def test_a_large_improvement_is_said_with_figures() -> None:
    result = outcome(curve(2.0, 0.01, 1), curve(1.5, 0.01, 2))
    assert result is not None
    assert result.is_clear
    text = result.sentence("first-run")
    assert text.startswith("It helped: best 1.4")
    assert "in first-run" in text
    worse = outcome(curve(1.5, 0.01, 1), curve(2.0, 0.01, 2))
    assert worse is not None
    assert worse.sentence("it").startswith("It did not help")


def test_runs_that_differ_only_by_noise_rarely_claim_anything() -> None:
    claims = 0
    for seed in range(100):
        result = outcome(curve(2.0, 0.05, seed), curve(2.0, 0.05, seed + 1000))
        assert result is not None
        claims += result.is_clear
        if not result.is_clear:
            assert "no clear difference" in result.sentence("it")
    assert claims <= 5


def test_too_few_evaluations_say_nothing() -> None:
    assert outcome([], [1.0, 2.0]) is None
    assert outcome([1.0, math.nan], [1.0, 2.0]) is None
