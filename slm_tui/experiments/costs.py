"""What the runs of a suite cost: time and disk space."""

from dataclasses import dataclass

from slm_tui.config.estimate import Calibration
from slm_tui.corpus.known import cost_of
from slm_tui.experiments.plan import Plan
from slm_tui.training.checkpoint_dir import LINKS


@dataclass(frozen=True)
class SuiteCost:
    """Estimates for all runs of a suite together. `seconds` is `None` without a calibration;
    `disk_bytes` counts the checkpoints that stay when all runs are done."""

    runs: int
    steps: int
    seconds: float | None
    disk_bytes: int


def cost(plan: Plan, calibration: Calibration | None = None) -> SuiteCost:
    """The cost of a plan; its presets are estimated once for each variation."""
    seconds, disk, steps = 0.0, 0, 0
    known: dict[str, tuple[float | None, int]] = {}
    for run in plan.runs:
        if run.variation not in known:
            made = cost_of(run.preset, calibration)
            training = run.preset.training
            saved = min(training.keep_checkpoints, training.max_steps // training.checkpoint_every)
            known[run.variation] = made.seconds, made.checkpoint_bytes * (saved + len(LINKS))
        each, size = known[run.variation]
        seconds += each or 0.0
        disk += size
        steps += run.preset.training.max_steps
    return SuiteCost(len(plan.runs), steps, seconds if calibration is not None else None, disk)
