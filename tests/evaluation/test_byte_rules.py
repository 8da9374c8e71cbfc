"""Verdicts on byte-level models: collapsed routers, and rates too low for ternary weights."""

from typing import Any

import pytest

from slm_tui.config import overrides
from slm_tui.config.preset import Preset
from slm_tui.evaluation.diagnosis import EXPLANATIONS, CurveBlock, Evidence, Verdict, diagnose
from slm_tui.evaluation.diagnosis.remedies import Remedies
from tests.conftest import make_tiny

NAME = "stage1_compression"
TARGET = 4.0


def hnet(**changes: Any) -> Preset:
    model = {"kind": "hnet", "block_size": 64, "downsampling_factor": TARGET, **changes}
    return make_tiny(model=model)


def evidence_of(compression: list[float], **more: Any) -> Evidence:
    """One row of metrics every 10 steps, and losses that fall."""
    steps = [10 * (1 + place) for place in range(len(compression))]
    losses = [3.0 / (1 + place / 10) for place in range(len(compression))]
    blocks = [
        CurveBlock(step, 10, loss, 0.01, 0.5) for step, loss in zip(steps, losses, strict=True)
    ]
    values: dict[str, Any] = {
        "step": steps[-1],
        "max_steps": 2 * steps[-1],
        "n_vocab": 256,
        "blocks": blocks,
        "metric_steps": steps,
        "metrics": {NAME: compression},
        "metric_targets": {NAME: TARGET},
        "remedies": Remedies(hnet()),
        **more,
    }
    return Evidence(steps, losses, losses, **values)


def verdict(evidence: Evidence, word: str) -> Verdict | None:
    return next((one for one in diagnose(evidence) if one.word == word), None)


@pytest.mark.parametrize(
    ("stuck", "what"), [(1.0, "cuts at almost every position"), (64.0, "makes almost no cuts")]
)
def test_a_router_that_stays_at_an_extreme_has_collapsed(stuck: float, what: str) -> None:
    finding = verdict(evidence_of([2.0, 4.0, 5.0] + [stuck] * 30), "collapsed router")
    assert finding is not None
    assert f"stage 1 {what}" in finding.evidence
    assert f"target {TARGET:g}" in finding.evidence
    assert finding.since == 40
    assert finding.explanation == EXPLANATIONS["collapsed router"]
    texts = [one.text for one in finding.remedies]
    assert texts[0] == "a larger weight of the ratio loss: 0.03 → 0.09"
    assert "a lower learning rate" in texts[1]
    for remedy in finding.remedies:
        overrides.apply(hnet(), list(remedy.changes))


@pytest.mark.parametrize(
    "compression",
    [
        # The swing of a healthy start: 5 % boundaries for a moment, then near the target.
        [2.0, 2.4, 20.0, 20.0, 5.5, 2.4, 2.7] + [3.0 + place / 40 for place in range(40)],
        [4.0] * 50,
        # Not for long enough, and not yet.
        [4.0] * 30 + [1.0] * 19,
        [1.0] * 9,
    ],
)
def test_a_healthy_router_has_no_verdict(compression: list[float]) -> None:
    assert verdict(evidence_of(compression), "collapsed router") is None


def test_a_run_without_such_a_metric_has_no_verdict() -> None:
    evidence = evidence_of([1.0] * 40, metrics={})
    assert verdict(evidence, "collapsed router") is None
    assert verdict(evidence_of([1.0] * 40, metric_targets={}), "collapsed router") is None


def ternary(rate: float, steps: int, loss: float, **more: Any) -> Evidence:
    """A finished run with ten evaluations, its rate constant."""
    every = steps // 10
    marks = [every * (1 + place) for place in range(10)]
    losses = [5.5 - (5.5 - loss) * (1 + place) / 10 for place in range(10)]
    blocks = [
        CurveBlock(mark, every, one, rate * every, 0.5)
        for mark, one in zip(marks, losses, strict=True)
    ]
    values: dict[str, Any] = {
        "step": steps,
        "max_steps": steps,
        "n_vocab": 256,
        "blocks": blocks,
        "learning_rate": rate,
        "is_ternary": True,
        "is_over": True,
        "has_ended": True,
        "remedies": Remedies(hnet()),
        **more,
    }
    return Evidence(marks, losses, losses, **values)


def test_a_rate_too_low_for_ternary_weights_is_reported_with_one_that_works() -> None:
    preset = overrides.apply(hnet(), ["optimizer.learning_rate=3e-4"])
    evidence = ternary(1.5e-4, 260, 2.99, learning_rate=3e-4, remedies=Remedies(preset))
    finding = verdict(evidence, "learning rate too low")
    assert finding is not None
    assert "the learning rates of all steps sum to 0.039" in finding.evidence
    assert "a higher learning rate: 0.0003 → 0.003" in finding.remedies[0].text


@pytest.mark.parametrize(
    ("rate", "steps", "loss", "more"),
    [
        (1.5e-3, 260, 1.96, {}),  # the published run at 3e-3
        (1.5e-4, 10_000, 0.8, {}),  # low, but for long enough
        (1.5e-4, 260, 1.5, {}),  # it learned all the same
        (1.5e-4, 260, 2.99, {"is_ternary": False}),
        (1.5e-4, 260, 2.99, {"is_forked": True}),
    ],
)
def test_other_runs_are_not_told_to_raise_it(
    rate: float, steps: int, loss: float, more: dict[str, Any]
) -> None:
    finding = verdict(ternary(rate, steps, loss, **more), "learning rate too low")
    assert finding is None or "ternary" not in finding.evidence
