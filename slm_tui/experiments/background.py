"""Starts a process that trains the queued runs and outlives this one."""

import os
import subprocess
import sys

from slm_tui import paths, safe_files
from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.experiments import queue

_LOG = "queue.log"
_DETACHED = 0x00000008  # DETACHED_PROCESS of Windows


def start_worker() -> bool:
    """Start a worker if a run is waiting and there is none; return whether one was started.

    Raises:
        SlmTuiError: the queue is damaged, or the process cannot start.
    """
    if queue.has_worker() or all(item.running for item in queue.runs()):
        return False
    command = [sys.executable, "-P", "-m", "slm_tui", "queue", "run"]
    path = paths.data_dir() / _LOG
    environment = {**os.environ, "TERM": "dumb", "PYTHONPATH": paths.python_path()}
    on_windows = sys.platform == "win32"
    try:
        log = safe_files.open_to_append(path)
        try:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                creationflags=_DETACHED if on_windows else 0,
                start_new_session=not on_windows,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise SlmTuiError("the queue cannot be trained", cause_of(error)) from None
    return True
