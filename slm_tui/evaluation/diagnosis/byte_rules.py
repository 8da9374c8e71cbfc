"""Rules about byte-level models: routers that collapsed, and rates too low for ternary weights."""

import math

import numpy as np

from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.evaluation.diagnosis.signals import Values
from slm_tui.evaluation.diagnosis.verdict import Evidence, Verdict

# Early in training routers swing: a verdict needs this many steps, and the last rows all alike.
_EARLIEST_STEP = 100
_ROWS = 20
_MOST_ROWS = 2000
# Almost every position is a boundary, or chunks are this many times longer than their target.
_ALL = 1.1
_NONE = 5.0
# The sum of all learning rates below which ternary weights hardly change: a weight starts at 0.02
# and moves by about the learning rate in each step, and most steps cancel. In 260 steps, a rate of
# 3e-4 (sum 0.04) reached 4.32 bits per byte, 3e-3 (sum 0.4) reached 2.83, and 1e-2 2.74.
_LEAST_TRAVEL = 0.2
# A model with a loss below this fraction of ln V has learned enough.
_HIGH = 0.42
_GOOD_RATE = 3e-3


def collapsed_router(run: Evidence) -> Verdict | None:
    """A stage cuts at (almost) every position, or almost never."""
    if run.step < _EARLIEST_STEP:
        return None
    for name, target in run.metric_targets.items():
        values = np.asarray(run.metrics.get(name, ())[-_MOST_ROWS:], np.float64)
        if len(values) < _ROWS:
            continue
        finding = _collapse(name, target, values)
        if finding is not None:
            first, what, why = finding
            since = int(run.metric_steps[first - len(values)])
            remedies = run.remedies.routing() if run.remedies is not None else ()
            return Verdict("▲", "collapsed router", since, what, 0.99, why, 7, remedies)
    return None


def _collapse(name: str, target: float, values: Values) -> tuple[int, str, str] | None:
    """The first row of the collapse, and what it is."""
    stage = name.removeprefix("stage").split("_")[0]
    values = np.where(np.isfinite(values), values, target)
    for is_collapsed, what in (
        (values <= _ALL, "cuts at almost every position"),
        (values >= _NONE * target, "makes almost no cuts"),
    ):
        if not is_collapsed[-_ROWS:].all():
            continue
        healthy = np.flatnonzero(~is_collapsed)
        first = int(healthy[-1]) + 1 if len(healthy) else 0
        mean = float(values[-_ROWS:].mean())
        text = f"stage {stage} {what}: {mean:.2f} positions per chunk, target {target:g}"
        return first, text, f"in all of the last {len(values) - first} logged steps"
    return None


def ternary_rate_too_low(run: Evidence, val: Values) -> Verdict | None:
    """All updates together are too small to change ternary weights."""
    if not run.is_ternary or run.is_forked or run.n_vocab < 2 or not run.blocks:
        return None
    done = sum(block.rates for block in run.blocks)
    share = min(1.0, run.step / run.max_steps) if run.max_steps else 1.0
    if share < 0.3 or done <= 0 or val[-1] < _HIGH * math.log(run.n_vocab):
        return None
    # What is still to come under a falling schedule is less than the rest in proportion.
    planned = done / share
    if planned >= _LEAST_TRAVEL:
        return None
    what = (
        f"the learning rates of all steps sum to {planned:.2g}, and ternary weights start to "
        f"learn at about {_LEAST_TRAVEL:g}; val {val[-1]:.3f} nats"
    )
    remedies: tuple[Remedy, ...] = ()
    if (offer := run.remedies) is not None:
        factor = max(2.0, _GOOD_RATE / run.learning_rate) if run.learning_rate > 0 else 10.0
        remedies = (*offer.rate(factor), *offer.steps(_LEAST_TRAVEL / planned * 2))
    why = "from measurements of models with 0.4 million ternary weights"
    return Verdict("▲", "learning rate too low", None, what, 0.9, why, 5.5, remedies)
