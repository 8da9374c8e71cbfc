"""One background thread that writes checkpoints: the training loop pays for the copy alone."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from slm_tui.training import checkpoint
from slm_tui.training.checkpoint import Snapshot
from slm_tui.training.events import Saved, SaveKind, Sink, Warned


@dataclass(frozen=True)
class _Job:
    snapshot: Snapshot
    kind: SaveKind


class CheckpointWriter:
    """Writes snapshots one after another; at most one waits while another is written.

    `failure` says why the newest one could not be written; it is empty when it was.
    """

    def __init__(self, directory: Path, keep_last: int, sink: Sink) -> None:
        self._directory = directory
        self._keep_last = keep_last
        self._sink = sink
        self._changed = threading.Condition()
        self._waiting: _Job | None = None
        self.failure = ""
        self._writing = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="checkpoint-writer", daemon=True)
        self._thread.start()

    def submit(self, snapshot: Snapshot, kind: SaveKind) -> None:
        """Queue `snapshot`. Waits while one is queued already, unless a newer best replaces it."""
        with self._changed:
            while self._waiting is not None and not self._replaces(kind):
                self._changed.wait()
            self._waiting = _Job(snapshot, kind)
            self._changed.notify_all()

    def _replaces(self, kind: SaveKind) -> bool:
        return self._waiting is not None and kind == "best" == self._waiting.kind

    def flush(self) -> None:
        """Wait until everything queued is on disk."""
        with self._changed:
            while self._waiting is not None or self._writing:
                self._changed.wait()

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
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
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()

    def _write(self, job: _Job) -> None:
        began = time.monotonic()
        step = job.snapshot.state.step
        try:
            path = checkpoint.write(self._directory, job.snapshot, keep=job.kind == "manual")
            checkpoint.link(self._directory, "last", path.name)
            if job.kind == "best":
                checkpoint.link(self._directory, "best", path.name)
            checkpoint.clear_up(self._directory, self._keep_last)
            size = sum(file.stat().st_size for file in path.iterdir())
        except Exception as error:  # noqa: BLE001 - without this thread the loop would wait for ever
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.failure = reason
            self._sink(Warned(step, f"the checkpoint of step {step} was not saved: {reason}"))
            return
        self.failure = ""
        self._sink(Saved(step, job.kind, path.name, size, time.monotonic() - began))
