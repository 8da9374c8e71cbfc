"""Waits with a timeout: something that never happens must fail a test, not hang it."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

LIMIT = 120.0  # seconds; generous, because test machines may be busy
Found = TypeVar("Found")


def until(look: Callable[[], Found | None], seconds: float = LIMIT) -> Found:
    """What `look` returns, once that is truthy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = look()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"it did not happen within {seconds:g} s")


def run(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
    """`subprocess.run`, at most `LIMIT` seconds long."""
    return subprocess.run(command, timeout=LIMIT, check=options.pop("check", True), **options)


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """A process that is killed after `2 * LIMIT` seconds, so that reading from it ends."""
    process = subprocess.Popen(command, **options)
    timer = threading.Timer(2 * LIMIT, process.kill)
    timer.daemon = True
    timer.start()
    return process


def read(handle: int, size: int = 1 << 16, seconds: float = LIMIT) -> bytes:
    """What can be read from a file descriptor; `b""` at its end."""
    ready, _, _ = select.select([handle], [], [], seconds)
    assert ready, f"nothing was written within {seconds:g} s"
    return os.read(handle, size)


def reap(pid: int, seconds: float = LIMIT) -> int:
    """Wait for a child process; its wait status."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result, status = os.waitpid(pid, os.WNOHANG)
        if result:
            return status
        time.sleep(0.01)
    raise AssertionError(f"process {pid} did not end within {seconds:g} s")


def join(*threads: threading.Thread, seconds: float = LIMIT) -> None:
    """Wait for threads to end."""
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), f"{thread.name} did not end within {seconds:g} s"


def suspend(pid: int) -> None:
    """Stop a process with SIGSTOP, and wait until none of its threads runs any more.

    The signal returns before they have stopped: a thread on another core may still answer.
    """
    os.kill(pid, signal.SIGSTOP)
    until(lambda: set(_states(pid)) == {"T"})


def _states(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task")
    if tasks.is_dir():
        return [(one / "stat").read_text().rpartition(")")[2].split()[0] for one in tasks.iterdir()]
    return [run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True).stdout[:1]]
