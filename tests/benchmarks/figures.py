"""One measured value, and the table of all of them."""

import itertools
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from slm_tui.text import one_line
from tests.benchmarks.sizes import THREADS


@dataclass(frozen=True)
class Figure:
    """One measured value; the target is met at or above `target`, or at or below it."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False
    remark: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        reached = self.value <= self.target if self.at_most else self.value >= self.target
        return "reached" if reached else "MISSED"

    def line(self) -> str:
        target = ""
        if self.target is not None:
            target = f"{'≤' if self.at_most else '≥'} {self.target:g}"
        cells = f"{self.name:44}{self.value:>9.3g} {self.unit:6}{target:>8}  {self.verdict:8}"
        return f"{cells}{self.remark}".rstrip()


@dataclass(frozen=True)
class Sample:
    """One timed interval: its rate, and the cores that other processes used meanwhile."""

    rate: float
    foreign: float


def rate_of(marks: Sequence[float], tokens: int) -> float:
    """Tokens per second at the pace of the faster steps, of `tokens` each.

    `marks` are the times, in seconds, at which steps ended. Uses the 20th percentile of the step
    times, not their mean: other processes slow some steps down many times over but never speed one
    up.
    """
    times = sorted(after - before for before, after in itertools.pairwise(marks))
    return tokens / times[len(times) // 5]


def ratio(
    name: str, ours: Sequence[Sample], base: Sequence[Sample], target: float, limit: float
) -> Figure:
    """Median of the ratios of neighbours, over the rounds without disturbance. If there were
    none, the ratio of the best of each, and the remark says so."""
    rounds = list(zip(ours, base, strict=True))
    quiet = [pair for pair in rounds if max(one.foreign for one in pair) <= limit]
    if quiet:
        ratios = sorted(one.rate / other.rate for one, other in quiet)
        remark = f"{ratios[0]:.2f} to {ratios[-1]:.2f} in {len(quiet)} of {len(rounds)} rounds; "
        remark += f"{statistics.median(one.rate for one, _ in quiet):,.0f} tokens/s against "
        remark += f"{statistics.median(one.rate for _, one in quiet):,.0f}"
        return Figure(name, statistics.median(ratios), "x", target, remark=remark)
    best, other_best = max(one.rate for one in ours), max(one.rate for one in base)
    foreign = statistics.median(max(a.foreign, b.foreign) for a, b in rounds)
    remark = f"BUSY MACHINE, others used {foreign:.1f} cores: best of {len(rounds)} rounds each, "
    remark += f"{best:,.0f} tokens/s against {other_best:,.0f}"
    return Figure(name, best / other_best if other_best else math.nan, "x", target, remark=remark)


def processor() -> str:
    """The processor's name, or its architecture if the system does not report it."""
    name = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line for line in file if line.startswith("model name")]
        name = names[0].partition(":")[2].strip() if names else name
    except OSError:
        pass
    return one_line(name)


def machine_line() -> str:
    """Cores, processor, versions and threads."""
    packages = ", ".join(f"{one} {version(one)}" for one in ("torch", "textual", "plotext"))
    python = platform.python_version()
    cores = os.cpu_count()
    return f"{cores} cores of {processor()}, {THREADS} threads, Python {python}, {packages}"
