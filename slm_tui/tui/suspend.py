"""Stopping by ctrl+z, between two events and not in the middle of one."""

import asyncio
import contextlib
import signal


def stop_between_events(loop: asyncio.AbstractEventLoop) -> None:
    """Let the event loop call the terminal driver's handler of SIGTSTP.

    As a plain handler it runs wherever the main thread is, and waits there for the thread that
    writes to the terminal: for ever, if what it interrupted holds that thread's lock.
    """
    if not hasattr(signal, "SIGTSTP"):
        return
    stop = signal.getsignal(signal.SIGTSTP)
    # Without a terminal there is no handler.
    if callable(stop):
        # Not in every loop, and in the main thread alone.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGTSTP, stop, signal.SIGTSTP, None)
