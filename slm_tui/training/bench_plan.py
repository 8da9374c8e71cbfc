"""Which threads and micro-batches are worth measuring for a preset, and on how many sequences."""

import math
from dataclasses import dataclass

from slm_tui.config.preset import Preset, parse

_MOST_MICRO_BATCHES = 4
_MOST_THREADS = 16
# Of the matrix product's speed: what a small model reaches at least.
_PESSIMISTIC = 0.25
# A warm-up step, and two that count.
_FEWEST_STEPS = 3


@dataclass(frozen=True)
class Setup:
    """One way to make the same step: `micro_batch` x `accumulation` sequences always."""

    threads: int
    micro_batch: int
    accumulation: int
    compiled: bool = False


def thread_counts(cores: int, wanted: int) -> list[int]:
    """1, 2, 4, … and all cores (up to 16), and what the preset wants."""
    most = min(cores, _MOST_THREADS)
    found = {2**power for power in range(most.bit_length()) if 2**power <= most}
    return sorted(found | {most} | ({wanted} if wanted else set()))


def micro_batches(preset: Preset, sequences: int) -> list[int]:
    """A few that divide `sequences`: that of the preset and its halves and doubles."""
    own = preset.training.micro_batch
    ladder = {own} | {own * 2**power for power in range(1, 17)}
    ladder |= {own // 2**power for power in range(1, 17) if own % 2**power == 0}
    fits = {one for one in ladder if one and sequences % one == 0} | {sequences}
    nearest = sorted(fits, key=lambda one: (abs(math.log2(one / own)), -one))
    return sorted(nearest[:_MOST_MICRO_BATCHES])


def sequences_to_measure(
    preset: Preset, flops_per_sequence: float, speeds: dict[int, float], seconds: float
) -> int:
    """How many sequences of a step can be measured within `seconds`: all of them if possible.

    Args:
        flops_per_sequence: operations of the forward and backward pass of one.
        speeds: of a matrix product, in operations per second, by threads.
    """
    whole = preset.training.micro_batch * preset.training.accumulation
    each = sum(flops_per_sequence / (speed * _PESSIMISTIC) for speed in speeds.values())
    affordable = seconds / (each * _FEWEST_STEPS * _MOST_MICRO_BATCHES)
    divisors = [one for one in range(1, whole + 1) if whole % one == 0]
    return max([one for one in divisors if one <= affordable], default=1)


def setups(preset: Preset, threads: list[int], sequences: int) -> list[Setup]:
    """All combinations, small micro-batches first."""
    whole = preset.training.micro_batch * preset.training.accumulation
    return [
        Setup(count, micro, whole // micro)
        for micro in micro_batches(preset, sequences)
        for count in reversed(threads)
    ]


def changed(preset: Preset, setup: Setup) -> Preset:
    """`preset` with the micro-batch and accumulation of `setup`."""
    values = preset.to_dict()
    values["training"] |= {
        "micro_batch": setup.micro_batch,
        "accumulation": setup.accumulation,
        "threads": setup.threads,
    }
    return parse(values, preset.name)


def command(named: str, preset: Preset, setup: Setup, assignments: list[str]) -> list[str]:
    """The words of the command that trains `preset` as `setup` says.

    Args:
        named: how the user named the preset: its name or its file.
        assignments: what was changed in it, as `PATH=VALUE`.
    """
    words = ["slm-tui", "train", named]
    for assignment in assignments:
        words += ["--set", assignment]
    wanted = {"threads": setup.threads, "micro_batch": setup.micro_batch}
    if setup.accumulation != preset.training.accumulation:
        wanted["accumulation"] = setup.accumulation
    for name, value in wanted.items():
        words += ["--set", f"training.{name}={value}"]
    return words
