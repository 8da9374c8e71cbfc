"""Two trainings that run in turns of seconds: while one runs, the other is suspended.

The speed of a shared machine drifts within minutes by more than what is to be measured. Turns of a
few seconds share every drift, and their ratios need no quiet hour.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_tui.runs.recorder import TRAINING_COLUMNS
from tests.benchmarks.figures import Sample
from tests.benchmarks.load import Load
from tests.benchmarks.terminal import Terminal

_TIME, _TOKENS = TRAINING_COLUMNS.index("timestamp"), TRAINING_COLUMNS.index("tokens_seen")
# A program that was suspended first does what has become due meanwhile.
_SETTLING_SECONDS = 1.0
_FLUSH_SECONDS = 0.3  # the log is flushed ten times a second


@dataclass(frozen=True)
class Turn:
    """When one of them ran alone, in seconds since 1970, and the cores that others used."""

    start: float
    end: float
    foreign: float


def in_turns(
    first: Terminal, second: Terminal, rounds: int, seconds: float, quiet: Callable[[], None]
) -> tuple[list[Turn], list[Turn]]:
    """Run both for `seconds` in each round; which one begins changes with every round."""
    turns: tuple[list[Turn], list[Turn]] = ([], [])
    both = (first, second)
    for one in both:
        one.suspend()
    for number in range(rounds):
        quiet()
        for which in ((0, 1), (1, 0))[number % 2]:
            both[which].resume()
            time.sleep(_SETTLING_SECONDS)
            load, start = Load(), time.time()
            time.sleep(seconds)
            turns[which].append(Turn(start, time.time(), load.foreign()))
            time.sleep(_FLUSH_SECONDS)
            both[which].suspend()
    return turns


def samples(log: Path, turns: Sequence[Turn]) -> list[Sample]:
    """Tokens per second in each turn, from the log of the run; 0 where fewer than two rows are."""
    rows = [line.split(",") for line in log.read_text().splitlines()[1:-1]]
    marks = [(float(row[_TIME]), int(row[_TOKENS])) for row in rows if len(row) > _TOKENS]
    result = []
    for turn in turns:
        inside = [one for one in marks if turn.start <= one[0] <= turn.end]
        rate = 0.0
        if len(inside) > 2:
            rate = (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
        result.append(Sample(rate, turn.foreign))
    return result
