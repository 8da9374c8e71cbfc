"""A background thread that writes checkpoints: the training loop only makes the copy."""

import errno
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slm_tui.errors import TrainingError, cause_of
from slm_tui.training import checkpoint, checkpoint_dir
from slm_tui.training.checkpoint import CheckpointSnapshot
from slm_tui.training.control import Control
from slm_tui.training.events import Event, Saved, SaveKind, Sink, Warned
from slm_tui.training.memory import first_line, out_of_memory

_RETRY_SECONDS = 0.5
# A single save may fail by chance; after this many in a row training waits until one works.
_FAILURES = 2
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = "checkpoint"
_LOG = logging.getLogger(__name__)
_Kind = Literal["room", "disk", "memory"]


@dataclass(frozen=True)
class RetentionPolicy:
    """Which periodic checkpoints to keep: the newest ones, and those at multiples of a step."""

    keep_last: int
    keep_every: int | None = None


@dataclass(frozen=True)
class _Job:
    snapshot: CheckpointSnapshot
    kind: SaveKind


class CheckpointWriter:
    """Writes snapshots one after another; at most one waits while another is written.

    If the disk is full or saving has failed twice in a row, it blocks `control`, so that training
    pauses, and retries until it works, because unsaved training would be lost. `failure` says why
    the newest snapshot could not be written; it is empty if it was.

    Raises:
        TrainingError: the system has no memory for the thread.
    """

    def __init__(
        self, directory: Path, policy: RetentionPolicy, sink: Sink, control: Control
    ) -> None:
        self._directory = directory
        self._policy = policy
        self._sink = sink
        self._control = control
        self._changed = threading.Condition()
        self._waiting: _Job | None = None
        self.failure = ""
        self._failures = 0
        self._writing = False
        self._hurried = self._stuck = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            remedy = "close other programs to free some memory"
            raise TrainingError(
                "cannot start the thread that saves checkpoints", str(error), remedy
            ) from None

    def submit(self, snapshot: CheckpointSnapshot, kind: SaveKind) -> None:
        """Queue `snapshot`. Waits while another is queued, unless this one replaces it."""
        with self._changed:
            while self._waiting is not None and not self._replaces(kind):
                self._changed.wait()
            self._waiting = _Job(snapshot, kind)
            self._changed.notify_all()

    def _replaces(self, kind: SaveKind) -> bool:
        """A newer best one does; without disk space any does, as waiting would never end."""
        return self._stuck or (self._waiting is not None and kind == "best" == self._waiting.kind)

    def idle(self, seconds: float) -> bool:
        """Wait up to a time limit until everything queued is on disk; return whether it is.

        Unlike `flush` it lets the writer wait for disk space.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while self._waiting is not None or self._writing:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def flush(self) -> None:
        """Wait until everything queued is on disk or failed, without waiting for disk space."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            while self._waiting is not None or self._writing:
                self._changed.wait()
            self._hurried = False

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        _lower_priority()
        while True:
            with self._changed:
                while self._waiting is None and not self._closed:
                    self._changed.wait()
                if self._waiting is None:
                    return
                job, self._waiting, self._writing = self._waiting, None, True
                self._changed.notify_all()
            try:
                self._write(job)
            except Exception as error:  # noqa: BLE001 - without this thread the loop would hang
                _LOG.debug("the checkpoint writer failed", exc_info=error)
                self.failure = str(error) or type(error).__name__
            finally:
                self._control.unblock(_BLOCK)
                with self._changed:
                    self._writing = self._stuck = False
                    self._changed.notify_all()

    def _write(self, job: _Job) -> None:
        """Write a snapshot; retry while there is no disk space or the disk fails."""
        reported = ""
        while True:
            reason, kind = self._attempt(job)
            self.failure = reason
            if not reason:
                self._failures = 0
                return
            if reason != reported:
                if not reported and kind == "disk":
                    self._failures += 1
                reported = reason
                text = f"the checkpoint at step {job.snapshot.state.step} was not saved: {reason}"
                self._emit_safely(Warned(job.snapshot.state.step, text))
            if kind == "memory" or (kind == "disk" and self._failures < _FAILURES):
                return
            what = "no space for a checkpoint" if kind == "room" else "no checkpoint can be saved"
            self._control.block(_BLOCK, f"{what} ({reason})")
            with self._changed:
                self._stuck = True
                self._changed.notify_all()
                if self._hurried:
                    return
                self._changed.wait(_RETRY_SECONDS)

    def _emit_safely(self, event: Event) -> None:
        try:
            self._sink(event)
        except Exception as error:  # noqa: BLE001 - a receiver must not stop saving
            _LOG.debug("a receiver of events failed", exc_info=error)

    def _attempt(self, job: _Job) -> tuple[str, _Kind]:
        """Why the job could not be written, empty if it was; and which resource was short."""
        began = time.monotonic()
        step = job.snapshot.state.step
        try:
            path = checkpoint.write(self._directory, job.snapshot, keep=job.kind == "manual")
            checkpoint_dir.link(self._directory, "last", path.name)
            if job.kind == "best":
                checkpoint_dir.link(self._directory, "best", path.name)
            checkpoint_dir.clear_up(
                self._directory, self._policy.keep_last, self._policy.keep_every
            )
            size = sum(file.stat().st_size for file in path.iterdir())
        except Exception as error:  # noqa: BLE001 - without this thread the loop would hang
            if _waits_for_space(error):
                return os.strerror(errno.ENOSPC), "room"
            if out_of_memory(error):
                return f"memory ran out ({first_line(error)})", "memory"
            if not self._directory.parent.is_dir():
                return f"{self._directory.parent} is gone; restore it", "disk"
            return cause_of(error), "disk"
        self._emit_safely(Saved(step, job.kind, path.name, size, time.monotonic() - began))
        return "", "room"


def _waits_for_space(error: Exception) -> bool:
    """Whether the disk is full. The safetensors library reports it only in the message."""
    number = getattr(error, "errno", None)
    return number in _NO_ROOM or "os error 28" in str(error) or "No space left" in str(error)


def _lower_priority() -> None:
    """Give training priority over writing. On Linux every thread has its own priority."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    except (OSError, AttributeError):
        return
