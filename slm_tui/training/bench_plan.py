"""Which threads and micro-batches are worth measuring for a preset."""

import math
from dataclasses import dataclass

from slm_tui.config.preset import Preset, parse
from slm_tui.config.training import MOST_SEQUENCES

_MOST_MICRO_BATCHES = 4
_MOST_THREADS = 16
# The least share of the matrix product's speed that a small model reaches.
_PESSIMISTIC = 0.25
_USUAL = 0.5
# A warm-up step, and two that count.
_FEWEST_STEPS = 3


@dataclass(frozen=True)
class BenchSetup:
    """One way to compute the same step: always `micro_batch` x `accumulation` sequences."""

    threads: int
    micro_batch: int
    accumulation: int
    compiled: bool = False


def thread_counts(cores: int, configured: int) -> list[int]:
    """1, 2, 4, … and all cores (up to 16), and the value of the preset."""
    most = min(cores, _MOST_THREADS)
    counts = {2**power for power in range(most.bit_length()) if 2**power <= most}
    return sorted(counts | {most} | ({configured} if configured else set()))


def micro_batches(preset: Preset, most: int) -> list[int]:
    """A few up to `most` that divide a step: that of the preset, its halves and doubles.

    Never empty: if `most` allows none, the smallest possible.
    """
    own = preset.training.micro_batch
    whole = own * preset.training.accumulation
    ladder = {1, own} | {own * 2**power for power in range(1, 17)}
    ladder |= {own // 2**power for power in range(1, 17) if own % 2**power == 0}
    possible = {
        one for one in ladder if whole % one == 0 and max(one, whole // one) <= MOST_SEQUENCES
    }
    fits = {one for one in possible if one <= most} or {min(possible)}
    nearest = sorted(fits, key=lambda one: (abs(math.log2(one / own)), -one))
    return sorted(nearest[:_MOST_MICRO_BATCHES])


def affordable(flops_per_sequence: float, speeds: dict[int, float], seconds: float) -> int:
    """How many sequences a step may have so that all setups can be measured within `seconds`.

    Args:
        flops_per_sequence: operations of one forward and backward pass.
        speeds: of a matrix product, in operations per second, by threads.
    """
    each = sum(flops_per_sequence / (speed * _PESSIMISTIC) for speed in speeds.values())
    return int(seconds / (each * _FEWEST_STEPS * _MOST_MICRO_BATCHES))


def affordable_pass(flops_per_sequence: float, speeds: dict[int, float], seconds: float) -> int:
    """The largest micro-batch whose single passes can be measured within `seconds`, together
    with those of its half, quarter and so on; at least 1. Slower thread counts drop out first."""
    each = flops_per_sequence / (max(speeds.values()) * _USUAL)
    return max(1, int(seconds / (each * _FEWEST_STEPS * 2)))


def setups(preset: Preset, threads: list[int], most: int) -> list[BenchSetup]:
    """All combinations with micro-batches up to `most`, small ones first."""
    whole = preset.training.micro_batch * preset.training.accumulation
    return [
        BenchSetup(count, micro, whole // micro)
        for micro in micro_batches(preset, most)
        for count in reversed(threads)
    ]


def changed(preset: Preset, setup: BenchSetup) -> Preset:
    """`preset` with the micro-batch and accumulation of `setup`."""
    values = preset.to_dict()
    values["training"] |= {
        "micro_batch": setup.micro_batch,
        "accumulation": setup.accumulation,
        "threads": setup.threads,
        "compile": "on" if setup.compiled else "off",
    }
    return parse(values, preset.name)


def command(named: str, preset: Preset, setup: BenchSetup, assignments: list[str]) -> list[str]:
    """The command that trains `preset` with `setup`, as words.

    Args:
        named: how the user named the preset: its name or its file.
        assignments: its changes, as `PATH=VALUE`.
    """
    words = ["slm-tui", "train", named]
    for assignment in assignments:
        words += ["--set", assignment]
    values = {"threads": setup.threads, "micro_batch": setup.micro_batch}
    if setup.accumulation != preset.training.accumulation:
        values["accumulation"] = setup.accumulation
    for name, value in values.items():
        words += ["--set", f"training.{name}={value}"]
    return words
