"""Ctrl+C during a long command: the first one stops it cleanly."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The exit status of a command that was interrupted.
INTERRUPTED = 130


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event that ctrl+C and SIGTERM set. A second signal ends the program at once.

    Outside the main thread, where no signals arrive, the event is never set.
    """
    stop = threading.Event()

    def interrupt(_number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
