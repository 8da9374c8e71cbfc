"""What a measurement found, and which of it to choose."""

from dataclasses import dataclass, field

from slm_tui.config.preset import Preset
from slm_tui.training.bench_plan import BenchSetup

# Closer than this is the same: then the preset's own values, or fewer threads, are better.
_SAME = 0.03


@dataclass(frozen=True)
class Measurement:
    """One setup: medians over `steps`. `utilisation` is of a matrix product's speed."""

    setup: BenchSetup
    steps: int
    step_seconds: float
    tokens_per_second: float
    flops: float
    utilisation: float


@dataclass(frozen=True)
class Result:
    """What was measured: `rows` best first, `matmul` in operations per second by threads.

    `partial`: a step takes too long here, so that single passes were measured and the time of a
    step was computed from them. `memory` in bytes by micro-batch; empty where the system does
    not tell it.
    """

    preset: str
    device: str
    cores: int
    parameters: int
    n_vocab: int
    sequences: int
    partial: bool
    rows: list[Measurement]
    best: Measurement
    matmul: dict[int, float]
    matmul_format: str
    memory: dict[int, int]
    foreign_cores: float | None
    seconds: float
    interrupted: bool
    notices: list[str] = field(default_factory=list)


def choose(rows: list[Measurement], preset: Preset, threads: int) -> Measurement:
    """The fastest that training can use; where several are as fast, the preset's own, then the
    one with fewer threads. `threads` are those of the preset."""
    plain = [row for row in rows if not row.setup.compiled]
    # A warm-up step alone is no measurement, unless there is nothing else.
    plain = [row for row in plain if row.steps] or plain
    most = max(row.tokens_per_second for row in plain)
    close = [row for row in plain if row.tokens_per_second >= most * (1 - _SAME)]
    own = (threads, preset.training.micro_batch)
    return min(
        close,
        key=lambda row: (
            (row.setup.threads, row.setup.micro_batch) != own,
            row.setup.threads,
            -row.tokens_per_second,
        ),
    )
