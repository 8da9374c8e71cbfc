"""Rules based on the preset and the size of its text: arithmetic, not curves."""

import math

import numpy as np

from slm_tui.config.estimate import (
    COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER,
    MANY_EPOCHS,
)
from slm_tui.evaluation.diagnosis.signals import Values
from slm_tui.evaluation.diagnosis.verdict import Evidence, Verdict
from slm_tui.formatting import count, ratio_text

_ARITHMETIC = "arithmetic, not a guess"
# With a relative error above this, a loss is too uncertain to compare.
_LARGE_ERROR = 0.03


def early_stop(run: Evidence, steps: list[int]) -> Verdict | None:
    """The patience is at least as long as the run."""
    patience = run.early_stop_patience
    if patience is None or not run.max_steps or patience < run.max_steps:
        return None
    what = f"patience {patience:,} steps, run length {run.max_steps:,}"
    remedies = run.remedies.patience() if run.remedies else ()
    return Verdict("▲", "early stop cannot fire", None, what, 1.0, _ARITHMETIC, 0.8, remedies)


def little_text(run: Evidence) -> Verdict | None:
    """Far fewer tokens than the parameters could learn from."""
    if not run.parameters or not run.train_tokens:
        return None
    ratio = run.train_tokens / run.parameters
    if ratio >= run.few_tokens_per_parameter:
        return None
    what = (
        f"{count(run.train_tokens)} tokens for {count(run.parameters)} parameters: "
        f"{ratio_text(ratio)} each, about {COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is ideal"
    )
    # The further below, the more it matters; slightly below is normal for simple text.
    severity = 1.0 + min(0.5, max(0.0, math.log10(run.few_tokens_per_parameter / ratio)) / 4)
    hint = "more text, or a smaller model, which learns as much in less time"
    return Verdict("▲", "little text", None, what, 1.0, _ARITHMETIC, severity, (), hint)


def repeated_text(run: Evidence) -> Verdict | None:
    """More passes through the text than are worthwhile."""
    if not run.train_tokens or not run.tokens_per_step or not run.max_steps:
        return None
    each = run.tokens_per_step / run.train_tokens
    planned, so_far = run.max_steps * each, run.step * each
    if planned <= MANY_EPOCHS:
        return None
    when = "trained" if run.has_ended else "so far"
    what = f"{ratio_text(planned)} epochs planned, {ratio_text(so_far)} {when}"
    since = math.ceil(MANY_EPOCHS / each) if so_far > MANY_EPOCHS else None
    remedies = run.remedies.more_text() if run.remedies else ()
    return Verdict("▲", "repeated text", since, what, 1.0, _ARITHMETIC, 0.9, remedies)


def validation_too_small(run: Evidence, val: Values) -> Verdict | None:
    """The standard error of the mean over so few tokens is a large fraction of the loss.

    The surprisal of a token has a standard deviation of about its mean, as in an exponential
    distribution; tokens of one text are correlated, so the true error is even larger.
    """
    read = run.evaluated_tokens or run.val_tokens
    if not read or not len(val):
        return None
    error = 1 / math.sqrt(read)
    if error < _LARGE_ERROR:
        return None
    level = float(np.min(val))
    what = f"{read:,} tokens: val {run.loss(level)} {run.unit}, "
    what += f"error at least ±{run.loss(level * error)}"
    why = "standard error of a mean over so many tokens"
    sure = math.erf(error / _LARGE_ERROR / math.sqrt(2)) ** 0.5
    remedies = run.remedies.more_validation() if run.remedies else ()
    return Verdict("▲", "validation too small", None, what, sure, why, 1.5, remedies)
