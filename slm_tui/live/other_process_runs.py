"""The runs that other processes are training."""

import os
import socket
from pathlib import Path

from slm_tui.live.periodic import Periodic
from slm_tui.runs.index import IndexedRun, RunIndex
from slm_tui.runs.store import Run

_SCAN_SECONDS = 0.7


class OtherProcessRuns:
    """Runs that other processes are training, newest first; a thread looks for them.

    `runs` is empty until the first look.
    """

    def __init__(self) -> None:
        self.runs: tuple[Run, ...] = ()
        self._index = RunIndex()
        self._extra: set[Path] = set()
        self._thread = Periodic("other-runs", self.look, _SCAN_SECONDS)

    def start(self) -> None:
        """Start looking, unless already started."""
        self._thread.start()

    def include(self, path: Path) -> None:
        """Include this run, which may be outside the runs directory."""
        self._extra.add(path)

    def close(self) -> None:
        """Stop looking."""
        self._thread.close()

    def look(self) -> None:
        """Look once."""
        elsewhere = [
            one for one in self._index.read(set(self._extra)).values() if _is_elsewhere(one)
        ]
        elsewhere.sort(key=lambda one: (one.info.created, one.path), reverse=True)
        runs = tuple(Run(one.path) for one in elsewhere)
        if runs != self.runs:
            self.runs = runs


def _is_elsewhere(run: IndexedRun) -> bool:
    """Whether another process is training it."""
    is_own = run.info.pid == os.getpid() and run.info.host == socket.gethostname()
    return run.is_live and not is_own
