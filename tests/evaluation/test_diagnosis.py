"""The verdict follows the evidence."""

import math
from typing import Any

import pytest

from slm_tui.config import overrides
from slm_tui.config.library import get
from slm_tui.evaluation.diagnosis import Evidence, diagnose


def curves(train: list[float], val: list[float], **more: Any) -> Evidence:
    """Losses at steps 10, 20, …; a validation for every one."""
    steps = [10 * (place + 1) for place in range(len(train))]
    every = max(1, len(train) // max(1, len(val)))
    return Evidence(steps, train, steps[::every][: len(val)], val, **more)


def falling(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * place / (count - 1) for place in range(count)]


def test_too_little_to_go_on_is_no_verdict() -> None:
    assert diagnose(Evidence([], [], [], [])).word == ""
    assert diagnose(curves([4.0], [4.0])).word == ""


def test_a_falling_validation_loss_is_learning() -> None:
    verdict = diagnose(curves(falling(4, 2, 40), falling(4, 2.2, 10)))
    assert (verdict.word, verdict.remedy) == ("learning", ())


def test_a_rising_validation_loss_under_a_falling_training_loss_is_overfitting() -> None:
    val = [*falling(4, 2.5, 5), *falling(2.6, 3.4, 5)]
    verdict = diagnose(curves(falling(4, 1, 10), val, dropout=0.1))
    assert verdict.word == "overfitting"
    assert verdict.since == 50
    assert "2.500 → 3.400" in verdict.evidence
    assert verdict.remedy == ("model.dropout=0.2",)


def test_a_rise_within_the_noise_is_not_overfitting() -> None:
    val = [*falling(4, 2.5, 5), 2.505, 2.51, 2.505, 2.51]
    assert diagnose(curves(falling(4, 1, 9), val)).word != "overfitting"


def test_both_losses_rising_is_not_overfitting() -> None:
    both = [*falling(4, 2.5, 5), *falling(2.6, 3.4, 5)]
    assert diagnose(curves(both, both)).word != "overfitting"


@pytest.mark.parametrize("end", [9.0, math.nan, math.inf])
def test_a_loss_far_above_its_lowest_is_diverging(end: float) -> None:
    verdict = diagnose(curves([*falling(4, 2, 20), end], falling(4, 2, 5), learning_rate=0.03))
    assert verdict.word == "diverging"
    assert verdict.since == 200
    assert verdict.remedy == ("optimizer.learning_rate=0.01",)


def test_near_the_floor_there_is_little_left() -> None:
    evidence = curves(
        falling(2, 0.5, 20),
        falling(2, 0.5, 5),
        val_bits_per_byte=[2.0, 0.51],
        floor_bits_per_byte=0.5,
    )
    assert diagnose(evidence).word == "near the floor"


def test_every_remedy_can_be_applied() -> None:
    verdicts = [
        diagnose(curves(falling(4, 1, 10), [*falling(4, 2.5, 5), *falling(2.6, 3.4, 5)])),
        diagnose(curves([*falling(4, 2, 20), 9.0], [4.0, 3.0], learning_rate=0.03)),
        diagnose(
            curves([2.0], [2.0], val_bits_per_byte=[0.51], floor_bits_per_byte=0.5),
        ),
    ]
    for verdict in verdicts:
        assert verdict.remedy
        overrides.apply(get("stories-tiny"), list(verdict.remedy))


def test_verdicts_have_a_sign_besides_a_word() -> None:
    verdict = diagnose(curves(falling(4, 2, 40), falling(4, 2.2, 10)))
    assert verdict.short == "● learning"
