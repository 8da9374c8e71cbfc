"""A terminal for the measured program: a pty that is drained, timed and counted."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

COLUMNS, ROWS = 120, 40


class Terminal:
    """Runs `command` in a terminal of 120x40. Use as a context manager: leaving it kills the
    process."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.started = time.monotonic()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.received = 0
        self._seen = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:
                data = b""
            with self._changed:
                self._ended = not data
                self.received += len(data)
                self._seen += data
                del self._seen[: -(1 << 18)]
                self._changed.notify_all()
            if not data:
                return

    def write(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, seconds: float) -> float:
        """Wait until the program has written `text`; return the seconds since its start.

        Raises:
            TimeoutError: it did not come, or the program ended.
        """
        target = text.encode()
        end = time.monotonic() + seconds
        with self._changed:
            while target not in self._seen:
                left = end - time.monotonic()
                if left <= 0 or self._ended:
                    tail = bytes(self._seen[-400:])
                    raise TimeoutError(f"{text!r} did not appear in {seconds:g} s: {tail!r}")
                self._changed.wait(left)
            return time.monotonic() - self.started

    def forget(self) -> None:
        """Discard what was written so far, so that `wait_for` waits for new text."""
        with self._changed:
            self._seen.clear()

    def suspend(self) -> None:
        """Stop the program and its child processes, until `resume`."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(5)
        os.close(self._master)
