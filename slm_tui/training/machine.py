"""What else goes on in this machine while something is measured: others' CPU use, memory."""

import os
import sys
import time
from pathlib import Path

import torch


class Load:
    """Cores that other processes use, from when it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _others()

    def foreign(self) -> float | None:
        """Cores used by others since then; `None` where the system does not tell."""
        now = _others()
        if now is None or self._before is None:
            return None
        return max(0.0, now - self._before) / max(1e-3, time.monotonic() - self._began)


def _others() -> float | None:
    """CPU seconds of the machine, less those of this process and of its ended children."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, irq, softirq = (int(field) for field in fields[:7])
        busy = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    own = os.times()
    return busy - own.user - own.system - own.children_user - own.children_system


def resident_bytes() -> int | None:
    """Memory of this process now; `None` where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return peak_bytes()


def peak_bytes() -> int | None:
    """The most memory that this process ever had; `None` where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes(device: torch.device) -> int | None:
    """Memory that can still be had on `device`; `None` where the system does not tell."""
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
