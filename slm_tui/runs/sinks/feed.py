"""Feeds a destination from the training thread: a queue, a thread, and the progress so far."""

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slm_tui import safe_files
from slm_tui.errors import cause_of
from slm_tui.runs.sinks.contract import Destination, figures
from slm_tui.training.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Paused,
    Sampled,
    Saving,
    Started,
    Stepped,
)

_LOG = logging.getLogger(__name__)
# Five points a second are more than a chart shows and use at most 0.2% of a core.
STEP_SECONDS = 0.2
_MOST_BYTES = 1 << 16
_TITLES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"}
_WRITTEN = (Stepped, Evaluated, Sampled, Started, Saving, Paused, Finished, Failed)


@dataclass
class WrittenSteps:
    """The newest written step of each kind, so that a resumed run does not repeat it."""

    step: int = -1
    evaluated: int = -1
    sampled: int = -1

    def cut(self, step: int) -> None:
        """Forget everything after `step`."""
        self.step = min(self.step, step)
        self.evaluated = min(self.evaluated, step)
        self.sampled = min(self.sampled, step)


class SinkFeed:
    """Feeds one destination from its own thread. The first failure turns it off.

    Args:
        name: name of the destination and of the extra that installs its package.
        directory: the run's files for this destination, including `progress.json`.
        begin: creates the destination; called once training has started.
        warn: called once with the reason if the destination is turned off.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        begin: Callable[[Started], Destination],
        warn: Callable[[str], None],
    ) -> None:
        self.step = 0
        self._name = name
        self._progress = directory / "progress.json"
        self._begin = begin
        self._warn = warn
        self._lock = threading.Lock()
        self._queue: list[tuple[float, Event]] = []
        self._held: tuple[float, Event] | None = None
        self._kept_at = 0.0
        self._off = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        # The fields below belong to the thread.
        self._destination: Destination | None = None
        self._marks = self._complete = WrittenSteps()
        self._samples: list[tuple[float, Sampled]] = []
        self._bytes_per_token = 1.0
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Queue `event`, in a few microseconds. Waking the thread for each event would slow
        training more than the writing does."""
        if self._off or not isinstance(event, _WRITTEN):
            return
        now = time.time()
        with self._lock:
            if isinstance(event, Stepped):
                if now - self._kept_at < STEP_SECONDS:
                    self._held = (now, event)
                    return
                self._kept_at, self._held = now, None
            elif self._held is not None:
                # Keep the last step and those with an evaluation, a sample or a checkpoint.
                self._queue.append(self._held)
                self._kept_at, self._held = self._held[0], None
            self._queue.append((now, event))
        if self._thread is None and isinstance(event, Started):
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def close(self, seconds: float) -> None:
        """Write what is queued and end the thread; after `seconds`, stop waiting for it."""
        if self._thread is None:
            return
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive() and not self._off:
            self._turn_off(f"did not finish within {seconds:.0f} seconds")

    def _work(self) -> None:
        try:
            while not self._closing.wait(STEP_SECONDS):
                self._drain()
                if self._off:
                    return
            self._drain()
            self._write_samples()
            if self._destination is not None:
                self._destination.close(failed=self._failed)
                self._keep(self._marks)
        except ImportError as error:
            _LOG.debug("%s cannot be imported", self._name, exc_info=error)
            self._turn_off(f"{error}; pip install 'slm-tui[{self._name}]'")
        except BaseException as error:  # noqa: BLE001 - no library error may stop training
            _LOG.debug("%s failed", self._name, exc_info=error)
            self._turn_off(_worded(error))

    def _turn_off(self, why: str) -> None:
        if self._off:
            return
        self._off = True
        with self._lock:
            self._queue.clear()
        if self._destination is not None and threading.current_thread() is self._thread:
            with contextlib.suppress(Exception):
                self._destination.close(failed=True)
        self._warn(
            f"{_TITLES.get(self._name, self._name)} was turned off, training continues: {why}"
        )

    def _drain(self) -> None:
        with self._lock:
            events, self._queue = self._queue, []
        for when, event in events:
            self._write(when, event)
        if events and self._destination is not None:
            self._destination.flush()
            self._keep(self._marks if self._destination.can_rewind else self._complete)

    def _keep(self, marks: WrittenSteps) -> None:
        safe_files.write_atomically(self._progress, json.dumps(asdict(marks)), durable=False)

    def _write(self, when: float, event: Event) -> None:
        self.step = event.step
        if isinstance(event, Sampled):
            self._samples.append((when, event))
            return
        self._write_samples()
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Stepped):
            self._write_step(when, event)
        elif isinstance(event, Evaluated):
            if self._is_new(event.step, self._marks.evaluated):
                self._scalars(when, event)
                self._marks.evaluated = event.step
        elif isinstance(event, Failed):
            self._failed = True

    def _start(self, event: Started) -> None:
        self._bytes_per_token = float(event.facts.get("train_bytes_per_token", 1.0))
        directory = self._progress.parent
        if os.path.lexists(directory):
            safe_files.check_directory(directory)
        self._marks = self._complete = _read(self._progress)
        self._destination = self._begin(event)
        if self._marks.step >= 0:
            self._rewind(event.step + 1)

    def _rewind(self, step: int) -> None:
        """Training is now before steps already written: the new ones replace them."""
        if self._destination is not None and self._destination.can_rewind:
            self._destination.rewind(step)
            self._marks.cut(step - 1)

    def _write_step(self, when: float, event: Stepped) -> None:
        if event.step <= self._marks.step:
            self._rewind(event.step)
        if event.step > self._marks.step:
            self._scalars(when, event)

    def _scalars(self, when: float, event: Stepped | Evaluated) -> None:
        assert self._destination is not None
        if event.step > self._marks.step:
            # A row is open until the next one begins: a killed process may lose all of it.
            self._complete = replace(self._marks)
        self._destination.scalars(event.step, figures(event, self._bytes_per_token), when)
        self._marks.step = max(self._marks.step, event.step)

    def _write_samples(self) -> None:
        """Collect all samples of a step, which arrive one by one."""
        samples, self._samples = self._samples, []
        if not samples or self._destination is None:
            return
        when, last = samples[-1]
        if self._is_new(last.step, self._marks.sampled):
            self._destination.samples(last.step, [sample for _, sample in samples], when)
            self._marks.sampled = last.step

    def _is_new(self, step: int, mark: int) -> bool:
        """Whether an entry at `step` is not written yet and can still be written in order."""
        return step > mark and step >= self._marks.step


def _read(path: Path) -> WrittenSteps:
    try:
        values = safe_files.read_json(path, _MOST_BYTES)
        return WrittenSteps(int(values["step"]), int(values["evaluated"]), int(values["sampled"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return WrittenSteps()


def _worded(error: BaseException) -> str:
    text = cause_of(error)
    return " ".join(str(text).split())[:300]
