"""Reads the queue for a screen, in a thread, once a second."""

from dataclasses import dataclass

from slm_tui.errors import SlmTuiError
from slm_tui.experiments import queue
from slm_tui.experiments.queue import QueuedRun
from slm_tui.live.periodic import Periodic


@dataclass(frozen=True)
class QueueState:
    """The queue, whether a process works on it, and why it cannot be read."""

    items: tuple[QueuedRun, ...] = ()
    has_worker: bool = False
    problem: str = ""

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return sum(not item.running for item in self.items)


EMPTY = QueueState()


def read() -> QueueState:
    """The queue as it is now."""
    try:
        return QueueState(queue.runs(), queue.has_worker())
    except SlmTuiError as error:
        return QueueState(problem=str(error))


class QueueWatcher:
    """Keeps `state` up to date in a thread while it is awake."""

    def __init__(self) -> None:
        self.state = EMPTY
        self._thread = Periodic("queue-watcher", self._read)

    def wake(self) -> None:
        """Read now, and keep reading."""
        self._thread.wake()

    def sleep(self) -> None:
        """Pause until `wake`."""
        self._thread.sleep()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.close()

    def _read(self) -> None:
        self.state = read()
