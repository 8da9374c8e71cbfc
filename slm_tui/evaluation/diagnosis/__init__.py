"""What the curves say: ranked verdicts, each with evidence, confidence and what to try next.

Every rule takes the noise of its curve into account. Rules that compare evaluations use medians
of three and two thresholds, so that no single evaluation adds or removes a verdict. The rules
read evaluations and a few hundred blocks of steps, so the cost does not grow with the run.
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
    """All verdicts on a run, most important first; never empty.

    The first is the headline; its `word` is empty while there is too little evidence.
    """
    steps, val, train = _evaluated(known)
    verdicts = [
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
        verdicts += [
            rate_rules.rate_too_high(known, steps, val, train),
            rate_rules.rate_too_low(known, steps, val),
            fit_rules.overfitting(known, steps, val, train),
            fit_rules.underfitting(known, val, train),
            fit_rules.texts_differ(known, steps, val, train),
        ]
    verdicts.append(fit_rules.floor(known))
    reported = [one for one in verdicts if one is not None and one.confidence >= _LEAST_CONFIDENCE]
    reported = _without_contradictions(reported)
    if not any(one.severity >= _TROUBLE for one in reported):
        reported.append(_course(known, steps, val))
    reported = [replace(one, has_ended=known.has_ended) for one in reported]
    return tuple(sorted(reported, key=lambda one: one.rank, reverse=True))


def _course(known: Evidence, steps: list[int], val: Values) -> Verdict:
    if len(val) < 2:
        # Ranks above everything that follows from the preset alone.
        text = (
            "the run ended before its second evaluation: too early for a verdict"
            if known.has_ended
            else "a verdict needs at least two evaluations"
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


def _without_contradictions(reported: list[Verdict]) -> list[Verdict]:
    """One cause, one verdict: drop verdicts that are consequences of another one."""
    gone = {word for one in reported for word in _OVERRULES.get(one.word, ())}
    return [one for one in reported if one.word not in gone]


def _evaluated(known: Evidence) -> tuple[list[int], Values, Values]:
    """Steps, validation and training losses of the evaluations with a finite loss."""
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
    """Samples occur word for word in the training text, more than unseen text does."""
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
        copying.sentence(),
        copying.confidence,
        copying.reason,
        5,
        remedies,
    )
