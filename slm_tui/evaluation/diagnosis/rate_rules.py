"""Rules about updates that are too large or too small: overflow, divergence, learning rates."""

import math

import numpy as np

from slm_tui.config.usual import FAR, UsualRate
from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.evaluation.diagnosis.signals import Values, confidence, jitter, noise, reason
from slm_tui.evaluation.diagnosis.verdict import Evidence, Verdict
from slm_tui.formatting import count

_FEW_STEPS = 20
_LEAST_CLIMB = 0.3  # nats, and also as a fraction of the loss
_SPIKES = 3
_RECENT = 0.5
# A model with a loss above this fraction of ln V knows little more than token frequencies.
_HIGH = 0.55
_USUAL = "usual rates: measured for small models (docs/verdicts.md), published for larger ones"
# A loss below this multiple of the floor, or fraction of ln V, is good at any rate.
_NEAR_FLOOR, _LOW = 1.5, 0.25


def non_finite(run: Evidence) -> Verdict | None:
    """Recent steps were skipped because something was not finite."""
    count, back = len(run.skipped), len(run.went_back)
    # A single skipped step long ago no longer matters, nor do those that fp16 loss scaling fixed.
    recent = [step for step in run.skipped if step >= run.step * (1 - _RECENT)]
    if not run.failed_non_finite and len(recent) < 2 and not (back and count):
        return None
    what = f"{_many(count, 'step')} skipped: the loss or gradient was not finite"
    if back:
        what += f"; went back to a checkpoint {_many(back, 'time')}"
    if run.failed_non_finite:
        what += "; this made the run fail"
    since = min([*run.skipped, *run.went_back], default=run.step)
    sure = 1.0 if run.failed_non_finite or back else 1 - 0.5 ** len(recent)
    why = "counted by the trainer"
    return Verdict("✗", "non-finite", since, what, sure, why, 10, _smaller_updates(run, 0.1))


def diverging(run: Evidence) -> Verdict | None:
    """The loss stays far above its lowest value, or is worse than a uniform guess."""
    if run.went_back and not run.skipped:
        what = f"the run went back to a checkpoint {_many(len(run.went_back), 'time')}, each time"
        what += " with half the learning rate: its loss was worse than a uniform guess"
        since = min(run.went_back)
        why = "detected by the trainer"
        return Verdict("✗", "diverging", since, what, 1.0, why, 9, _smaller_updates(run, 0.1))
    finding = _worse_than_uniform(run) or _climbs(run)
    if finding is None:
        return None
    since_step, what, sure, why = finding
    return Verdict("✗", "diverging", since_step, what, sure, why, 9, _smaller_updates(run, 1 / 3))


_Finding = tuple[int | None, str, float, str]


def _worse_than_uniform(run: Evidence) -> _Finding | None:
    """The loss ended above ln V after it had been lower.

    The noise of an exploding curve is meaningless, so this compares with ln V instead.
    """
    if run.n_vocab < 2:
        return None
    uniform = math.log(run.n_vocab)
    of_training = len(run.blocks) >= 4
    if of_training:
        losses = np.array([block.loss for block in run.blocks])
        steps = [block.last for block in run.blocks]
    else:
        count = min(len(run.val_steps), len(run.val_losses))
        losses = np.asarray(run.val_losses[:count], np.float64)
        steps = list(run.val_steps[:count])
    if len(losses) < 2 or steps[-1] < _FEW_STEPS or not np.isfinite(losses).any():
        return None
    losses = np.where(np.isfinite(losses), losses, np.inf)
    is_above = losses > 1.1 * uniform
    after = len(is_above) if is_above.all() else int(np.argmin(is_above[::-1]))
    best = int(np.argmin(losses))
    lowest, now = float(losses[best]), float(losses[-2:].min())
    # Falling from a high start, as after a fork to another text, is not divergence.
    if after < 2 or now <= lowest:
        return None
    kind = "training" if of_training else "validation"
    what = (
        f"{kind} loss {run.loss(lowest)} → {run.loss(now)} {run.unit}; "
        f"a uniform guess over {run.n_vocab:,} tokens has {run.loss(uniform)}"
    )
    sure = 1.0 if now > 2 * uniform else 1 - 0.5**after
    many = "blocks of steps" if of_training else "evaluations"
    why = f"the last {after} {many} were above ln V" if math.isfinite(now) else "it is not finite"
    return steps[best], what, sure, why


def _climbs(run: Evidence) -> _Finding | None:
    """The training loss rose far above its lowest value and stayed there."""
    losses = np.array([block.loss for block in run.blocks])
    steps = [block.last for block in run.blocks]
    if len(losses) < 4 or steps[-1] < _FEW_STEPS:
        return None
    losses = np.where(np.isfinite(losses), losses, np.inf)
    best = int(np.argmin(losses[:-1]))
    lowest, now = float(losses[best]), float(losses[-2:].min())
    finite = losses[np.isfinite(losses)]
    spread = noise(finite) if len(finite) else 0.0
    far = max(_LEAST_CLIMB, _LEAST_CLIMB * lowest, 6 * spread)
    after = len(losses) - 1 - best
    if now <= lowest + far or after < 2:
        return None
    # A steady fall after a climb is a recovery.
    uniform = math.log(run.n_vocab) if run.n_vocab > 1 else math.inf
    if np.isfinite(now) and now < 0.8 * float(losses[best:].max()) and now < uniform:
        return None
    what = f"training loss {run.loss(lowest)} → {run.loss(now)} {run.unit}"
    if not math.isfinite(now):
        return steps[best], what, 1.0, "it is not finite"
    sure = confidence(now - lowest, spread, after + 2)
    why = reason(now - lowest, spread, after)
    why = (
        why.replace("evaluation", "block of steps", 1)
        if after == 1
        else why.replace("evaluations", "blocks of steps")
    )
    return steps[best], what, sure, why


def rate_far_too_high(run: Evidence, val: Values) -> Verdict | None:
    """A rate far above what is usual for the size of the model, and a loss that shows it.

    Such a run may never learn, so its curve is level, or falls only as the schedule lowers the
    rate: the curve alone does not tell.
    """
    if not run.usual_rates or run.is_forked or len(val) < 3 or run.step < _FEW_STEPS:
        return None
    rate = max(run.usual_rates, key=lambda one: one.times_too_high)
    times = rate.times_too_high
    if times < FAR or _does_well(run, val):
        return None
    what = (
        f"{rate.value:g}{_for(rate)} is {times:.0f} × the highest usual rate at "
        f"{count(run.parameters)} parameters ({rate.highest:g}); val {run.loss(val[-1])} {run.unit}"
    )
    remedies = run.remedies.rate_to(rate, rate.highest / 2) if run.remedies else ()
    sure = 1 - 0.5 ** (1 + times)
    why = _USUAL
    return Verdict("▲", "learning rate too high", None, what, sure, why, 6, remedies)


def rate_far_too_low(run: Evidence, val: Values) -> Verdict | None:
    """A rate far below what is usual for the size of the model, and a loss that shows it."""
    if not run.usual_rates or run.is_forked or len(val) < 3:
        return None
    rate = max(run.usual_rates, key=lambda one: one.times_too_low)
    times = rate.times_too_low
    if times < FAR or _does_well(run, val) or (run.max_steps and run.step < 0.3 * run.max_steps):
        return None
    what = (
        f"the lowest usual rate{_for(rate)} at {count(run.parameters)} parameters is "
        f"{rate.lowest:g}, {times:.0f} × this one ({rate.value:g}); val {run.loss(val[-1])} "
        f"{run.unit}"
    )
    remedies: tuple[Remedy, ...] = ()
    if run.remedies is not None:
        better = math.sqrt(rate.lowest * rate.highest)
        remedies = (*run.remedies.rate_to(rate, better), *run.remedies.steps(4))
    sure = 1 - 0.5 ** (1 + times)
    why = _USUAL
    return Verdict("▲", "learning rate too low", None, what, sure, why, 5, remedies)


def _for(rate: UsualRate) -> str:
    return f" for {rate.weights}" if rate.weights else ""


def _does_well(run: Evidence, val: Values) -> bool:
    """Whether the loss is so low that the rate cannot be far off."""
    bits = run.val_bits_per_byte
    if run.floor_bits_per_byte and len(bits) and math.isfinite(bits[-1]):
        return float(bits[-1]) < _NEAR_FLOOR * run.floor_bits_per_byte
    return run.n_vocab > 1 and float(val[-1]) < _LOW * math.log(run.n_vocab)


def rate_too_high(run: Evidence, steps: list[int], val: Values, train: Values) -> Verdict | None:
    """Both losses stay high while evaluations of the same text zigzag.

    The windows of an evaluation never change, so only the weights can cause the zigzag. At a rate
    that is usual for the size, something else does.
    """
    if len(val) < 8 or run.n_vocab < 2 or run.is_forked:
        return None
    if run.usual_rates and all(one.times_too_high <= 1 for one in run.usual_rates):
        return None
    uniform = math.log(run.n_vocab)
    if min(float(np.median(val[-3:])), float(val.min()) * 1.1) < _HIGH * uniform:
        return None
    if run.learning_rate and run.learning_rate < 1e-4:
        return None
    finding = _zigzags(run, steps, val) or _better_before(run, steps, val)
    if finding is None or _trains_well(run, steps, train):
        return None
    since, what, sure, why = finding
    what = f"val {run.loss(val[-1])} {run.unit} (uniform guess: {run.loss(uniform)}), {what}"
    norms = [block.norm for block in run.blocks if block.last > run.warmup_steps]
    clip = run.gradient_clip
    if clip and norms and np.mean(np.array(norms) > clip) > 0.9:
        what += "; nearly every gradient is clipped"
    remedies = run.remedies.rate(0.1) if run.remedies else ()
    return Verdict("▲", "learning rate too high", since, what, sure, why, 6, remedies)


def _zigzags(run: Evidence, steps: list[int], val: Values) -> _Finding | None:
    """No progress while the rate was high, and the loss keeps changing direction."""
    hot = _while_high(run, steps)
    hot = hot[len(hot) // 3 :]
    if len(hot) < 5:
        return None
    later = val[hot]
    swing, gain = jitter(later), float(later[0] - later[-1])
    turns = _turns(later, swing / 4)
    # A curve that rises or falls steadily is not a zigzag.
    if swing < 0.004 * later[-1] or turns < 0.4 or not -6 * swing < gain < 10 * swing:
        return None
    what = (
        f"±{run.loss(swing)} from one evaluation to the next; down only "
        f"{run.loss(max(0.0, gain))} from step {steps[hot[0]]:,} to {steps[hot[-1]]:,}"
    )
    sure = confidence(swing, 0.002 * later[-1], len(later) - 2)
    return (
        None,
        what,
        sure,
        f"the loss changes direction at {turns:.0%} of {len(later)} evaluations",
    )


def _turns(values: Values, least: float) -> float:
    """The fraction of inner values where the curve turns by more than `least` on both sides."""
    moves = np.diff(values)
    turns = (
        (moves[:-1] * moves[1:] < 0) & (np.abs(moves[:-1]) > least) & (np.abs(moves[1:]) > least)
    )
    return float(np.mean(turns))


def _trains_well(run: Evidence, steps: list[int], train: Values) -> bool:
    """Whether the training loss kept falling while the rate was high."""
    hot = [at for at in _while_high(run, steps) if np.isfinite(train[at])]
    hot = hot[len(hot) // 3 :]
    if len(hot) < 5:
        return False
    third = max(2, len(hot) // 3)
    losses = train[hot]
    drop = float(np.median(losses[:third]) - np.median(losses[-third:]))
    return drop > max(0.05 * float(np.median(losses[:third])), 2 * noise(losses))


def _better_before(run: Evidence, steps: list[int], val: Values) -> _Finding | None:
    """The best loss came in warm-up, at half of the peak rate or less, and never again."""
    best = int(np.argmin(val))
    after = len(val) - 1 - best
    if not 0 < steps[best] <= run.warmup_steps / 2 or after < 4:
        return None
    spread = noise(val[best:])
    rise = float(np.median(val[best + 1 :])) - float(val[best])
    if rise < 0.01 * val[best]:
        return None
    spread /= math.sqrt(after)  # of their median
    what = f"{run.loss(rise)} above its best, at step {steps[best]:,} with a lower rate in warm-up"
    return steps[best], what, confidence(rise, spread, after), reason(rise, spread, after)


def _while_high(run: Evidence, steps: list[int]) -> list[int]:
    """The evaluations while the rate was at least half of its peak, except the first."""
    if not run.blocks:
        return list(range(1, len(steps)))
    ends = [block.last for block in run.blocks]
    lengths = np.maximum(1, np.diff([0, *ends]))
    rates = np.array([block.rates for block in run.blocks]) / lengths
    at = np.minimum(np.searchsorted(ends, steps), len(ends) - 1)
    return [one for one in range(1, len(steps)) if rates[at[one]] >= 0.5 * rates.max()]


def rate_too_low(run: Evidence, steps: list[int], val: Values) -> Verdict | None:
    """Each unit of learning rate still gains as much as at the beginning.

    Plotted against the sum of learning rates, a healthy loss curve bends as less is left to
    learn; a straight one has only started. The sum makes schedules and warm-ups comparable.
    """
    if len(val) < 6 or run.is_forked or run.n_vocab < 2 or not run.blocks:
        return None
    if run.usual_rates and all(one.times_too_low <= 1 for one in run.usual_rates):
        return None
    uniform = math.log(run.n_vocab)
    if run.max_steps and run.step < 0.3 * run.max_steps:
        return None
    if val[-1] < 0.7 * uniform or val[0] > 1.5 * uniform:
        return None
    rate_sums = np.interp(
        steps,
        [0, *(block.last for block in run.blocks)],
        [0.0, *np.cumsum([block.rates for block in run.blocks])],
    )
    total = float(rate_sums[-1])
    if total <= 0:
        return None
    third, two_thirds = np.interp([total / 3, 2 * total / 3], rate_sums, val)
    first, last = float(val[0] - third), float(two_thirds - val[-1])
    spread = noise(val) / 2
    if first <= 0 or last <= 6 * spread or last < 0.5 * first or val[-1] > val.min() + spread:
        return None
    drop = (val[0] - val[-1]) / uniform
    what = (
        f"val {run.loss(val[0])} → {run.loss(val[-1])} {run.unit}, {drop:.0%} of the way from a "
        f"uniform guess to 0; the last third of all updates gained {run.loss(last)}, the first "
        f"{run.loss(first)}"
    )
    factor = 10 if drop < 0.15 else 3
    remedies: tuple[Remedy, ...] = ()
    if run.remedies is not None:
        offer = run.remedies
        allowed = run.learning_rate * factor <= 0.03
        remedies = (*(offer.rate(factor) if allowed else ()), *offer.steps(4))
    sure = confidence(last, spread, len(val) // 3)
    return Verdict(
        "▲",
        "learning rate too low",
        None,
        what,
        sure,
        reason(last, spread, len(val) // 3),
        5,
        remedies,
    )


def spikes(run: Evidence) -> Verdict | None:
    """Several recent sudden jumps of the training loss."""
    recent = [step for step in run.spikes if step >= run.step * (1 - _RECENT)]
    if len(recent) < _SPIKES:
        return None
    what = f"{len(recent)} sudden jumps of the loss since step {recent[0]:,}"
    sure = 1 - 0.5 ** len(recent)
    why = "each more than eight times the usual variation"
    return Verdict("▲", "loss spikes", recent[0], what, sure, why, 3, _smaller_updates(run, 0.5))


def _smaller_updates(run: Evidence, factor: float) -> tuple[Remedy, ...]:
    if run.remedies is None:
        return ()
    offer = run.remedies
    return (*offer.rate(factor), *offer.clip(), *offer.warmup())


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
