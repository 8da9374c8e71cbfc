"""Rules about updates that are too large or too small: overflow, divergence, learning rates."""

import math

import numpy as np

from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.evaluation.diagnosis.signals import Values, confidence, jitter, noise, reason
from slm_tui.evaluation.diagnosis.verdict import Evidence, Verdict

_FEW_STEPS = 20
_LEAST_CLIMB = 0.3  # nats, and also as a fraction of the loss
_SPIKES = 3
_RECENT = 0.5
# A model with a loss above this fraction of ln V knows little more than token frequencies.
_HIGH = 0.55


def non_finite(known: Evidence) -> Verdict | None:
    """Recent steps were skipped because something was not finite."""
    count, back = len(known.skipped), len(known.went_back)
    # A single skipped step long ago no longer matters, nor do those that fp16 loss scaling fixed.
    recent = [step for step in known.skipped if step >= known.step * (1 - _RECENT)]
    if not known.failed_non_finite and len(recent) < 2 and not (back and count):
        return None
    what = f"{_many(count, 'step')} skipped: the loss or gradient was not finite"
    if back:
        what += f"; went back to a checkpoint {_many(back, 'time')}"
    if known.failed_non_finite:
        what += "; this made the run fail"
    since = min([*known.skipped, *known.went_back], default=known.step)
    sure = 1.0 if known.failed_non_finite or back else 1 - 0.5 ** len(recent)
    why = "counted by the trainer"
    return Verdict("✗", "non-finite", since, what, sure, why, 10, _calmer(known, 0.1))


def diverging(known: Evidence) -> Verdict | None:
    """The loss stays far above its lowest value, or is worse than a uniform guess."""
    if known.went_back and not known.skipped:
        what = f"the run went back to a checkpoint {_many(len(known.went_back), 'time')}, each time"
        what += " with half the learning rate: its loss was worse than a uniform guess"
        since = min(known.went_back)
        why = "detected by the trainer"
        return Verdict("✗", "diverging", since, what, 1.0, why, 9, _calmer(known, 0.1))
    found = _worse_than_nothing(known) or _climbs(known)
    if found is None:
        return None
    since_step, what, sure, why = found
    return Verdict("✗", "diverging", since_step, what, sure, why, 9, _calmer(known, 1 / 3))


_Found = tuple[int | None, str, float, str]


def _worse_than_nothing(known: Evidence) -> _Found | None:
    """The loss ended above ln V after it had been lower.

    The noise of an exploding curve is meaningless, so this compares with ln V instead.
    """
    if known.n_vocab < 2:
        return None
    uniform = math.log(known.n_vocab)
    of_training = len(known.blocks) >= 4
    if of_training:
        losses = np.array([block.loss for block in known.blocks])
        steps = [block.last for block in known.blocks]
    else:
        count = min(len(known.val_steps), len(known.val_losses))
        losses = np.asarray(known.val_losses[:count], np.float64)
        steps = list(known.val_steps[:count])
    if len(losses) < 2 or steps[-1] < _FEW_STEPS or not np.isfinite(losses).any():
        return None
    losses = np.where(np.isfinite(losses), losses, np.inf)
    lost = losses > 1.1 * uniform
    after = len(lost) if lost.all() else int(np.argmin(lost[::-1]))
    best = int(np.argmin(losses))
    lowest, now = float(losses[best]), float(losses[-2:].min())
    # Falling from a high start, as after a fork to another text, is not divergence.
    if after < 2 or now <= lowest:
        return None
    kind = "training" if of_training else "validation"
    what = (
        f"{kind} loss {lowest:.3f} → {_nats(now)} nats; "
        f"a uniform guess has ln {known.n_vocab:,} = {uniform:.2f}"
    )
    sure = 1.0 if now > 2 * uniform else 1 - 0.5**after
    many = "blocks of steps" if of_training else "evaluations"
    why = f"the last {after} {many} were above ln V" if math.isfinite(now) else "it is not finite"
    return steps[best], what, sure, why


def _climbs(known: Evidence) -> _Found | None:
    """The training loss rose far above its lowest value and stayed there."""
    losses = np.array([block.loss for block in known.blocks])
    steps = [block.last for block in known.blocks]
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
    uniform = math.log(known.n_vocab) if known.n_vocab > 1 else math.inf
    if np.isfinite(now) and now < 0.8 * float(losses[best:].max()) and now < uniform:
        return None
    what = f"training loss {lowest:.3f} → {_nats(now)} nats"
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


def _nats(loss: float) -> str:
    return f"{loss:.3f}" if loss < 1000 else f"{loss:,.0f}" if loss < 1e9 else f"{loss:.3g}"


def rate_too_high(known: Evidence, steps: list[int], val: Values, train: Values) -> Verdict | None:
    """Both losses stay high while evaluations of the same text zigzag.

    The windows of an evaluation never change, so only the weights can cause the zigzag.
    """
    if len(val) < 8 or known.n_vocab < 2 or known.is_forked:
        return None
    uniform = math.log(known.n_vocab)
    if min(float(np.median(val[-3:])), float(val.min()) * 1.1) < _HIGH * uniform:
        return None
    if known.learning_rate and known.learning_rate < 1e-4:
        return None
    found = _zigzags(known, steps, val) or _better_before(known, steps, val)
    if found is None or _trains_well(known, steps, train):
        return None
    since, what, sure, why = found
    what = f"val {val[-1]:.3f} nats (uniform guess: {uniform:.2f}), {what}"
    norms = [block.norm for block in known.blocks if block.last > known.warmup_steps]
    clip = known.gradient_clip
    if clip and norms and np.mean(np.array(norms) > clip) > 0.9:
        what += "; nearly every gradient is clipped"
    return Verdict("▲", "learning rate too high", since, what, sure, why, 6, _calmer(known, 0.1))


def _zigzags(known: Evidence, steps: list[int], val: Values) -> _Found | None:
    """No progress while the rate was high, and the loss keeps changing direction."""
    hot = _while_high(known, steps)
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
        f"±{swing:.3f} from one evaluation to the next; "
        f"down only {max(0.0, gain):.3f} from step {steps[hot[0]]:,} to {steps[hot[-1]]:,}"
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


def _trains_well(known: Evidence, steps: list[int], train: Values) -> bool:
    """Whether the training loss kept falling while the rate was high."""
    hot = [at for at in _while_high(known, steps) if np.isfinite(train[at])]
    hot = hot[len(hot) // 3 :]
    if len(hot) < 5:
        return False
    third = max(2, len(hot) // 3)
    losses = train[hot]
    fallen = float(np.median(losses[:third]) - np.median(losses[-third:]))
    return fallen > max(0.05 * float(np.median(losses[:third])), 2 * noise(losses))


def _better_before(known: Evidence, steps: list[int], val: Values) -> _Found | None:
    """The best loss came in warm-up, at half of the peak rate or less, and never again."""
    best = int(np.argmin(val))
    after = len(val) - 1 - best
    if not 0 < steps[best] <= known.warmup_steps / 2 or after < 4:
        return None
    spread = noise(val[best:])
    rise = float(np.median(val[best + 1 :])) - float(val[best])
    if rise < 0.01 * val[best]:
        return None
    spread /= math.sqrt(after)  # of their median
    what = f"{rise:.3f} above its best, at step {steps[best]:,} with a lower rate in warm-up"
    return steps[best], what, confidence(rise, spread, after), reason(rise, spread, after)


def _while_high(known: Evidence, steps: list[int]) -> list[int]:
    """The evaluations while the rate was at least half of its peak, except the first."""
    if not known.blocks:
        return list(range(1, len(steps)))
    ends = [block.last for block in known.blocks]
    lengths = np.maximum(1, np.diff([0, *ends]))
    rates = np.array([block.rates for block in known.blocks]) / lengths
    at = np.minimum(np.searchsorted(ends, steps), len(ends) - 1)
    return [one for one in range(1, len(steps)) if rates[at[one]] >= 0.5 * rates.max()]


def rate_too_low(known: Evidence, steps: list[int], val: Values) -> Verdict | None:
    """Each unit of learning rate still gains as much as at the beginning.

    Plotted against the sum of learning rates, a healthy loss curve bends as less is left to
    learn; a straight one has only started. The sum makes schedules and warm-ups comparable.
    """
    if len(val) < 6 or known.is_forked or known.n_vocab < 2 or not known.blocks:
        return None
    uniform = math.log(known.n_vocab)
    if known.max_steps and known.step < 0.3 * known.max_steps:
        return None
    if val[-1] < 0.7 * uniform or val[0] > 1.5 * uniform:
        return None
    spent = np.interp(
        steps,
        [0, *(block.last for block in known.blocks)],
        [0.0, *np.cumsum([block.rates for block in known.blocks])],
    )
    total = float(spent[-1])
    if total <= 0:
        return None
    third, two_thirds = np.interp([total / 3, 2 * total / 3], spent, val)
    first, last = float(val[0] - third), float(two_thirds - val[-1])
    spread = noise(val) / 2
    if first <= 0 or last <= 6 * spread or last < 0.5 * first or val[-1] > val.min() + spread:
        return None
    fallen = (val[0] - val[-1]) / uniform
    what = (
        f"val {val[0]:.3f} → {val[-1]:.3f} nats, {fallen:.0%} of the way from a uniform guess "
        f"to 0; the last third of all updates gained {last:.3f}, the first {first:.3f}"
    )
    factor = 10 if fallen < 0.15 else 3
    remedies: tuple[Remedy, ...] = ()
    if known.remedies is not None:
        offer = known.remedies
        allowed = known.learning_rate * factor <= 0.03
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


def spikes(known: Evidence) -> Verdict | None:
    """Several recent sudden jumps of the training loss."""
    recent = [step for step in known.spikes if step >= known.step * (1 - _RECENT)]
    if len(recent) < _SPIKES:
        return None
    what = f"{len(recent)} sudden jumps of the loss since step {recent[0]:,}"
    sure = 1 - 0.5 ** len(recent)
    why = "each more than eight times the usual variation"
    return Verdict("▲", "loss spikes", recent[0], what, sure, why, 3, _calmer(known, 0.5))


def _calmer(known: Evidence, factor: float) -> tuple[Remedy, ...]:
    if known.remedies is None:
        return ()
    offer = known.remedies
    return (*offer.rate(factor), *offer.clip(), *offer.warmup())


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
