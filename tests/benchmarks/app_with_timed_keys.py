"""The real app, which also records when each `w` (an unbound key) is handled.

    python -m tests.benchmarks.app_with_timed_keys FILE

Times are from the monotonic clock, which all processes of the machine share.
"""

import os
import sys
import time

from textual import events

import slm_tui.tui.app as app_module
from slm_tui.commands.app import open_app


class TimedApp(app_module.SlmTuiApp):
    """Keys that neither the focused widget nor the screen handled arrive here."""

    def on_key(self, event: events.Key) -> None:
        if event.key == "w":
            os.write(_FILE, f"{time.monotonic()}\n".encode())


if __name__ == "__main__":
    _FILE = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    app_module.SlmTuiApp = TimedApp  # type: ignore[misc]
    sys.exit(open_app(""))
