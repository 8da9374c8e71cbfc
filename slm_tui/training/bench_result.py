"""The results of a measurement, and the setup to choose."""

from dataclasses import dataclass, field

from slm_tui.config.preset import Preset
from slm_tui.training.bench_plan import BenchSetup

# A smaller difference counts as equal: then prefer the preset's values, or fewer threads.
_SAME = 0.03


@dataclass(frozen=True)
class Measurement:
    """One setup: medians over `steps`. `utilisation` is relative to a matrix product."""

    setup: BenchSetup
    steps: int
    step_seconds: float
    tokens_per_second: float
    flops: float
    utilisation: float


@dataclass(frozen=True)
class Result:
    """The measurements: `rows` best first, `matmul` in operations per second by threads.

    `partial`: steps are too slow here, so single passes were measured and step times computed
    from them. `memory` is in bytes by micro-batch; empty if the system does not report it.
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
    """The fastest setup that training can use; if several are equally fast, the preset's own,
    then the one with fewer threads. `threads` are those of the preset."""
    plain = [row for row in rows if not row.setup.compiled]
    # A warm-up step alone counts only if there is nothing else.
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
