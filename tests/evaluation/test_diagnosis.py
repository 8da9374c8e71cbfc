"""Verdicts follow the evidence: real recorded curves, synthetic ones, and arbitrary ones."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config import overrides
from slm_tui.config.library import get
from slm_tui.evaluation.diagnosis import EXPLANATIONS, CurveBlock, Evidence, Verdict, diagnose
from slm_tui.evaluation.diagnosis.remedies import Remedies, rounded
from slm_tui.evaluation.diagnosis.signals import confidence, holds, noise
from slm_tui.runs import evidence
from tests.conftest import make_tiny
from tests.evaluation.record_curves import CURVES, replay

HEADLINES = {
    "healthy": "still learning",
    "rate-modest": "still learning",
    "towards-the-floor": "still learning",
    "overfitting": "overfitting",
    "underfitting": "underfitting",
    "rate-too-high": "learning rate too high",
    "too-hot": "learning rate too high",
    "rate-too-low": "learning rate too low",
    "diverging": "diverging",
    "non-finite": "non-finite",
}
CALM = {"", "learning", "still learning", "level", "rising"}


def words(verdicts: Sequence[Verdict]) -> list[str]:
    return [one.word for one in verdicts]


def headlines(name: str) -> list[str]:
    """The headline at each evaluation of a recorded run, as it would have been shown live."""
    rows = json.loads((CURVES / f"{name}.json").read_text())["rows"]
    steps = sorted({row[0] for row in rows if row[5] != ""})
    return [evidence.of_run(replay(name, step))[0].word for step in steps]


def evidence_of(train: list[float], val: list[float], **more: Any) -> Evidence:
    """Losses at steps 0, 10, …, with blocks of the same training losses."""
    steps = [10 * place for place in range(len(val))]
    blocks = [
        CurveBlock(step + 10, 10, loss, 0.1, 0.5) for step, loss in zip(steps, train, strict=True)
    ]
    values: dict[str, Any] = {"n_vocab": 512, "step": 10 * len(val), "max_steps": 20 * len(val)}
    values |= {"blocks": blocks, "remedies": Remedies(get("stories-tiny")), **more}
    return Evidence(steps, val, train, **values)


def falling(start: float, end: float, count: int) -> list[float]:
    return [end + (start - end) * math.exp(-4 * place / count) for place in range(count)]


@pytest.mark.parametrize("name", HEADLINES)
def test_a_recorded_run_gets_its_verdict(name: str) -> None:
    verdicts = evidence.of_run(replay(name))
    assert verdicts[0].word == HEADLINES[name]
    assert any(character.isdigit() for character in verdicts[0].evidence)
    assert 0.5 <= verdicts[0].confidence <= 1


@pytest.mark.parametrize("name", ["healthy", "rate-modest", "towards-the-floor"])
def test_a_healthy_run_gets_no_warning(name: str) -> None:
    assert set(headlines(name)) <= CALM


@pytest.mark.parametrize("name", ["overfitting", "rate-too-high", "rate-too-low", "underfitting"])
def test_a_verdict_appears_once_and_stays(name: str) -> None:
    is_expected = [word == HEADLINES[name] for word in headlines(name)]
    assert is_expected == sorted(is_expected)
    others = set(headlines(name)) - {HEADLINES[name]}
    assert others <= CALM


@pytest.mark.parametrize("name", HEADLINES)
def test_remedies_of_recorded_runs_are_valid(name: str) -> None:
    run = replay(name)
    for verdict in evidence.of_run(run):
        for remedy in verdict.remedies:
            changed = overrides.apply(run.preset(), list(remedy.changes))
            assert changed != run.preset()


def test_recorded_curves_are_small_and_include_their_command() -> None:
    files = sorted(CURVES.glob("*.json"))
    assert sum(file.stat().st_size for file in files) < 200_000
    assert all("slm-tui train" in json.loads(file.read_text())["command"] for file in files)


def test_too_little_evidence_gives_no_verdict() -> None:
    assert diagnose(Evidence())[0].word == ""
    assert diagnose(evidence_of([4.0], [4.0]))[0].word == ""


def test_overfitting_reports_its_best_step_and_the_gap() -> None:
    val = [*falling(4, 2.5, 10), *(2.5 + 0.1 * place for place in range(1, 9))]
    verdict = diagnose(evidence_of(falling(4, 0.5, 18), val))[0]
    assert (verdict.word, verdict.since) == ("overfitting", 90)
    assert "gap" in verdict.evidence
    assert verdict.certainty == "certain"


def test_losses_that_rise_together_are_not_overfitting() -> None:
    both = [*falling(4, 2.5, 10), *(2.5 + 0.1 * place for place in range(1, 9))]
    assert "overfitting" not in words(diagnose(evidence_of(both, both)))


def test_a_fluctuation_is_not_overfitting() -> None:
    chance = np.random.default_rng(1)
    val = [*falling(4, 2.5, 20), *(2.55 + 0.02 * chance.standard_normal(20)).tolist()]
    assert "overfitting" not in words(diagnose(evidence_of(falling(4, 2.0, 40), val)))


@pytest.mark.parametrize("end", [9.0, math.nan, math.inf])
def test_a_loss_that_climbs_and_stays_high_is_diverging(end: float) -> None:
    train = [*falling(4, 2, 20), end, end, end]
    verdict = diagnose(evidence_of(train, falling(4, 2, 23)))[0]
    assert verdict.word == "diverging"
    rates = ("optimizer.learning_rate=0.013", "optimizer.muon_learning_rate=0.0033")
    assert verdict.remedy == rates


def test_a_temporary_spike_is_not_diverging() -> None:
    train = falling(4, 2, 40)
    train[20:22] = [7.0, 5.0]
    for upto in range(24, 41):
        evaluated = evidence_of(train[:upto], falling(4, 2, 40)[:upto])
        assert "diverging" not in words(diagnose(evaluated))


@pytest.mark.parametrize("rows", ["training", "evaluations"])
def test_a_loss_far_above_ln_v_is_diverging_however_noisy_the_curve(rows: str) -> None:
    """An exploding loss is pure noise: only the comparison with ln V is reliable."""
    wild = [5.5, 5.4, 5.6, 9.0, 400.0, 21_000.0, 1_500.0, 90_000.0, 334_121.0]
    if rows == "training":
        exploding = evidence_of(wild, wild)
    else:
        exploding = Evidence(
            range(0, 90, 10), wild, [], step=90, max_steps=90, n_vocab=257, has_ended=True
        )
    verdict = diagnose(exploding)[0]
    assert (verdict.word, verdict.confidence) == ("diverging", 1.0)
    assert "uniform guess" in verdict.evidence


def test_a_fork_that_starts_above_ln_v_and_falls_is_not_diverging() -> None:
    losses = falling(12, 6.9, 12)
    assert "diverging" not in words(diagnose(evidence_of(losses, losses)))


# Validation and training losses of `educational-tiny` with 800 tokens of text, as recorded.
_SMALL_TEXT = [6.247, 4.685, 4.361, 4.436, 4.721, 5.048, 5.344, 5.339, 5.433, 5.721, 5.861]
_ITS_TRAINING = [6.22, 3.95, 2.89, 2.24, 1.83, 1.56, 1.25, 0.99, 0.97, 0.91, 0.66]


@pytest.mark.parametrize("count", range(5, 12))
def test_a_steep_drop_before_the_best_does_not_hide_overfitting(count: int) -> None:
    """The steep start is not noise, and a change of 0.005 nats is not a zigzag."""
    over = evidence_of(
        _ITS_TRAINING[:count], _SMALL_TEXT[:count], has_ended=count in (6, 11), gradient_clip=0.1
    )
    verdicts = diagnose(over)
    assert verdicts[0].word == ("overfitting" if count > 5 else "rising")
    assert "learning rate too high" not in words(verdicts)


def test_wording_differs_once_a_run_has_ended() -> None:
    losses = [4.0, 3.0, 2.5, 2.6, 2.7, 2.8]
    live, over = (
        diagnose(evidence_of(losses, losses, has_ended=ended, train_tokens=100, tokens_per_step=64))
        for ended in (False, True)
    )
    assert words(live) == words(over)
    assert live[0].word == "rising"
    assert "next evaluations" in live[0].explanation
    assert "next evaluations" not in over[0].explanation
    assert "so far" in live[1].evidence
    assert "so far" not in over[1].evidence
    once = diagnose(evidence_of([4.0], [4.0], has_ended=True))[0]
    assert "ended before" in once.evidence


def test_near_the_floor_and_below_it() -> None:
    losses = falling(4, 0.5, 20)
    for bits, word in ((0.51, "near the floor"), (0.3, "below the floor"), (0.8, "")):
        more = {"val_bits_per_byte": [bits] * 20, "floor_bits_per_byte": 0.5}
        verdicts = words(diagnose(evidence_of(losses, losses, val_tokens=20_000, **more)))
        assert [one for one in verdicts if "floor" in one] == ([word] if word else [])


def test_a_gap_within_the_first_epoch_means_the_texts_differ() -> None:
    val, train = falling(4, 3, 20), falling(4, 2, 20)
    sizes = {"tokens_per_step": 100, "parameters": 100}
    assert "texts differ" in words(diagnose(evidence_of(train, val, train_tokens=10**6, **sizes)))
    assert "texts differ" not in words(
        diagnose(evidence_of(train, val, train_tokens=10**3, **sizes))
    )
    easier = words(diagnose(evidence_of(val, train, train_tokens=10**6, **sizes)))
    assert "validation is easier" in easier
    dropped = evidence_of(val, train, train_tokens=10**6, dropout=0.2, **sizes)
    assert "validation is easier" not in words(diagnose(dropped))


@pytest.mark.parametrize(("patience", "expected"), [(None, False), (100, False), (400, True)])
def test_a_patience_longer_than_the_run_is_reported(patience: int | None, expected: bool) -> None:
    losses = falling(4, 2, 20)
    verdicts = words(diagnose(evidence_of(losses, losses, early_stop_patience=patience)))
    assert ("early stop cannot fire" in verdicts) is expected


def test_the_amount_of_text_is_judged_by_arithmetic() -> None:
    losses = falling(4, 2, 20)
    plenty = evidence_of(losses, losses, parameters=1000, train_tokens=10**6, tokens_per_step=100)
    few = evidence_of(losses, losses, parameters=1000, train_tokens=2000, tokens_per_step=100)
    assert not {"little text", "repeated text"} & set(words(diagnose(plenty)))
    assert {"little text", "repeated text"} <= set(words(diagnose(few)))
    assert diagnose(few)[0].word == "learning"


def test_a_tiny_validation_split_is_reported() -> None:
    losses = falling(4, 2, 20)
    assert "validation too small" in words(diagnose(evidence_of(losses, losses, val_tokens=300)))
    assert "validation too small" not in words(
        diagnose(evidence_of(losses, losses, val_tokens=30_000))
    )


def test_several_recent_spikes_are_reported() -> None:
    losses = falling(4, 2, 20)
    assert "loss spikes" in words(diagnose(evidence_of(losses, losses, spikes=[150, 160, 170])))
    assert "loss spikes" not in words(diagnose(evidence_of(losses, losses, spikes=[10, 20, 30])))


def test_every_verdict_is_explained_in_a_few_sentences() -> None:
    for word, text in EXPLANATIONS.items():
        assert 2 <= text.count(". ") + text.count(": ") + 1 <= 8, word
        assert 120 < len(text) < 600, word


def test_remedies_fit_the_preset() -> None:
    offer = Remedies(make_tiny(data__limit={"tokens": 500}))
    assert offer.more_text()[0].changes == ("data.limit.tokens=2000",)
    assert Remedies(make_tiny()).more_text()[0].changes == ("data.documents=160",)
    assert offer.offer("nonsense", "model.n_head=7") == ()
    assert [rounded(number) for number in (3187, 42, 7, 0.2)] == [3200, 42, 7, 1]


def test_noise_excludes_the_trend() -> None:
    line = np.linspace(5, 1, 50)
    chance = 0.1 * np.random.default_rng(1).standard_normal(50)
    assert noise(line) == pytest.approx(0.002 * 3)
    assert noise(line + chance) == pytest.approx(0.1, rel=0.4)
    assert confidence(0.0, 0.1, 9) == 0
    assert confidence(1.0, 0.1, 9) > 0.99 > confidence(1.0, 0.1, 2)
    assert holds(np.array([0.0, 3, 1.5]), 2, 1)
    assert not holds(np.array([0.0, 3, 0.5]), 2, 1)


anything = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40)


@settings(max_examples=150, deadline=None)
@given(val=anything, train=anything, bits=anything, wild=st.floats())
def test_any_curve_can_be_diagnosed(
    val: list[float], train: list[float], bits: list[float], wild: float
) -> None:
    blocks = [CurveBlock(step + 1, 1, loss, wild, wild) for step, loss in enumerate(train)]
    odd = Evidence(
        range(len(val)), val, train, bits, blocks, 50, 100, floor_bits_per_byte=0.5, n_vocab=300,
        val_tokens=1000, tokens_per_step=64, train_tokens=5000, parameters=999, learning_rate=0.01
    )  # fmt: skip
    with np.errstate(all="ignore"):
        verdicts = diagnose(odd)
        assert verdicts == diagnose(odd)
    assert verdicts
    for one in verdicts:
        assert one.sign or not one.word
        # The course is always reported; problems only if they are likely.
        assert one.confidence <= 1
        assert one.confidence >= (0 if one.word in ("learning", "still learning") else 0.5)
        assert not one.word or one.explanation
        json.dumps(one.to_dict())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 0.5), min_size=3, max_size=60), st.floats(0, 3))
def test_a_validation_loss_that_only_falls_is_never_overfitting(
    falls: list[float], gap: float
) -> None:
    val = (40 - np.cumsum(falls)).tolist()
    train = [one - gap for one in val]
    assert not {"overfitting", "rising"} & set(words(diagnose(evidence_of(train, val))))


@pytest.mark.filterwarnings("error")
def test_missing_numbers_give_no_warning_and_are_never_shown() -> None:
    rising = [5.0, 3.0, *np.linspace(3.1, 4.5, 10)]
    incomplete = [5.0, 3.0, *[math.nan] * 10]
    assert "overfitting" not in words(diagnose(evidence_of(incomplete, rising)))
    bits = [math.nan] * 12
    level = diagnose(
        evidence_of([2.0] * 12, [2.0] * 12, val_bits_per_byte=bits, floor_bits_per_byte=0.5)
    )
    assert "level" in words(level)
    assert not any("nan" in one.evidence for one in level)


def test_a_steep_start_that_keeps_falling_is_not_level() -> None:
    # The first evaluations of stories-tiny: a bend that looks like noise on a small scale.
    val = [6.86, 1.714, 0.957, 0.795, 0.692, 0.671, 0.624, 0.610, 0.585, 0.583, 0.569]
    for count in range(3, len(val) + 1):
        beginning = Evidence(
            range(0, 100 * count, 100), val[:count], [], [], [], 100 * count, 3200, n_vocab=994
        )
        assert diagnose(beginning)[0].word == "learning"
