"""Rules that compare training and validation loss with each other and with the floor."""

import math

import numpy as np

from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.evaluation.diagnosis.signals import (
    Values,
    confidence,
    flat_from,
    holds,
    median_of_three,
    noise,
    reason,
)
from slm_tui.evaluation.diagnosis.verdict import Evidence, Verdict

_LEAST_RISE = 0.01
# A new best that is lower by this fraction than half the curve ago: not level yet.
_WORTH = 0.02
_NEAR = 1.03
# Fraction of the distance to the floor: a run that still gains more has not levelled off.
_STILL_FALLS = 0.1
# With this many evaluations their noise can be measured directly.
_ENOUGH_FOR_NOISE = 8
# Before this fraction of the run, slow progress is not yet a plateau.
_LATE = 0.4
# Standard deviation of a token's surprisal, relative to its mean: measured on the built-in
# stories, where nearly all tokens are certain and a few are free choices.
_SPREAD_OF_SURPRISE = 2.0


def overfitting(run: Evidence, steps: list[int], val: Values, train: Values) -> Verdict | None:
    """Validation loss is clearly above its best while training loss keeps falling."""
    best = int(np.argmin(val))
    after = len(val) - 1 - best
    if after < 3:
        return None
    spread = noise(val[flat_from(val) :])
    if after >= _ENOUGH_FOR_NOISE:
        spread = max(spread, noise(val[best:]))
    enter = max(3 * spread, _LEAST_RISE * val[best])
    calm = median_of_three(val[best:]) - val[best]
    if not holds(calm, enter, enter / 2):
        return None
    recent = train[-3:][np.isfinite(train[-3:])]
    before, now = train[best], float(np.median(recent)) if len(recent) else math.nan
    # If training loss rises too, something else is wrong.
    falls = np.isfinite(before) and now < before - 0.002 * abs(before)
    if not falls or now > val[best] - enter:
        return None
    rise = float(calm[-1])
    what = (
        f"val {run.loss(val[best])} → {run.loss(val[best] + rise)} {run.unit} "
        f"(+{rise / val[best]:.0%}) while train falls to {run.loss(now)}; "
        f"gap {run.loss(val[best] + rise - now)}"
    )
    remedies: tuple[Remedy, ...] = ()
    if run.remedies is not None:
        remedies = run.remedies.more_text()
    return Verdict(
        "▲",
        "overfitting",
        steps[best],
        what,
        confidence(rise, spread, after),
        reason(rise, spread, after),
        7,
        remedies,
        "more text; the best checkpoint is from before it began",
    )


def underfitting(run: Evidence, val: Values, train: Values) -> Verdict | None:
    """Both losses are level, close together, and far above what is possible."""
    if len(val) < 8 or run.is_forked or not np.isfinite(train[-1]):
        return None
    if run.step < _LATE * run.max_steps:
        return None
    third = max(3, len(val) // 3)
    total_drop = float(val[0] - val.min())
    late_drop = float(val[-third - 1] - np.median(val[-2:]))
    gap = float(np.median(val[-3:]) - np.nanmedian(train[-3:]))
    if total_drop <= 0 or late_drop > 0.05 * total_drop or val[-1] > val.min() * 1.02:
        return None
    if abs(gap) > 0.05 * val[-1] + 2 * noise(val[-third:]):
        return None
    floor, bits = run.floor_bits_per_byte, run.val_bits_per_byte
    if floor and len(bits):
        above = float(bits[-1]) / floor
        left = float(val[-1]) * (1 - 1 / above)
        if above < 1.5 or late_drop > _STILL_FALLS * left:
            return None
        far = f"{above:.1f} × the floor"
    else:
        seen = run.step * run.tokens_per_step
        if not run.parameters or seen < 100 * run.parameters or late_drop > 0.03 * val[-1]:
            return None
        far = f"after {seen / run.parameters:,.0f} tokens per parameter"
    what = (
        f"train {run.loss(float(np.nanmedian(train[-3:])))} ≈ val {run.loss(val[-1])} {run.unit}, "
        f"{far}; down {run.loss(max(0.0, late_drop))} in the last third"
    )
    remedies: tuple[Remedy, ...] = ()
    if run.remedies is not None:
        remedies = run.remedies.steps(3)
    # How small the latest progress is compared with what would count as progress.
    sure = confidence(0.05 * total_drop - max(0.0, late_drop), noise(val[-third:]), third)
    late = f"{max(0.0, late_drop) / total_drop:.1%}"
    why = f"{late} of all progress came in the last {third} evaluations"
    return Verdict("▲", "underfitting", None, what, sure, why, 4, remedies)


def floor(run: Evidence) -> Verdict | None:
    """Close to the entropy of the text, or below it, which is impossible for unseen text."""
    least, bits = run.floor_bits_per_byte, run.val_bits_per_byte
    if not least or not len(bits) or not math.isfinite(bits[-1]):
        return None
    now = float(bits[-1])
    read = run.evaluated_tokens or run.val_tokens
    error = _SPREAD_OF_SURPRISE / math.sqrt(read) if read else 0.01
    of_all = bool(run.val_tokens and read >= run.val_tokens)
    tolerance = max(0.03, 3 * error)
    seen = f"measured on {read:,} of {run.val_tokens:,} tokens" if run.val_tokens else ""
    what = f"{now:.4f} bits per byte; entropy of the text {least:.4f}" + (
        f"; {seen}" if seen and not of_all else ""
    )
    if now < least * (1 - tolerance):
        z = (1 - now / least) / error
        sure = confidence(z, 1.0, 5)
        why = f"{z:.0f} × the standard error of an evaluation of {read:,} tokens"
        remedies = run.remedies.more_validation() if run.remedies and not of_all else ()
        hint = "check the training text for validation text (5)"
        return Verdict("▲", "below the floor", None, what, sure, why, 5, remedies, hint)
    if now > least * _NEAR:
        return None
    remedies = run.remedies.richer() if run.remedies else ()
    hint = "nothing: little is left to learn here"
    sure = math.erf(max(0.0, (1.06 - now / least) / max(error, 0.002)) / math.sqrt(2))
    why = f"within {abs(now / least - 1):.1%} of the floor, ±{error:.1%}"
    return Verdict("★", "near the floor", None, what, sure, why, 4.5, remedies, hint)


def texts_differ(run: Evidence, steps: list[int], val: Values, train: Values) -> Verdict | None:
    """A gap of either sign within the first epoch, when nothing can be memorised yet."""
    if not run.train_tokens or not run.tokens_per_step or run.is_forked:
        return None
    epochs = np.array(steps) * run.tokens_per_step / run.train_tokens
    inside = np.flatnonzero((epochs <= 1.0) & np.isfinite(train))
    # Skip the early, steep part: the mean training loss of the steps before lags behind.
    inside = inside[len(inside) // 2 :]
    if len(inside) < 3:
        return None
    gaps = (val[inside] - train[inside]) / val[inside]
    least, most = float(gaps.min()), float(gaps.max())
    spread = max(0.01, noise(gaps))
    if least > 0.15 and least > 3 * spread:
        what = (
            f"val {least:.0%} to {most:.0%} above train within the first epoch "
            f"({len(inside)} evaluations)"
        )
        sure, why = confidence(least, spread, len(inside)), reason(least, spread, len(inside))
        hint = "compare the two texts on the Data screen (5)"
        return Verdict("▲", "texts differ", steps[inside[0]], what, sure, why, 3.5, (), hint)
    if most < -0.15 and most < -3 * spread and not run.dropout:
        what = f"val {-most:.0%} to {-least:.0%} below train ({len(inside)} evaluations)"
        sure, why = confidence(-most, spread, len(inside)), reason(-most, spread, len(inside))
        hint = "compare the two texts on the Data screen (5)"
        return Verdict(
            "▲", "validation is easier", steps[inside[0]], what, sure, why, 3.5, (), hint
        )
    return None


def course(run: Evidence, steps: list[int], val: Values) -> Verdict:
    """If nothing is wrong: learning, level, or currently above its best."""
    spread = noise(val[len(val) // 2 :])
    best = int(np.argmin(val))
    above = ""
    bits = run.val_bits_per_byte
    if run.floor_bits_per_byte and len(bits) and math.isfinite(bits[-1]):
        above = f"; {run.val_bits_per_byte[-1] / run.floor_bits_per_byte:.2f} × the floor"
    enter = max(2 * spread, _LEAST_RISE * val[best])
    calm = median_of_three(val[best:]) - val[best]
    after = len(val) - 1 - best
    sure = confidence(float(calm[-1]), spread, after)
    if sure >= 0.5 and holds(calm, enter, enter / 2):
        what = f"val {run.loss(val[-1])} {run.unit}, {run.loss(val[-1] - val[best])} above its best"
        why = reason(float(calm[-1]), spread, after)
        return Verdict("▲", "rising", steps[best], what, sure, why, 2.5)
    window = max(2, len(val) // 4)
    since = int(np.argmin(val[: len(val) - window + 1])) if len(val) > window else 0
    drop = float(val[since] - val[-window:].min())
    won_enough = drop > max(spread, 0.002 * val[-1])
    if not won_enough and best >= len(val) - window:
        # Early on the curve bends so much that noise and trend look alike: look further back.
        window = max(window, len(val) // 2)
        since = int(np.argmin(val[: len(val) - window + 1]))
        drop = float(val[since] - val[best])
        won_enough = drop > max(2 * spread, _WORTH * val[-1])
    if won_enough:
        what = f"val {run.loss(val[-1])} {run.unit}, down {run.loss(drop)} since step "
        what += f"{steps[since]:,}{above}"
        sure, why = confidence(drop, spread, window), reason(drop, spread, window)
        if run.has_ended:
            more = run.is_over and drop > 0.02 * val[-1] and len(val) >= 6
            remedies = run.remedies.steps(3) if run.remedies and more else ()
            return Verdict("●", "still learning", None, what, sure, why, 2, remedies)
        return Verdict("●", "learning", None, what, sure, why, 2)
    what = f"val {run.loss(val[-1])} {run.unit}, best {run.loss(val[best])} at step "
    what += f"{steps[best]:,}{above}"
    why = f"improved by less than the curve's noise over {window} evaluations"
    return Verdict("●", "level", None, what, 1 - 0.5**window, why, 2)
