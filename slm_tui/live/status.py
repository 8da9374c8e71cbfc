"""The status of a training, in this process or another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """The status of a training. `stage` and `progress` (0 to 1) describe the preparation before
    it starts, `pace` its amount, rate and remaining time."""

    run: str = ""
    state: str = "preparing"
    stage: str = "starting"
    progress: float = 0.0
    pace: str = ""
    step: int = 0
    max_steps: int = 0
    loss: float | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    tokens_per_second: float = 0.0
    eta_seconds: float | None = None
    error: str = ""
    waiting_for: str = ""

    @property
    def is_live(self) -> bool:
        return self.state in ("preparing", "running", "paused")
