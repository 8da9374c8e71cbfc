"""Changes to a preset that may help, as overrides that are known to be valid."""

from slm_tui.config import overrides
from slm_tui.config.change import Change
from slm_tui.config.preset import Preset
from slm_tui.config.usual import UsualRate
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.diagnosis.remedy import Remedy

_MOST_DROPOUT = 0.4


class Remedies:
    """Builds remedies for one preset; changes that would not validate are never offered."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self._validity: dict[tuple[str, ...], bool] = {}

    def offer(self, text: str, *changes: str) -> tuple[Remedy, ...]:
        """The remedy; empty if the preset does not accept the changes or does not change."""
        valid = self._validity.get(changes)
        if valid is None:
            try:
                changed = overrides.apply(self.preset, list(changes))
                valid = changed.to_dict() != self.preset.to_dict()
            except SlmTuiError:
                valid = False
            self._validity[changes] = valid
        return (Remedy(text, changes),) if valid else ()

    def rate(self, factor: float) -> tuple[Remedy, ...]:
        """The learning rate times `factor`."""
        values = self.preset.optimizer
        new = min(1.0, values.learning_rate * factor)
        changes = [f"optimizer.learning_rate={new:.2g}"]
        if values.kind == "muon" and values.muon_learning_rate is not None:
            changes.append(f"optimizer.muon_learning_rate={values.muon_learning_rate * factor:.2g}")
        minimum = self.preset.schedule.minimum
        if minimum is not None and minimum > new:
            changes.append(f"schedule.minimum={new / 10:.2g}")
        word = "lower" if factor < 1 else "higher"
        return self.offer(
            f"a {word} learning rate: {values.learning_rate:.2g} → {new:.2g}", *changes
        )

    def rate_to(self, rate: UsualRate, new: float) -> tuple[Remedy, ...]:
        """One learning rate set to `new`; the other one, if there are two, stays."""
        if not rate.weights:
            return self.rate(new / rate.value)
        word = "lower" if new < rate.value else "higher"
        text = f"a {word} learning rate for {rate.weights}: {rate.value:.2g} → {new:.2g}"
        return self.offer(text, f"{rate.path}={new:.2g}")

    def clip(self) -> tuple[Remedy, ...]:
        """Gradient clipping, unless it is already on."""
        if 0 < self.preset.optimizer.gradient_clip <= 1:
            return ()
        return self.offer("gradient clipping at 1", "optimizer.gradient_clip=1.0")

    def warmup(self) -> tuple[Remedy, ...]:
        """A longer warm-up."""
        schedule = self.preset.schedule
        if (schedule.warmup_fraction or 0) >= 0.1 or schedule.warmup_steps:
            return ()
        return self.offer("a warm-up of a tenth of the steps", "schedule.warmup_fraction=0.1")

    def steps(self, factor: float) -> tuple[Remedy, ...]:
        """More steps, or fewer."""
        steps = rounded(self.preset.training.max_steps * factor)
        word = "more" if factor > 1 else "fewer"
        return self.offer(f"{word} steps: {steps:,}", f"training.max_steps={steps}")

    def patience(self) -> tuple[Remedy, ...]:
        """An early stop that can fire."""
        training = self.preset.training
        steps = rounded(max(2 * training.evaluate_every, training.max_steps // 5))
        if steps >= training.max_steps:
            return ()
        text = f"early stopping after {steps:,} steps without a better validation loss"
        return self.offer(text, f"training.early_stop_patience={steps}")

    def more_text(self) -> tuple[Remedy, ...]:
        """More of the same text: a higher limit, or more of the built-in stories."""
        return self._proposed(self.preset.data.more())

    def routing(self) -> tuple[Remedy, ...]:
        """A stronger pull of routers to their target, then a lower learning rate."""
        change = self.preset.model.stronger_routing()
        return (*self._proposed(change), *self.rate(1 / 3))

    def richer(self) -> tuple[Remedy, ...]:
        """Richer text."""
        return self._proposed(self.preset.data.richer())

    def _proposed(self, change: Change | None) -> tuple[Remedy, ...]:
        return self.offer(change.text, *change.assignments) if change is not None else ()

    def more_validation(self) -> tuple[Remedy, ...]:
        """A larger validation split, or more of it in each evaluation."""
        training, split = self.preset.training, self.preset.data.split.validation
        more = self.offer(
            f"a larger validation split: {split:.0%} → {min(0.5, split * 2):.0%} of the text",
            f"data.split.validation={min(0.5, split * 2):g}",
        )
        batches = training.evaluate_batches * 4
        return (
            self.offer(f"{batches} batches per evaluation", f"training.evaluate_batches={batches}")
            if training.evaluate_batches < 8
            else more
        )


def rounded(number: float) -> int:
    """Round to two significant digits, as a person would type it: 3187 → 3200."""
    whole = max(1, round(number))
    unit = 10 ** max(0, len(str(whole)) - 2)
    return int(max(1, round(whole / unit) * unit))
