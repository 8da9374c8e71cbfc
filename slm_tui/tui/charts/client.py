"""The app's client for the plot process: starts, feeds, restarts and stops it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = list[tuple[str, str]]

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
_IN_PROCESS_INTERVAL = 5.0  # seconds between drawings if no process can be started
_STUCK_AFTER = 20.0  # seconds without an answer before the process is replaced
_CHUNK = 1 << 16


@dataclass(frozen=True)
class DrawnChart:
    """A finished chart: rows of (text, role) runs, and the time the process took."""

    id: int
    rows: list[Row]
    cpu_seconds: float


class PlotClient:
    """One plot process; the newest request wins.

    At most one request is being drawn and one is waiting. Nothing here blocks: `poll` sends and
    receives what it can and returns the newest finished drawing. A process that dies is restarted
    once; if it dies again, `failed` reports it. If no process can be started at all, the app
    draws in its own process, at most every five seconds.
    """

    def __init__(self, command: list[str] | None = None) -> None:
        self._command = command or [
            sys.executable,
            "-P",
            "-m",
            "slm_tui.tui.charts.plot_process",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._closed = False
        self._alone = False
        self._next_alone = 0.0
        self._in_flight: dict[str, Any] | None = None
        self._waiting: dict[str, Any] | None = None
        self._sent_at = 0.0
        self._outgoing = memoryview(b"")
        self._incoming = bytearray()
        self.failed = ""

    @property
    def busy(self) -> bool:
        """Whether a drawing is pending."""
        return not self.failed and (self._in_flight is not None or self._waiting is not None)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def request(self, spec: dict[str, Any]) -> None:
        """Request a drawing; replaces one still waiting. `spec["id"]` is its number."""
        if self._closed or self.failed:
            return
        self._waiting = spec
        self._send()

    def poll(self) -> DrawnChart | None:
        """The newest drawing that has arrived since the last call, if any."""
        if self._closed or self.failed:
            return None
        if self._alone:
            return self._draw_alone()
        drawing = self._receive()
        if self._in_flight is not None and time.monotonic() - self._sent_at > _STUCK_AFTER:
            self._replace("it does not respond")
        self._send()
        return drawing

    def close(self) -> None:
        """Stop the process, which exits when its input closes."""
        self._closed = True
        self._end()

    def _send(self) -> None:
        if self._in_flight is None and self._waiting is not None and not self._alone:
            if self._process is None and not self._start():
                return
            self._in_flight, self._waiting = self._waiting, None
            line = json.dumps(self._in_flight, separators=(",", ":")).encode() + b"\n"
            self._outgoing = memoryview(line)
            self._sent_at = time.monotonic()
        if self._outgoing:
            self._write()

    def _write(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            written = os.write(self._process.stdin.fileno(), self._outgoing)
        except BlockingIOError:
            return
        except OSError as error:
            self._replace(str(error))
            return
        self._outgoing = self._outgoing[written:]

    def _receive(self) -> DrawnChart | None:
        drawing = None
        while self._process is not None:
            assert self._process.stdout is not None
            try:
                data = os.read(self._process.stdout.fileno(), _CHUNK)
            except BlockingIOError:
                break
            except OSError as error:
                self._replace(str(error))
                break
            if not data:
                self._replace("it exited")
                break
            self._incoming += data
        while (end := self._incoming.find(b"\n")) >= 0:
            line = bytes(self._incoming[:end])
            del self._incoming[: end + 1]
            self._in_flight = None
            drawing = self._parse(line) or drawing
        return drawing

    def _parse(self, line: bytes) -> DrawnChart | None:
        try:
            reply = json.loads(line)
            if "rows" not in reply:
                return None
            return DrawnChart(reply["id"], reply["rows"], reply["cpu"])
        except (ValueError, KeyError, TypeError):
            return None

    def _start(self) -> bool:
        paths = [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                bufsize=0,
                start_new_session=True,
            )
        except OSError:
            self._alone = True
            return False
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        self._starts += 1
        return True

    def _replace(self, why: str) -> None:
        self._end()
        pending, self._in_flight = self._in_flight, None
        if self._starts >= 2:
            self.failed = f"The chart process failed twice: {why}."
            return
        self._waiting = self._waiting or pending

    def _end(self) -> None:
        process, self._process = self._process, None
        self._outgoing = memoryview(b"")
        self._incoming.clear()
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.terminate()
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _draw_alone(self) -> DrawnChart | None:
        spec, now = self._waiting, time.monotonic()
        if spec is None or now < self._next_alone:
            return None
        self._waiting = None
        self._next_alone = now + _IN_PROCESS_INTERVAL
        started = time.thread_time()
        try:
            # Imported only if there is no process: this takes 0.1 s and much memory.
            from slm_tui.tui.charts.plot_process import draw

            rows = draw(spec)
        except Exception as error:  # noqa: BLE001 - a chart must not crash the app
            self.failed = f"Charts cannot be drawn: {error}"
            return None
        return DrawnChart(spec["id"], rows, time.thread_time() - started)
