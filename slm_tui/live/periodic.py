"""A thread that reads again and again while a screen needs it."""

import threading
from collections.abc import Callable


class Periodic:
    """Calls `read` in a daemon thread at most every `seconds` while it is awake.

    Nothing is read before the first `wake`. All methods may be called from any thread.

    Args:
        name: the name of the thread.
        read: handles its own errors.
        seconds: between two calls, unless `poke` asks for one sooner.
    """

    def __init__(self, name: str, read: Callable[[], object], seconds: float = 1.0) -> None:
        self._name = name
        self._read = read
        self._seconds = seconds
        self._poke = threading.Event()
        self._awake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Read now, and keep reading."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
            self._thread.start()
        self._awake.set()
        self._poke.set()

    def start(self) -> None:
        """Wake up for the first time; has no effect later, so that it may be called often."""
        if self._thread is None:
            self.wake()

    def poke(self) -> None:
        """Read now, if awake."""
        self._poke.set()

    def sleep(self) -> None:
        """Pause until `wake`."""
        self._awake.clear()

    def close(self) -> None:
        """Stop for good; a call that is under way ends first."""
        self._closed = True
        self._awake.set()
        self._poke.set()

    def _main(self) -> None:
        while True:
            self._awake.wait()
            if self._closed:
                return
            self._poke.clear()
            self._read()
            self._poke.wait(self._seconds)
