"""What the curves say: one verdict, its evidence, and what to try next."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# Smaller rises of the validation loss than this part of it are noise.
_NOISE = 0.01
_RISES = 3
_NEAR_FLOOR = 1.03
_DIVERGED = 1.5


@dataclass(frozen=True)
class Verdict:
    """`sign` and `word` for a status line; `evidence` in numbers; `remedy` as overrides."""

    sign: str
    word: str
    since: int | None = None
    evidence: str = ""
    advice: str = ""
    remedy: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """`▲ overfitting`, for one place on a line."""
        return f"{self.sign} {self.word}".strip()


@dataclass(frozen=True)
class Evidence:
    """The curves of a run: smoothed training loss and validation loss in nats per token."""

    train_steps: Sequence[int]
    train_losses: Sequence[float]
    val_steps: Sequence[int]
    val_losses: Sequence[float]
    val_bits_per_byte: Sequence[float] = ()
    floor_bits_per_byte: float | None = None
    dropout: float = 0.0
    learning_rate: float = 0.0


def diagnose(curves: Evidence) -> Verdict:
    """The verdict on a run so far; with too little to go on, `early`."""
    for rule in (_diverging, _overfitting, _near_floor):
        found = rule(curves)
        if found is not None:
            return found
    return _learning(curves)


def _diverging(curves: Evidence) -> Verdict | None:
    losses = curves.train_losses
    if len(losses) < 20:
        return None
    lowest = min((loss for loss in losses if math.isfinite(loss)), default=math.inf)
    now = losses[-1]
    if math.isfinite(now) and now < lowest * _DIVERGED:
        return None
    at = next((i for i, loss in enumerate(losses) if loss == lowest), 0)
    lower = curves.learning_rate / 3
    return Verdict(
        "✗",
        "diverging",
        curves.train_steps[at],
        f"training loss {lowest:.3f} → {now:.3f}",
        f"try learning rate {lower:.2g}",
        (f"optimizer.learning_rate={lower:.2g}",) if lower else (),
    )


def _overfitting(curves: Evidence) -> Verdict | None:
    losses, steps = curves.val_losses, curves.val_steps
    if len(losses) <= _RISES:
        return None
    best = min(range(len(losses)), key=losses.__getitem__)
    after = losses[best + 1 :]
    rise = losses[-1] - losses[best]
    if len(after) < _RISES or rise < _NOISE * losses[best]:
        return None
    before, now = _train_at(curves, steps[best]), _train_at(curves, steps[-1])
    if before is None or now is None or now >= before:
        return None
    more = min(0.5, round(curves.dropout + 0.1, 2))
    return Verdict(
        "▲",
        "overfitting",
        steps[best],
        f"val {losses[best]:.3f} → {losses[-1]:.3f} while train falls; gap {losses[-1] - now:.2f}",
        f"more text, or dropout {more:g}",
        (f"model.dropout={more:g}",),
    )


def _near_floor(curves: Evidence) -> Verdict | None:
    floor, bits = curves.floor_bits_per_byte, curves.val_bits_per_byte
    if not floor or not bits or not math.isfinite(bits[-1]) or bits[-1] > floor * _NEAR_FLOOR:
        return None
    return Verdict(
        "★",
        "near the floor",
        None,
        f"{bits[-1]:.4f} bits per byte; the text itself has {floor:.4f}",
        "there is little left to learn here: try richer stories",
        ("data.richness=rich",),
    )


def _learning(curves: Evidence) -> Verdict:
    losses = curves.val_losses
    if len(losses) < 2:
        return Verdict("", "", None, "the verdict comes with the second evaluation")
    fall = losses[-2] - losses[-1]
    best = min(losses)
    floor = curves.floor_bits_per_byte
    above = ""
    if floor and curves.val_bits_per_byte:
        above = f"; {curves.val_bits_per_byte[-1] / floor:.2f} × the floor"
    if fall > 0:
        return Verdict("●", "learning", None, f"val fell {fall:.3f} to {losses[-1]:.3f}{above}")
    if losses[-1] > best * (1 + _NOISE):
        at = curves.val_steps[losses.index(best)]
        said = f"val {losses[-1]:.3f}, {losses[-1] - best:.3f} above its best of step {at:,}"
        return Verdict("▲", "rising", at, said)
    return Verdict("●", "level", None, f"val {losses[-1]:.3f}, best {best:.3f}{above}")


def _train_at(curves: Evidence, step: int) -> float | None:
    at = bisect_right(curves.train_steps, step) - 1
    return curves.train_losses[at] if at >= 0 else None
