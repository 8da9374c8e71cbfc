"""The sink that writes a run's files: logs are appended, `run.json` is replaced."""

import contextlib
import csv
import errno
import io
import json
import math
import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slm_tui import __version__, safe_files
from slm_tui.errors import cause_of
from slm_tui.runs import info as infos
from slm_tui.runs.info import State
from slm_tui.runs.log_layout import LogLayout
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.training import event_json
from slm_tui.training.control import Control
from slm_tui.training.events import (
    Changed,
    Continued,
    Evaluated,
    Event,
    Failed,
    Finished,
    Paused,
    Sampled,
    Saving,
    Started,
    Stepped,
    TrainingEvaluated,
)

TRAINING_COLUMNS = (
    "step",
    "timestamp",
    "elapsed_seconds",
    "tokens_seen",
    "learning_rate",
    "train_loss",
    "val_loss",
    "train_perplexity",
    "val_perplexity",
    "train_bpb",
    "val_bpb",
    "grad_norm",
    "tokens_per_second",
    "sample",
)
EVALUATION_COLUMNS = (
    "step",
    "timestamp",
    "elapsed_seconds",
    "val_loss",
    "val_perplexity",
    "val_bpb",
    "seconds",
    "is_best",
)
_FLUSH_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_SAMPLE_WIDTH = 50
_BLOCK = "log"
# Facts from the start of training, stored in `run.json` and the log header.
_NOT_LOGGED = ("facts", "metrics")
_LONGEST_HEADER = 2**16
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# A single failed write may be chance; after this many in a row training waits.
_FAILURES = 2
# The most bytes to buffer for a file that cannot be written.
_MOST_HELD_BACK = 2**22
_STATES: dict[str, State] = {"done": "done", "stopped": "stopped", "early stop": "stopped early"}


class Recorder:
    """Writes all files of a run except checkpoints. Called from the trainer and writer threads.

    If the disk is full or fails, unwritten data is buffered and `control` is blocked, so that
    training pauses until it can be written: `beat` tries again.

    Raises:
        RunError: the record of the run is damaged.
        OSError: the files cannot be opened.
    """

    def __init__(self, run: Run, control: Control | None = None) -> None:
        self._run = run
        self._control = control or Control()
        self.info = run.info()
        self._lock = threading.Lock()
        with contextlib.ExitStack() as opened:
            path = run.path
            self._training = _Table(path / "training_log.csv", TRAINING_COLUMNS)
            opened.callback(self._training.close)
            self._evaluation = _Table(path / "eval_log.csv", EVALUATION_COLUMNS)
            opened.callback(self._evaluation.close)
            self._events = _Lines(path / "events.jsonl")
            opened.callback(self._events.close)
            self._samples = _Lines(path / "samples.jsonl")
            opened.callback(self._samples.close)
            self._begin()
            opened.pop_all()

    def _begin(self) -> None:
        self._files = (self._training, self._evaluation, self._events, self._samples)
        self._row: dict[str, Any] = {}
        self._flushed = self._beaten = 0.0
        self._bytes_per_token = 1.0
        self.full = self._closed = False
        self._failures = 0
        info = self.info
        info.pid, info.host, info.version = os.getpid(), socket.gethostname(), __version__
        info.state, info.error, info.cause = "preparing", "", "other"
        self._beat(force=True)

    def __call__(self, event: Event) -> None:
        """Record `event`. Never raises: failed writes are retried later."""
        with self._lock:
            try:
                self._record(event)
            except OSError as error:
                self._is_stuck(error)

    def _is_stuck(self, error: OSError) -> None:
        self.full = True
        self._failures += 1
        reason = cause_of(error)
        if error.errno in _NO_ROOM:
            self._control.block(_BLOCK, f"no space for the log ({reason})")
        elif self._failures >= _FAILURES:
            is_gone = not self._run.path.is_dir()
            why = f"{self._run.path} is gone; restore it" if is_gone else reason
            self._control.block(_BLOCK, f"the log cannot be written ({why})")

    def beat(self) -> None:
        """Update the heartbeat; call this about once a second."""
        with self._lock:
            if self._closed:
                return
            try:
                self._flush()
                self._beat(force=self.full)
            except OSError as error:
                self._is_stuck(error)
            else:
                self.full, self._failures = False, 0
                self._control.unblock(_BLOCK)

    def settle(self) -> None:
        """Write everything known so far, for readers of the files.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            self._end_row()
            self._beat(force=True)

    def close(self) -> None:
        """Write buffered data and close the files."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._end_row()
                self._beat(force=True)
                infos.drop_live(self._run.path)
            except OSError:
                self.full = True
            for file in self._files:
                file.close()

    def _record(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._stepped(event)
        elif isinstance(event, Evaluated):
            self._evaluated(event)
        elif isinstance(event, TrainingEvaluated):
            self._training_evaluated(event)
        elif isinstance(event, Sampled):
            self._sampled(event)
        elif isinstance(event, Saving):
            # A run resumes from this checkpoint: the rows before it must survive even a power
            # failure.
            self._end_row()
            self._flush()
            for file in self._files:
                file.sync()
        else:
            self._end_row()
            self._log(event)
            self._beat(force=self._change_state(event))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def _stepped(self, event: Stepped) -> None:
        self._end_row()
        self._row = {
            # First, so that no model metric overwrites these.
            **event.metrics,
            "step": event.step,
            "timestamp": round(time.time(), 3),
            "elapsed_seconds": round(event.elapsed_seconds, 3),
            "tokens_seen": event.tokens_seen,
            "learning_rate": event.learning_rate,
            "train_loss": event.loss,
            "train_perplexity": perplexity(event.loss),
            "train_bpb": event.loss / math.log(2) / self._bytes_per_token,
            "grad_norm": event.gradient_norm,
            "tokens_per_second": round(event.tokens_per_second, 1),
        }
        info = self.info
        info.step, info.tokens_seen = event.step, event.tokens_seen
        info.elapsed_seconds, info.train_loss = event.elapsed_seconds, event.loss
        info.tokens_per_second = event.tokens_per_second
        self._beat()

    def _evaluated(self, event: Evaluated) -> None:
        values = {
            "val_loss": event.loss,
            "val_perplexity": perplexity(event.loss),
            "val_bpb": event.bits_per_byte,
        }
        self._row_of(event.step, event.elapsed_seconds).update(values)
        self._evaluation.append(
            {
                "step": event.step,
                "timestamp": round(time.time(), 3),
                "elapsed_seconds": round(event.elapsed_seconds, 3),
                **values,
                "seconds": round(event.seconds, 4),
                "is_best": int(event.is_best),
            }
        )
        info = self.info
        info.val_loss, info.val_bpb = event.loss, event.bits_per_byte
        if event.is_best:
            info.best_loss, info.best_step = event.loss, event.step
            info.best_bpb = event.bits_per_byte

    def _training_evaluated(self, event: TrainingEvaluated) -> None:
        # The evaluation and samples of this step still go into its row.
        self._log(event)
        if event.step == 0:
            self.info.initial_train_loss = event.loss
        else:
            self.info.final_train_loss = event.loss

    def _log(self, event: Event) -> None:
        values = event_json.to_json(event)
        logged = {key: value for key, value in values.items() if key not in _NOT_LOGGED}
        self._events.append({"timestamp": time.time(), **logged})

    def _sampled(self, event: Sampled) -> None:
        row = self._row_of(event.step, self.info.elapsed_seconds)
        row.setdefault("sample", one_line(event.text, _SAMPLE_WIDTH))
        self._samples.append({"timestamp": time.time(), **asdict(event)})

    def _row_of(self, step: int, elapsed_seconds: float) -> dict[str, Any]:
        """The current row: a step's evaluation and sample go into the same row as its loss."""
        if self._row.get("step") != step:
            self._end_row()
            self._row = {
                "step": step,
                "timestamp": round(time.time(), 3),
                "elapsed_seconds": round(elapsed_seconds, 3),
                "tokens_seen": self.info.tokens_seen,
            }
        return self._row

    def _end_row(self) -> None:
        if self._row:
            row, self._row = self._row, {}
            self._training.append(row)

    def _change_state(self, event: Event) -> bool:
        """Apply `event` to the record; return whether it must be on disk at once."""
        info = self.info
        if isinstance(event, Started):
            info.state, info.max_steps, info.facts = "running", event.max_steps, event.facts
            info.step, info.final_train_loss = event.step, None
            self._training.begin(event.metrics)
            self._bytes_per_token = float(event.facts.get("train_bytes_per_token", 1.0))
        elif isinstance(event, Paused):
            info.state = "paused"
        elif isinstance(event, Continued):
            info.state = "running"
        elif isinstance(event, Changed) and event.what == "max_steps":
            info.max_steps = int(event.value)
        elif isinstance(event, Finished):
            info.state = _STATES[event.reason]
        elif isinstance(event, Failed):
            info.state, info.error, info.cause = "failed", event.error, event.cause
        else:
            return False
        return True

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        for file in self._files:
            file.flush()

    def _beat(self, *, force: bool = False) -> None:
        """Update the heartbeat; with `force`, write `run.json` durably."""
        now = time.monotonic()
        if not force and now - self._beaten < _BEAT_SECONDS:
            return
        self._beaten = now
        self.info.heartbeat = time.time()
        if force:
            self._flush()
            self._run.write_info(self.info)
        else:
            infos.write_live(self._run.path, self.info)


def perplexity(loss: float) -> float:
    """exp(loss), or infinity on overflow."""
    return math.exp(loss) if loss < 700 else math.inf


class _Appended:
    """An append-only file. An incomplete last line of a killed run is terminated first.

    Unwritten lines are buffered, so that none is lost to a full disk.
    """

    def __init__(self, path: Path) -> None:
        self._held_back = bytearray()
        self._file: int | None = safe_files.open_to_append(path)
        self._is_synced = False
        size = os.fstat(self._file).st_size
        self._fresh = not size
        if size:
            os.lseek(self._file, size - 1, os.SEEK_SET)
            if os.read(self._file, 1) != b"\n":
                self.write("\n")

    def write(self, text: str) -> None:
        if len(self._held_back) < _MOST_HELD_BACK:
            self._held_back += text.encode("utf-8", "replace")

    def flush(self) -> None:
        # After closing, its descriptor may belong to another file.
        while self._held_back and self._file is not None:
            written = os.write(self._file, self._held_back)
            del self._held_back[:written]
            self._is_synced = False

    def sync(self) -> None:
        """Wait until what was written is on the disk.

        Raises:
            OSError: the disk reports a failure.
        """
        if not self._is_synced and self._file is not None:
            safe_files.sync(self._file)
            self._is_synced = True

    def clear(self) -> None:
        """Truncate the file and start over."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
        self._held_back.clear()
        self._fresh = True

    def close(self) -> None:
        try:
            self.flush()
        except OSError:
            pass
        finally:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)


class _Table(_Appended):
    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        super().__init__(path)
        header = b"" if self._fresh else _first_line(path)
        if not self._fresh and (not header.endswith(b"\n") or not header.strip()):
            # A killed process wrote part of the header and no row.
            self.clear()
        # A continued log keeps the columns it started with.
        layout = LogLayout.of(header.decode("utf-8", "replace").strip())
        self._columns = layout.columns if layout is not None else columns
        self._has_header = not self._fresh

    def begin(self, more: Sequence[str] = ()) -> None:
        """Write the header of a new log, with the columns `more` before the last one."""
        if self._has_header:
            return
        self._has_header = True
        new = [name for name in more if name not in self._columns]
        self._columns = (*self._columns[:-1], *new, self._columns[-1])
        self.write(",".join(self._columns) + "\n")

    def append(self, row: dict[str, Any]) -> None:
        self.begin()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            [_cell(row.get(name, "")) for name in self._columns]
        )
        self.write(text.getvalue())


def _first_line(path: Path) -> bytes:
    with safe_files.open_to_read(path) as file:
        return file.readline(_LONGEST_HEADER)


class _Lines(_Appended):
    def append(self, values: dict[str, Any]) -> None:
        self.write(json.dumps(values, ensure_ascii=False) + "\n")


def _cell(value: Any) -> Any:
    # repr keeps every digit: curves of resumed runs can be compared exactly.
    return repr(value) if isinstance(value, float) else value
