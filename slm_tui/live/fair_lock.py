"""Several models that compute for one screen take turns, so that together they take one core."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class FairLock:
    """A lock whose waiters get it in the order in which they came.

    An ordinary lock may go to the same thread for ever if it wants it back at once.
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
        """To be held while there is something to compute: a training makes room for one thread,
        however many hold it."""
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
