"""Textual's web driver, for an app whose page may disappear at any time."""

import asyncio
import contextlib
import os
import signal
from typing import Any

from textual.app import App
from textual.drivers.web_driver import WebDriver

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PageDriver(WebDriver):
    """Talks to the web server through pipes.

    Unlike its base it keeps the signal handlers of the app, which save a run, and ignores that
    nobody reads its output.
    """

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._write = self._write_all  # type: ignore[assignment]

    def _write_all(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.fileno, data) :]

    def start_application_mode(self) -> None:
        """Start drawing, with the signal handlers as they were."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        super().start_application_mode()
        loop = asyncio.get_running_loop()
        for number, handler in before.items():
            # Not every system has them.
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
