"""A worker thread that publishes snapshots: the base for background work of screens."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from slm_tui.errors import SlmTuiError, in_words

S = TypeVar("S")
Work = Callable[[threading.Event], S]


class Background(Generic[S]):
    """Runs one task at a time in a daemon thread.

    `snapshot` is replaced as a whole and may be read from any thread. Starting a new task cancels
    the current one, which publishes nothing from then on.

    Args:
        name: the name of the thread.
        first: the initial snapshot.
    """

    def __init__(self, name: str, first: S) -> None:
        self.snapshot = first
        self._name = name
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the last task is still running."""
        return self._thread is not None and self._thread.is_alive()

    def start(
        self,
        work: Work[S],
        failed: Callable[[SlmTuiError], S],
        what: str,
        first: S | None = None,
    ) -> None:
        """Run `work` and publish its result; returns immediately.

        Args:
            work: receives an event that is set once the result is no longer needed.
            failed: the snapshot for an error of `work`.
            what: describes an error that is not a `SlmTuiError`.
            first: what to publish before the work begins.
        """
        cancel = threading.Event()
        with self._lock:
            self._cancel.set()
            self._cancel = cancel
            if first is not None:
                self.snapshot = first

        def run() -> None:
            try:
                result = work(cancel)
            except SlmTuiError as error:
                result = failed(error)
            except Exception as error:  # noqa: BLE001 - nothing above this catches it
                result = failed(SlmTuiError(what, in_words(error)))
            self.publish(result, cancel)

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def publish(self, snapshot: S, cancel: threading.Event) -> None:
        """Publish `snapshot`, unless a newer task has replaced the one of `cancel`."""
        with self._lock:
            if cancel is self._cancel:
                self.snapshot = snapshot

    def cancel(self) -> None:
        """Ask the task to stop as soon as possible; its result is still published."""
        self._cancel.set()

    def wait(self, seconds: float) -> None:
        """Wait at most `seconds` until the work is done."""
        if self._thread is not None:
            self._thread.join(seconds)

    def close(self, seconds: float = 0.0) -> None:
        """Cancel, and wait at most `seconds` for the thread to clean up."""
        self._cancel.set()
        self.wait(seconds)
