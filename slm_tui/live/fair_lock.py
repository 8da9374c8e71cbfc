"""A lock with which several models for one screen take turns, so that they share one core."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class FairLock:
    """A lock that is granted in the order of requests.

    An ordinary lock may starve other threads if one thread requests it again immediately.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = self._now = 0
        self._active = 0

    def __enter__(self) -> None:
        with self._changed:
            mine, self._next = self._next, self._next + 1
            while self._now != mine:
                self._changed.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._now += 1
            self._changed.notify_all()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Hold this while there is something to compute: a training gives up one thread,
        regardless of the number of holders."""
        from slm_tui.training import threads

        with self._changed:
            self._active += 1
            if self._active == 1:
                self._shared = threads.sharing()
                self._shared.__enter__()
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                if not self._active:
                    self._shared.__exit__(None, None, None)
