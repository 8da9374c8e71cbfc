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


def usual_rates(preset: Preset, parameters: int) -> tuple[float, float] | None:
    """The lowest and the highest usual learning rate; `None` where none is known: for Muon, and
    for ternary weights."""
    if preset.optimizer.kind != "adamw" or preset.model.is_ternary or not parameters:
        return None
    return next((rates for most, rates in _RATES_BY_SIZE if parameters <= most), _RATES_OF_LARGE)


def times_usual(preset: Preset, parameters: int) -> float:
    """The learning rate as a multiple of the highest usual one; 0 if that is not known."""
    usual = usual_rates(preset, parameters)
    return preset.optimizer.learning_rate / usual[1] if usual is not None else 0.0


def lower_rate(preset: Preset, parameters: int) -> str:
    """What to try after training has failed: a rate that is usual for a model of this size."""
    times, rate = times_usual(preset, parameters), preset.optimizer.learning_rate
    if times > 2.5:
        return f"try optimizer.learning_rate={rate / times / 2:g}"
    return "try a tenth of optimizer.learning_rate, or a smaller gradient_clip"
