"""Stopping by ctrl+z and going on by `fg`, as a shell expects of a program."""

import asyncio
import contextlib
import signal
from typing import Any

from textual import events
from textual.app import App


class Suspension:
    """Stops an app between two events, keeps what is typed for the shell from it, repaints it."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        # From the key or the signal on until the screen is back.
        self._is_away = False

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the event loop call the terminal driver's handler of SIGTSTP.

        As a plain handler it runs wherever the main thread is, and waits there for the thread
        that writes to the terminal: for ever, if what it interrupted holds that thread's lock.
        """
        if not hasattr(signal, "SIGTSTP"):
            return
        stop = signal.getsignal(signal.SIGTSTP)
        # Without a terminal there is no handler.
        if not callable(stop):
            return
        self._app.app_resume_signal.subscribe(self._app, lambda _: self._back())

        def leave() -> None:
            self._is_away = True
            stop(signal.SIGTSTP, None)

        # Not in every loop, and in the main thread alone.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGTSTP, leave)

    def begin(self) -> bool:
        """Stop, as the key asks; returns whether this terminal can."""
        driver = self._app._driver
        if driver is None or not driver.can_suspend:
            return False
        self._is_away = True
        self._app.action_suspend_process()
        return True

    def keeps_out(self, event: events.Event) -> bool:
        """Whether an event was typed for the shell: keys, the mouse and what is pasted."""
        return self._is_away and isinstance(event, (events.InputEvent, events.Paste))

    def _back(self) -> None:
        self._is_away = False
        self._app.refresh(layout=True)
