"""What is usual for models of a size: learning rate; for ternary ones also batch size and steps."""

from dataclasses import dataclass

from slm_tui.config.preset import Preset


@dataclass(frozen=True)
class UsualValues:
    """Ranges as text; `batch` is in sequences per step."""

    batch: str
    learning_rate: str
    steps: str


# Up to how many weights. The first row is from this project's own runs (docs/experiments.md), the
# others are what the authors of simplified-slm recommend.
_BY_SIZE = (
    (5_000_000, UsualValues("8–32", "3e-3–1e-2", "1–10k")),
    (30_000_000, UsualValues("32–64", "3e-4", "10–20k")),
    (100_000_000, UsualValues("16–32", "2e-4", "20–50k")),
)
_LARGEST = UsualValues("8–16", "1e-4", "50–100k")


def usual_values(preset: Preset, parameters: int) -> UsualValues | None:
    """What is usual for a model of this size; `None` unless its weights are ternary."""
    if not preset.model.is_ternary:
        return None
    return next((values for most, values in _BY_SIZE if parameters <= most), _LARGEST)


@dataclass(frozen=True)
class UsualRate:
    """A learning rate of a preset, and the range that is usual for it.

    Args:
        path: its setting.
        weights: whose rate it is, in words; empty for all weights.
        value: the rate, at its peak.
        lowest, highest: the range that works well.
    """

    path: str
    weights: str
    value: float
    lowest: float
    highest: float

    @property
    def times_too_high(self) -> float:
        """The rate as a multiple of the highest usual one."""
        return self.value / self.highest

    @property
    def times_too_low(self) -> float:
        """The lowest usual rate as a multiple of this one."""
        return self.lowest / self.value


# Learning rates of AdamW that work well, up to how many parameters. The first row is from this
# project's own runs (docs/verdicts.md), the last ones are around those of Brown et al. 2020
# (arXiv:2005.14165, table 2.1).
_RATES_BY_SIZE = (
    (1_000_000, (5e-4, 6e-3)),
    (10_000_000, (3e-4, 4e-3)),
    (50_000_000, (2e-4, 2e-3)),
    (200_000_000, (1e-4, 1e-3)),
)
_RATES_OF_LARGE = (3e-5, 5e-4)
# Of hidden matrices with Muon, and of all other weights beside it, which AdamW updates: measured
# up to this many parameters (docs/verdicts.md).
_MOST_MEASURED = 1_000_000
WITH_MUON = (3e-3, 3e-2)
BESIDE_MUON = (5e-3, 1e-1)
# A rate outside of the usual range by this factor is far outside.
FAR = 2.5


def usual_rates(preset: Preset, parameters: int) -> tuple[UsualRate, ...]:
    """The learning rates of `preset` with their usual ranges; none where these are not known: for
    ternary weights, and for larger models with Muon."""
    values = preset.optimizer
    if preset.model.is_ternary or not parameters:
        return ()
    rate = "optimizer.learning_rate"
    if values.kind == "adamw":
        found = (usual for most, usual in _RATES_BY_SIZE if parameters <= most)
        return (UsualRate(rate, "", values.learning_rate, *next(found, _RATES_OF_LARGE)),)
    if parameters > _MOST_MEASURED:
        return ()
    hidden = values.muon_learning_rate
    if hidden is None:
        return (UsualRate(rate, "", values.learning_rate, *WITH_MUON),)
    return (
        UsualRate("optimizer.muon_learning_rate", "hidden matrices", hidden, *WITH_MUON),
        UsualRate(rate, "embeddings and output layer", values.learning_rate, *BESIDE_MUON),
    )


def times_usual(preset: Preset, parameters: int) -> float:
    """The learning rate as a multiple of the highest usual one; 0 if that is not known. Of several
    rates, that of the one that is furthest above it."""
    return max((one.times_too_high for one in usual_rates(preset, parameters)), default=0.0)


def rates_in_words(preset: Preset) -> str:
    """Which learning rates a failed training had."""
    values = preset.optimizer
    text = f"the learning rate was {values.learning_rate:g}"
    if values.kind == "muon" and values.muon_learning_rate is not None:
        text += f" ({values.muon_learning_rate:g} for hidden matrices)"
    return text


def lower_rate(preset: Preset, parameters: int) -> str:
    """What to try after training has failed: a rate that is usual for a model of this size."""
    rates = usual_rates(preset, parameters)
    worst = max(rates, key=lambda one: one.times_too_high, default=None)
    if worst is not None and worst.times_too_high > FAR:
        return f"try {worst.path}={worst.highest / 2:g}"
    return "try a tenth of optimizer.learning_rate, or a smaller gradient_clip"
