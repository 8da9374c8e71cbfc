"""The records of all runs, read again only if their files have changed."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slm_tui.errors import RunError
from slm_tui.runs import store
from slm_tui.runs.info import LIVE_STATES, RunInfo, stamp_of
from slm_tui.runs.store import Run


@dataclass(frozen=True)
class IndexedRun:
    """A run directory and its record; `error` says why it cannot be read."""

    path: Path
    info: RunInfo
    error: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it is being trained, in this process or another."""
        return self.info.state in LIVE_STATES


class RunIndex:
    """Scans the runs directory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: dict[Path, tuple[tuple[int, ...], IndexedRun]] = {}

    def read(self, extra: Iterable[Path] = ()) -> dict[Path, IndexedRun]:
        """Every run and those in `extra`; an unchanged run is the same object as before.

        The record of a live run is read each time: its process may have died without changing
        any file.
        """
        with self._lock:
            cache: dict[Path, tuple[tuple[int, ...], IndexedRun]] = {}
            for path in {*store.directories(), *extra}:
                stamp = stamp_of(path)
                before = self._cache.get(path)
                if before is not None and before[0] == stamp and not before[1].is_live:
                    cache[path] = before
                else:
                    cache[path] = (stamp, _read(path))
            self._cache = cache
            return {path: run for path, (_, run) in cache.items()}


def _read(path: Path) -> IndexedRun:
    try:
        return IndexedRun(path, Run(path).info())
    except RunError as error:
        return IndexedRun(path, RunInfo(name=path.name, state="damaged"), str(error))
