"""A run's log as curves, read as it grows: the same for a live, a foreign and a finished run."""

import json
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slm_tui.runs.recorder import TRAINING_COLUMNS
from slm_tui.runs.store import Run

_AT = {name: index for index, name in enumerate(TRAINING_COLUMNS)}
_MOST_SAMPLES = 200
_MOST_EVENTS = 500


@dataclass
class _Columns:
    """Lists of equal length, by ascending step."""

    step: list[int] = field(default_factory=list)

    def cut(self, step: int) -> None:
        """Drop everything at or after `step`."""
        at = bisect_left(self.step, step)
        for values in vars(self).values():
            del values[at:]


@dataclass
class Steps(_Columns):
    """One entry per logged step."""

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)


@dataclass
class Evaluations(_Columns):
    """One entry per evaluation."""

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    bits_per_byte: list[float] = field(default_factory=list)

    def best(self) -> int | None:
        """Index of the lowest finite loss."""
        finite = [index for index, loss in enumerate(self.loss) if math.isfinite(loss)]
        return min(finite, key=self.loss.__getitem__) if finite else None


class Curves:
    """Follows the files of a run. `read` takes in what was appended since the last call.

    Steps that were trained again after a resume replace those of before; a torn line is
    ignored until it is whole, or for ever.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.steps = Steps()
        self.evaluations = Evaluations()
        self.samples: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        # Grows when steps are replaced, so that a chart knows to start again.
        self.generation = 0
        self._log = _Tail(run.path / "training_log.csv")
        self._sample_lines = _Tail(run.path / "samples.jsonl")
        self._event_lines = _Tail(run.path / "events.jsonl")

    def read(self) -> bool:
        """Take in what is new; returns whether anything was."""
        rows = self._log.lines()
        for row in rows:
            self._take(row)
        samples, events = self._sample_lines.lines(), self._event_lines.lines()
        self.samples = [*self.samples, *_objects(samples)][-_MOST_SAMPLES:]
        self.events = [*self.events, *_objects(events)][-_MOST_EVENTS:]
        return bool(rows or samples or events)

    def _take(self, line: str) -> None:
        cells = line.split(",", len(TRAINING_COLUMNS) - 1)
        if len(cells) < len(TRAINING_COLUMNS):
            return  # torn: a number at its end may be cut short
        try:
            step = int(cells[_AT["step"]])
            seconds = float(cells[_AT["elapsed_seconds"]])
            tokens = int(cells[_AT["tokens_seen"]])
            loss, val = cells[_AT["train_loss"]], cells[_AT["val_loss"]]
            if loss:
                self._add_step(step, seconds, tokens, cells)
            if val:
                self._add_evaluation(step, seconds, tokens, float(val), cells[_AT["val_bpb"]])
        except (ValueError, IndexError):
            return

    def _add_step(self, step: int, seconds: float, tokens: int, cells: list[str]) -> None:
        steps = self.steps
        numbers = [
            float(cells[_AT[name]])
            for name in ("learning_rate", "train_loss", "grad_norm", "tokens_per_second")
        ]
        if steps.step and step <= steps.step[-1]:
            steps.cut(step)
            self.evaluations.cut(step)
            self.generation += 1
        steps.step.append(step)
        steps.seconds.append(seconds)
        steps.tokens.append(tokens)
        steps.learning_rate.append(numbers[0])
        steps.loss.append(numbers[1])
        steps.gradient_norm.append(numbers[2])
        steps.tokens_per_second.append(numbers[3])

    def _add_evaluation(
        self, step: int, seconds: float, tokens: int, loss: float, bits: str
    ) -> None:
        evaluations = self.evaluations
        if evaluations.step and step <= evaluations.step[-1]:
            evaluations.cut(step)
            self.generation += 1
        evaluations.step.append(step)
        evaluations.seconds.append(seconds)
        evaluations.tokens.append(tokens)
        evaluations.loss.append(loss)
        evaluations.bits_per_byte.append(float(bits) if bits else math.nan)


class _Tail:
    """Whole lines appended to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._rest = b""

    def lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except OSError:
            return []
        if not new:
            return []
        self._position += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole if line]


def _objects(lines: list[str]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
