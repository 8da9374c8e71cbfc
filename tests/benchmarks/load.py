"""How much of the machine other processes use during a measurement."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERTZ = os.sysconf("SC_CLK_TCK")


def _busy() -> float:
    """CPU seconds used by all processes of the machine."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / _HERTZ


def _own() -> float:
    """CPU seconds of this process, its live descendants, and the dead ones it waited for."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            # utime, stime, and the same of children that were waited for
            used[int(entry.name)] = sum(int(field) for field in fields[11:15]) / _HERTZ
    me = os.getpid()
    total = 0.0
    for process, seconds in used.items():
        ancestor = process
        while ancestor not in (me, 0, 1):
            ancestor = parents.get(ancestor, 0)
        total += seconds if ancestor == me else 0.0
    return total


class Load:
    """Cores used by other processes since creation; 0 if the system does not report it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._known = Path("/proc/stat").exists()
        self._before = _busy() - _own() if self._known else 0.0

    def foreign(self) -> float:
        if not self._known:
            return 0.0
        return max(0.0, _busy() - _own() - self._before) / (time.monotonic() - self._began)


def wait_until_quiet(patience: float, limit: float) -> None:
    """Wait at most `patience` seconds until other processes use less than `limit` cores for 2 s."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        load = Load()
        time.sleep(min(2.0, patience))
        if load.foreign() < limit:
            return


@contextmanager
def busy_processes(count: int) -> Iterator[int]:
    """`count` processes that each take all the time of a core that they get."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield count
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
