"""A run's log as curves, read as it grows; works the same for live and finished runs."""

import contextlib
import math
import os
import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from slm_tui import records, safe_files
from slm_tui.runs.info import EVALUATIONS
from slm_tui.runs.log_layout import LogLayout, cells
from slm_tui.runs.recorder import EVALUATION_COLUMNS, TRAINING_COLUMNS
from slm_tui.runs.store import Run
from slm_tui.training import event_json
from slm_tui.training.events import Event

# Columns that charts or verdicts use by name, or that follow from those.
_KNOWN = frozenset(TRAINING_COLUMNS)
# Numeric columns, and their names in `Steps`.
_NUMBERS = {
    "learning_rate": "learning_rate",
    "train_loss": "loss",
    "grad_norm": "gradient_norm",
    "tokens_per_second": "tokens_per_second",
}
_MOST_SAMPLES = 200
_MOST_EVENTS = 500
# Most bytes that are read, from the end of a file: over a million steps, or the newest lines.
_MOST_LOG = 2**28
_MOST_LINES = 2**24
_LONGEST = 2**20
_CHUNK = 2**22
# What is read at once where a screen must not wait.
_SLICE = 2**19
_ROWS_AT_ONCE = 64
_MOST_SECONDS = 1e12
_LAST_MOMENT = 253_402_300_799.0  # the end of the year 9999


@dataclass
class _Columns:
    """Lists of equal length, in ascending order of steps."""

    step: list[int] = field(default_factory=list)

    def cut(self, step: int) -> None:
        """Drop everything at or after `step`."""
        at = bisect_left(self.step, step)
        for values in vars(self).values():
            for column in values.values() if isinstance(values, dict) else (values,):
                del column[at:]


@dataclass
class Steps(_Columns):
    """One entry per logged step; `metrics` are the other numeric columns, by name."""

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    tokens_per_second: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def column(self, name: str) -> list[float] | None:
        """The numbers of a column by its name in the log, if the log has it."""
        own = _NUMBERS.get(name)
        return getattr(self, own) if own is not None else self.metrics.get(name)

    def add_metrics(self, numbers: dict[str, float]) -> None:
        """The other numbers of the newest step; NaN for a metric that it lacks."""
        for name in [one for one in numbers if one not in self.metrics]:
            self.metrics[name] = [math.nan] * (len(self.step) - 1)
        for name, column in self.metrics.items():
            column.append(numbers.get(name, math.nan))


@dataclass
class Evaluations(_Columns):
    """One entry per evaluation; `metrics` are the other columns of its log, by name."""

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    bits_per_byte: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def best(self) -> int | None:
        """Index of the lowest finite loss."""
        finite = [index for index, loss in enumerate(self.loss) if math.isfinite(loss)]
        return min(finite, key=self.loss.__getitem__) if finite else None


# Appended to the cells of a row: the value of a column that the log does not have.
_MISSING = ("", "0", "nan")


class _Places:
    """The positions of a log's columns; missing ones point behind the row."""

    def __init__(self, layout: LogLayout) -> None:
        self.many = many = len(layout.columns)

        def place(name: str, missing: str) -> int:
            at = layout.place(name)
            return many + _MISSING.index(missing) if at is None else at

        self.step = place("step", "")
        self.seconds, self.tokens = place("elapsed_seconds", "0"), place("tokens_seen", "0")
        self.loss, self.val_loss = place("train_loss", ""), place("val_loss", "")
        self.val_bpb = place("val_bpb", "nan")
        self.numbers = [place(name, "nan") for name in _NUMBERS]
        self.metrics = layout.others(_KNOWN)


@dataclass(frozen=True)
class LoggedEvent:
    """An event of the log, and its time in seconds since the epoch."""

    timestamp: float
    event: Event


@dataclass(frozen=True)
class Sample:
    """A sample of the run: `text` continues `prompt`. `when` is in seconds since the epoch."""

    timestamp: float
    step: int
    prompt: str
    text: str
    seconds: float = 0.0


class Curves:
    """Follows the files of a run. `read` reads what was appended since the last call.

    Steps that are trained again after a resume replace the earlier ones; an incomplete line is
    ignored until it is complete.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.steps = Steps()
        self.evaluations = Evaluations()
        self.samples: list[Sample] = []
        self.events: list[LoggedEvent] = []
        # Incremented when steps are replaced, so that charts know to start over.
        self.generation = 0
        self._log = _Tail(run.path / "training_log.csv", _MOST_LOG)
        self._header = ""
        self._waiting: deque[str] = deque()
        self._columns = _Places(LogLayout(TRAINING_COLUMNS))
        self._evaluation_metrics = _EvaluationMetrics(run.path / EVALUATIONS)
        self._sample_lines = _Tail(run.path / "samples.jsonl", _MOST_LINES)
        self._event_lines = _Tail(run.path / "events.jsonl", _MOST_LINES)

    @property
    def has_more(self) -> bool:
        """Whether the last `read` left something for the next one."""
        return bool(self._waiting) or self._log.has_more

    def read(self, seconds: float | None = None) -> bool:
        """Read what is new; return whether there was anything.

        Args:
            seconds: return after about so long, even if `has_more`; `None` reads everything.
        """
        end = None if seconds is None else time.monotonic() + seconds
        if not self._waiting:
            lines = self._log.lines(None if end is None else _SLICE)
            if self._log.first != self._header:
                self._header = self._log.first
                # A log without a header is read in the layout of this version.
                layout = LogLayout.of(self._header) or LogLayout(TRAINING_COLUMNS)
                self._columns = _Places(layout)
            self._waiting = deque(lines)
        rows = self._waiting
        number = 0
        while rows:
            self._take(rows.popleft())
            number += 1
            if end is not None and not number % _ROWS_AT_ONCE and time.monotonic() > end:
                break
        evaluated = self._evaluation_metrics.read()
        if evaluated or number:
            self._evaluation_metrics.fill(self.evaluations)
        samples, events = self._sample_lines.lines(), self._event_lines.lines()
        self.samples = [*self.samples, *_samples(samples)][-_MOST_SAMPLES:]
        self.events = [*self.events, *_events(events)][-_MOST_EVENTS:]
        return bool(number or evaluated or samples or events)

    def _take(self, line: str) -> None:
        at, row = self._columns, cells(line)
        if len(row) < at.many:
            return  # incomplete: the last number may be truncated
        row = [*row[: at.many], *_MISSING]
        try:
            step, seconds = _count(row[at.step]), float(row[at.seconds])
            tokens = _count(row[at.tokens])
            if not 0 <= seconds <= _MOST_SECONDS:
                return
            if row[at.loss]:
                self._add_step(step, seconds, tokens, row)
            if row[at.val_loss]:
                bits = row[at.val_bpb]
                self._add_evaluation(step, seconds, tokens, float(row[at.val_loss]), bits)
        except ValueError:
            return

    def _add_step(self, step: int, seconds: float, tokens: int, row: list[str]) -> None:
        steps = self.steps
        numbers = [float(row[at]) for at in self._columns.numbers]
        metrics = {name: _metric(row[at]) for name, at in self._columns.metrics if row[at]}
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
        if metrics or steps.metrics:
            steps.add_metrics({name: one for name, one in metrics.items() if one is not None})

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
        for column in evaluations.metrics.values():
            column.append(math.nan)


def _count(text: str) -> int:
    """A step number.

    Raises:
        ValueError: it is not a whole number in the valid range.
    """
    number = int(text)
    if not 0 <= number <= records.LARGEST:
        raise ValueError(text)
    return number


def _metric(cell: str) -> float | None:
    """A number, or `None` if the text is not one."""
    try:
        return float(cell)
    except ValueError:
        return None


class _EvaluationMetrics:
    """Columns of the evaluation log beyond those of this version, by step and name."""

    def __init__(self, path: Path) -> None:
        self._log = _Tail(path, _MOST_LOG)
        self._by_step: dict[int, dict[str, float]] = {}
        self._names: dict[str, None] = {}

    def read(self) -> bool:
        """Read what was appended; return whether it had such a number."""
        lines = self._log.lines()
        layout = LogLayout.of(self._log.first)
        if layout is None:
            return False
        others, at = layout.others(EVALUATION_COLUMNS), layout.places["step"]
        has_metrics = False
        for row in map(cells, lines) if others else ():
            if len(row) < len(layout.columns):
                continue
            numbers = {name: _metric(row[place]) for name, place in others if row[place]}
            metrics = {name: number for name, number in numbers.items() if number is not None}
            with contextlib.suppress(ValueError):
                self._by_step[_count(row[at])] = metrics
                self._names |= dict.fromkeys(metrics)
                has_metrics |= bool(metrics)
        return has_metrics

    def fill(self, evaluations: Evaluations) -> None:
        """Give each evaluation its metrics; NaN if it has none."""
        rows = [self._by_step.get(step, {}) for step in evaluations.step] if self._names else []
        evaluations.metrics = {
            name: [one.get(name, math.nan) for one in rows] for name in self._names
        }


class _Tail:
    """Complete lines appended to a file since the last read; of a long file only the last ones.

    Args:
        most: the most bytes to read, from the end of the file.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._position = 0
        self._rest = b""
        self._is_cut = False
        # The first line of the file, once it is complete.
        self.first = ""
        self.has_more = False

    def lines(self, most: int | None = None) -> list[str]:
        """The new complete lines, of at most about `most` bytes; then `has_more` may be true."""
        self.has_more = False
        try:
            with safe_files.open_to_read(self._path) as file:
                return self._read(file, most)
        except OSError:
            return []

    def _read(self, file: BinaryIO, most: int | None) -> list[str]:
        size = file.seek(0, os.SEEK_END)
        if size < self._position:  # the file was replaced
            self._position, self._rest, self.first = 0, b"", ""
        if not self.first:
            file.seek(0)
            line = file.readline(_LONGEST)
            self.first = line.decode("utf-8", "replace").strip() if line[-1:] == b"\n" else ""
        if size - self._position > self._most:
            self._position, self._rest, self._is_cut = size - self._most, b"", True
        file.seek(self._position)
        lines: list[str] = []
        while data := file.read(most or _CHUNK):
            self._position += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            if self._is_cut:  # the first line is incomplete
                whole, self._is_cut = whole[1:], not whole
            lines += [
                line.decode("utf-8", "replace") for line in whole if 0 < len(line) <= _LONGEST
            ]
            if len(self._rest) > _LONGEST:
                self._rest, self._is_cut = b"", True
            if most is not None:
                self.has_more = self._position < size
                break
        return lines


def _objects(lines: list[str]) -> list[dict[str, Any]]:
    objects = []
    for line in lines:
        try:
            value = safe_files.parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            objects.append(value)
    return objects


def _events(lines: list[str]) -> list[LoggedEvent]:
    """The events in the lines of a log."""
    events = []
    for line in _objects(lines):
        for entry in _entries_of(line):
            event = event_json.from_json(entry)
            if event is not None:
                events.append(LoggedEvent(entry["timestamp"], event))
    return events


def _samples(lines: list[str]) -> list[Sample]:
    """The samples in the lines of a log."""
    samples = []
    for line in _objects(lines):
        prompt, text = line.get("prompt", ""), line.get("text", "")
        if not isinstance(prompt, str) or not isinstance(text, str):
            continue
        for entry in _entries_of(line):
            seconds = records.number(entry, "seconds")
            samples.append(Sample(entry["timestamp"], entry["step"], prompt, text, seconds))
    return samples


def _entries_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    step, moment = value.get("step", 0), value.get("timestamp", 0.0)
    if not _is_count(step) or not _is_moment(moment):
        return []
    return [{**records.scalars(value), "step": step, "timestamp": float(moment)}]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= records.LARGEST


def _is_moment(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= _LAST_MOMENT
