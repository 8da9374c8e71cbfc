"""What the curves say: verdicts by rank, each with evidence, confidence and what to try next.

Every rule goes by the noise of the curve it reads, and those that compare evaluations go by
medians of three and by two thresholds, so that no single evaluation brings or takes a verdict.
All work is on evaluations and on a few hundred blocks of steps, whatever the length of the run.
"""

from dataclasses import replace

import numpy as np

from slm_tui.evaluation.diagnosis import fit_rules, plan_rules, rate_rules
from slm_tui.evaluation.diagnosis.explanations import EXPLANATIONS
from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.evaluation.diagnosis.signals import Values
from slm_tui.evaluation.diagnosis.verdict import CurveBlock, Evidence, Verdict

__all__ = ["EXPLANATIONS", "CurveBlock", "Evidence", "Remedy", "Verdict", "diagnose"]

_TROUBLE = 3.0
_LEAST_CONFIDENCE = 0.5


def diagnose(known: Evidence) -> tuple[Verdict, ...]:
    """All that can be said of a run, most important first; never empty.

    The first is the headline: with too little to go on, one without a word.
    """
    steps, val, train = _evaluated(known)
    found = [
        rate_rules.non_finite(known),
        rate_rules.diverging(known),
        rate_rules.spikes(known),
        plan_rules.early_stop(known, steps),
        plan_rules.little_text(known),
        plan_rules.repeated_text(known),
        plan_rules.validation_too_small(known, val),
        memorising(known),
    ]
    if len(val) >= 2:
        found += [
            rate_rules.rate_too_high(known, steps, val, train),
            rate_rules.rate_too_low(known, steps, val),
            fit_rules.overfitting(known, steps, val, train),
            fit_rules.underfitting(known, val, train),
            fit_rules.texts_differ(known, steps, val, train),
        ]
    found.append(fit_rules.floor(known))
    told = [one for one in found if one is not None and one.confidence >= _LEAST_CONFIDENCE]
    told = _without_contradictions(told)
    if not any(one.severity >= _TROUBLE for one in told):
        told.append(_course(known, steps, val))
    told = [replace(one, has_ended=known.has_ended) for one in told]
    return tuple(sorted(told, key=lambda one: one.rank, reverse=True))


def _course(known: Evidence, steps: list[int], val: Values) -> Verdict:
    if len(val) < 2:
        # Before anything that is known from the preset alone.
        text = (
            "the run ended before its second evaluation: too little for a verdict"
            if known.has_ended
            else "the verdict comes with the second evaluation"
        )
        return Verdict("", "", None, text, severity=2.0)
    return fit_rules.course(known, steps, val)


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


def _without_contradictions(told: list[Verdict]) -> list[Verdict]:
    """One cause, one verdict: the consequences of a trouble are not told beside it."""
    gone = {word for one in told for word in _OVERRULES.get(one.word, ())}
    return [one for one in told if one.word not in gone]


def _evaluated(known: Evidence) -> tuple[list[int], Values, Values]:
    """Steps, validation and training losses of the evaluations that gave a number."""
    count = min(len(known.val_steps), len(known.val_losses))
    val = np.asarray(known.val_losses[:count], np.float64)
    train = np.full(count, np.nan)
    given = np.asarray(known.train_losses[:count], np.float64)
    train[: len(given)] = given
    train[~np.isfinite(train)] = np.nan
    good = np.isfinite(val) & (val > 0) & (val < 1e6)
    steps = [int(step) for step, keep in zip(known.val_steps, good, strict=False) if keep]
    return steps, val[good], train[good]


def memorising(known: Evidence) -> Verdict | None:
    """Samples that stand word for word in the training text, beyond what such texts share."""
    copying = known.copying
    if copying is None or not copying.is_much:
        return None
    remedies: tuple[Remedy, ...] = ()
    if (offer := known.remedies) is not None:
        remedies = (*offer.more_text(), *offer.dropout(), *offer.smaller())
    return Verdict(
        "▲",
        "memorising",
        copying.step,
        copying.told(),
        copying.confidence,
        copying.reason,
        5,
        remedies,
    )
