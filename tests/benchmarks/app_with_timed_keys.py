"""The real app, which also writes down when each `w` (a key without a meaning) is handled.

    python -m tests.benchmarks.app_with_timed_keys FILE

Times are of the monotonic clock, which all processes of the machine share.
"""

import os
import sys
import time

from textual import events

import slm_tui.tui.app as app_module
from slm_tui.commands.app import open_app


class TimedApp(app_module.SlmTuiApp):
    """Keys arrive here after the focused widget and the screen had no use for them."""

    def on_key(self, event: events.Key) -> None:
        if event.key == "w":
            os.write(_FILE, f"{time.monotonic()}\n".encode())


if __name__ == "__main__":
    _FILE = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    app_module.SlmTuiApp = TimedApp  # type: ignore[misc]
    sys.exit(open_app(""))
