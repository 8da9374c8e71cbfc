"""`slm-tui train` in a process of a rank above 0: it says nothing unless something is wrong."""

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED
from slm_tui.errors import in_words

if TYPE_CHECKING:
    from slm_tui.training.ranks import Joined, Position

# A terminal and torchrun may both send the same signal.
_ONE_PRESS_SECONDS = 2.0
_LOOK_SECONDS = 0.2


def follow_run(position: "Position", *, ends_with_stdin: bool) -> int:
    """Follow rank 0 until the run ends; returns 0, or 1 if it ended with an error.

    A first signal makes rank 0 save and stop the run, a second one ends only this process.
    """
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    work = _Work(position)
    if ends_with_stdin:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), work.stop)
    # In a thread, so that signals reach this one while the other waits for its peers.
    work.start()
    while work.is_alive():
        work.join(_LOOK_SECONDS)
    if work.problem:
        _say(position, work.problem)
    _leave(int(bool(work.problem)))
    return 1


class _Work(threading.Thread):
    def __init__(self, position: "Position") -> None:
        super().__init__(name="training", daemon=True)
        self._position = position
        self._ranks: Joined | None = None
        self._first = 0.0
        self.problem = ""

    def run(self) -> None:
        from slm_tui.training import ranks
        from slm_tui.training.follower import follow

        try:
            self._ranks = ranks.join(self._position, ranks.torchrun_store())
            follow(self._ranks)
        except Exception as error:  # noqa: BLE001 - one line instead of a traceback
            self.problem = in_words(error)

    def stop(self, _number: int, _frame: Any) -> None:
        """Handle a signal."""
        now = time.monotonic()
        if self._ranks is None or (self._first and now - self._first > _ONE_PRESS_SECONDS):
            _leave(INTERRUPTED)
        self._first = self._first or now
        if self._ranks is not None:
            self._ranks.wants_stop = True


def _say(position: "Position", text: str) -> None:
    output.say_stderr(f"slm-tui, rank {position.rank}: {text}")


def _end_with_stdin() -> None:
    """End this process when the one that started it has ended."""
    # Not through `sys.stdin`, whose lock would be held at exit.
    while os.read(0, 64):
        pass
    _leave(1)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of torch that still wait for peers could abort an orderly exit.
    os._exit(code)
