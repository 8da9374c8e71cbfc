"""Suspending with ctrl+z and resuming with `fg`, as a shell expects of a program."""

import asyncio
import contextlib
import signal
from typing import Any

from textual import events
from textual.app import App


class Suspension:
    """Stops an app between two events, drops input meant for the shell, and repaints the app."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        # Set from the key or the signal until the screen is back.
        self._is_away = False

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the event loop call the terminal driver's handler of SIGTSTP.

        A plain signal handler may interrupt the main thread anywhere and waits there for the
        thread that writes to the terminal: a deadlock, if the main thread holds its lock.
        """
        if not hasattr(signal, "SIGTSTP"):
            return
        stop = signal.getsignal(signal.SIGTSTP)
        # Without a terminal there is no such handler.
        if not callable(stop):
            return
        self._app.app_resume_signal.subscribe(self._app, lambda _: self._back())

        def leave() -> None:
            self._is_away = True
            stop(signal.SIGTSTP, None)

        # Not every loop supports this, and only in the main thread.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGTSTP, leave)

    def begin(self) -> bool:
        """Suspend the app; return whether this terminal can."""
        driver = self._app._driver
        if driver is None or not driver.can_suspend:
            return False
        self._is_away = True
        self._app.action_suspend_process()
        return True

    def is_for_shell(self, event: events.Event) -> bool:
        """Whether an event (key, mouse or paste) was meant for the shell."""
        return self._is_away and isinstance(event, (events.InputEvent, events.Paste))

    def _back(self) -> None:
        self._is_away = False
        self._app.refresh(layout=True)
