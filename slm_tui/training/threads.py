"""How many CPU threads training uses: a fixed number, or fewer while others compute.

The last digits of a sum depend on the number of threads, so a run is only repeatable with a fixed
number. With `training.adapt_threads` the number follows the load of the machine instead.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.parallel import cores
from slm_tui.training.cpu_load import OtherLoad
from slm_tui.training.ranks import ALONE, Ranks

_MOST = 16
# Operations on fewer numbers than this run in one thread anyway (ATen's grain size).
SMALL_WORK = 32_768
# Longer steps benefit from all cores, and measuring them would delay the run.
_LONG_SECONDS = 0.4
_MEASURE_SECONDS = 0.12
# Prefer fewer threads that are nearly as fast, to leave room for the screen.
_NEARLY = 0.97
_LOOK_SECONDS = 0.7
_BUSY_CORES = 0.5
_QUIET_CORES = 0.25
_CALM_LOOKS = 4

_sharing = 0
_sharing_lock = threading.Lock()


@contextmanager
def sharing() -> Iterator[None]:
    """Held by a thread of this process that computes in parallel with training."""
    global _sharing
    with _sharing_lock:
        _sharing += 1
    try:
        yield
    finally:
        with _sharing_lock:
            _sharing -= 1


def usual_count(work: float = SMALL_WORK, processes: int = 1) -> int:
    """The number of threads if none is requested: all cores, but one for little `work`.

    Args:
        work: numbers in the largest activations of a pass, as in sequences x tokens x width.
        processes: how many processes share the cores.
    """
    return min(max(1, cores() // processes), _MOST) if work >= SMALL_WORK else 1


# Parameters that a pass over one token reads for each number of its work.
_PARAMETERS_PER_WORK = 128


def work_of(model: torch.nn.Module) -> float:
    """The work of a pass over single tokens, for `usual_count`."""
    return sum(one.numel() for one in model.parameters()) / _PARAMETERS_PER_WORK


class Threads:
    """The thread count of the calling thread's torch.

    Args:
        count: the number of threads; 0 is `usual_count` of `work`.
        processes: how many processes share the cores of this machine.
        adapts: measure which number is fastest, and use fewer while others compute. Not with a
            fixed number.
    """

    def __init__(
        self,
        count: int,
        *,
        work: float = SMALL_WORK,
        adapts: bool = False,
        processes: int = 1,
    ) -> None:
        self.adapts = adapts and not count and cores() > 1
        usual = usual_count(work, processes)
        self._most = count or (min(cores(), _MOST) if self.adapts else usual)
        self._free = cores() - self._most
        self._load = OtherLoad()
        self._looked = time.monotonic()
        self._busy = self._calm = 0
        self.now = self._most
        torch.set_num_threads(self.now)

    @classmethod
    def of(cls, preset: Preset, device: torch.device, ranks: Ranks = ALONE) -> "Threads":
        """Those for training `preset`; the processes on a machine share its cores."""
        training = preset.training
        return cls(
            training.threads or int(device.type != "cpu"),
            work=training.micro_batch * preset.model.block_size * preset.model.width,
            # Measured with steps that the other ranks know nothing of.
            adapts=training.adapt_threads and ranks.count == 1,
            processes=ranks.local_count,
        )

    def measure(self, attempt: Callable[[], object]) -> None:
        """Keep the count with which `attempt`, a step without consequences, is fastest."""
        if not self.adapts:
            return
        times: dict[int, float] = {}
        for number in dict.fromkeys((self._most, self._most - 1, max(1, self._most // 2))):
            torch.set_num_threads(number)
            attempt()
            times[number] = _shortest(attempt)
            if times[number] > _LONG_SECONDS:
                break
        best = min(times.values())
        self._most = min(number for number, time in times.items() if best >= _NEARLY * time)
        self._free = cores() - self._most
        self._set(self._most)

    def look(self) -> bool:
        """Call this at every step: yields a core to other load, or takes it back. Returns
        whether the count changed."""
        now = time.monotonic()
        if not self.adapts or now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        load = self._load.look()
        others = (load or 0.0) + _sharing - self._free
        self._busy = self._busy + 1 if others > _BUSY_CORES else 0
        self._calm = self._calm + 1 if others < _QUIET_CORES else 0
        target = self.now
        if self._busy >= 2 or (_sharing and others > _BUSY_CORES):
            target = max(1, min(self.now, self._most - max(1, round(others))))
        elif self._calm >= _CALM_LOOKS and not _sharing:
            target = self._most
        if target == self.now:
            return False
        self._set(target)
        return True

    def _set(self, number: int) -> None:
        self.now = number
        self._busy = self._calm = 0
        torch.set_num_threads(number)


def _shortest(attempt: Callable[[], object]) -> float:
    """Shortest time of a few attempts: other load can only add to it."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - began < _MEASURE_SECONDS:
        start = time.perf_counter()
        attempt()
        times.append(time.perf_counter() - start)
        if times[-1] > _LONG_SECONDS:
            break
    return min(times)
