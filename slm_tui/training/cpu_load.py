"""CPU use of other processes, and memory of this one and of devices."""

import os
import sys
import time
from pathlib import Path

import torch


class OtherLoad:
    """Cores kept busy by other processes, among those that this process may use."""

    def __init__(self) -> None:
        self._before = _others()

    def foreign(self) -> float | None:
        """Mean since creation or the last reset; `None` if the OS does not report it."""
        before, now = self._before, _others()
        if before is None or now is None:
            return None
        return max(0.0, now[1] - before[1]) / max(1e-3, now[0] - before[0])

    def look(self) -> float | None:
        """The same, then reset."""
        load = self.foreign()
        self._before = _others()
        return load


def _others() -> tuple[float, float] | None:
    """The time, and the CPU seconds of all but this process and its ended children."""
    try:
        mine = os.sched_getaffinity(0)
        busy = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in mine:
                user, nice, system, _, _, irq, softirq = (int(field) for field in fields[:7])
                busy += user + nice + system + irq + softirq
        seconds = busy / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    own = os.times()
    used = own.user + own.system + own.children_user + own.children_system
    return time.monotonic(), seconds - used


def resident_bytes() -> int | None:
    """Memory of this process now; `None` if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return peak_bytes()


def peak_bytes() -> int | None:
    """Peak memory of this process; `None` if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes(device: torch.device) -> int | None:
    """Free memory on `device`; `None` if the system does not report it."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
