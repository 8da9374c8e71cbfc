"""What the curves say: ranked verdicts, each with evidence, confidence and what to try next.

Every rule takes the noise of its curve into account. Rules that compare evaluations use medians
of three and two thresholds, so that no single evaluation adds or removes a verdict. The rules
read evaluations and a few hundred blocks of steps, so the cost does not grow with the run.
"""

from dataclasses import replace

import numpy as np

from slm_tui.evaluation.diagnosis import byte_rules, fit_rules, plan_rules, rate_rules
from slm_tui.evaluation.diagnosis.explanations import EXPLANATIONS
from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.evaluation.diagnosis.signals import Values
from slm_tui.evaluation.diagnosis.verdict import CurveBlock, Evidence, Verdict

__all__ = ["EXPLANATIONS", "CurveBlock", "Evidence", "Remedy", "Verdict", "diagnose"]

_TROUBLE = 3.0
_LEAST_CONFIDENCE = 0.5


def diagnose(run: Evidence) -> tuple[Verdict, ...]:
    """All verdicts on a run, most important first; never empty.

    The first is the headline; its `word` is empty while there is too little evidence.
    """
    steps, val, train = _evaluated(run)
    verdicts = [
        rate_rules.non_finite(run),
        rate_rules.diverging(run),
        rate_rules.spikes(run),
        byte_rules.collapsed_router(run),
        plan_rules.early_stop(run, steps),
        plan_rules.little_text(run),
        plan_rules.repeated_text(run),
        plan_rules.validation_too_small(run, val),
        memorising(run),
    ]
    if len(val) >= 2:
        verdicts += [
            rate_rules.rate_far_too_high(run, val)
            or rate_rules.rate_too_high(run, steps, val, train),
            byte_rules.ternary_rate_too_low(run, val)
            or rate_rules.rate_far_too_low(run, val)
            or rate_rules.rate_too_low(run, steps, val),
            fit_rules.overfitting(run, steps, val, train),
            fit_rules.underfitting(run, val, train),
            fit_rules.texts_differ(run, steps, val, train),
        ]
    verdicts.append(fit_rules.floor(run))
    reported = [one for one in verdicts if one is not None and one.confidence >= _LEAST_CONFIDENCE]
    reported = _without_contradictions(reported)
    if not any(one.severity >= _TROUBLE for one in reported):
        reported.append(_course(run, steps, val))
    reported = [replace(one, has_ended=run.has_ended) for one in reported]
    return tuple(sorted(reported, key=lambda one: one.rank, reverse=True))


def _course(run: Evidence, steps: list[int], val: Values) -> Verdict:
    if len(val) < 2:
        # Ranks above everything that follows from the preset alone.
        text = (
            "the run ended before its second evaluation: too early for a verdict"
            if run.has_ended
            else "a verdict needs at least two evaluations"
        )
        return Verdict("", "", None, text, severity=2.0)
    return fit_rules.course(run, steps, val)


_OVERRULES = {
    "non-finite": {
        "diverging",
        "loss spikes",
        "learning rate too high",
        "texts differ",
        "overfitting",
        "underfitting",
    },
    "diverging": {
        "loss spikes",
        "learning rate too high",
        "underfitting",
        "overfitting",
        "texts differ",
    },
    "learning rate too high": {"underfitting", "loss spikes"},
    "learning rate too low": {"underfitting"},
    "overfitting": {"underfitting", "learning rate too high"},
    "near the floor": {"underfitting"},
}


def _without_contradictions(reported: list[Verdict]) -> list[Verdict]:
    """One cause, one verdict: drop verdicts that are consequences of another one."""
    overruled = {word for one in reported for word in _OVERRULES.get(one.word, ())}
    return [one for one in reported if one.word not in overruled]


def _evaluated(run: Evidence) -> tuple[list[int], Values, Values]:
    """Steps, validation and training losses of the evaluations with a finite loss."""
    count = min(len(run.val_steps), len(run.val_losses))
    val = np.asarray(run.val_losses[:count], np.float64)
    train = np.full(count, np.nan)
    losses = np.asarray(run.train_losses[:count], np.float64)
    train[: len(losses)] = losses
    train[~np.isfinite(train)] = np.nan
    good = np.isfinite(val) & (val > 0) & (val < 1e6)
    steps = [int(step) for step, keep in zip(run.val_steps, good, strict=False) if keep]
    return steps, val[good], train[good]


def memorising(run: Evidence) -> Verdict | None:
    """Samples occur word for word in the training text, more than unseen text does."""
    copying = run.copying
    if copying is None or not copying.is_much:
        return None
    # Measured, as for all rules: docs/verdicts.md. Dropout and a smaller model rarely help.
    remedies = run.remedies.more_text() if run.remedies else ()
    return Verdict(
        "▲",
        "memorising",
        copying.step,
        copying.sentence(),
        copying.confidence,
        copying.reason,
        5,
        remedies,
    )
