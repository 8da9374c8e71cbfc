"""A cache of values read from files, valid until the file changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
Stamp = tuple[int, ...]
_MOST_KEPT = 256


def stamp_of(path: Path) -> Stamp:
    """A value that changes whenever the file does; empty if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


class KeptFiles(Generic[T]):
    """What was read from each file. Thread-safe: entries are only replaced as a whole."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[Stamp, T]] = {}

    def read(self, path: Path, read: Callable[[Path], T]) -> T:
        """What `read(path)` returned when the file was as it is now. Errors are not kept."""
        stamp = stamp_of(path)
        kept = self._kept.get(path)
        if kept is not None and stamp and kept[0] == stamp:
            return kept[1]
        value = read(path)
        if len(self._kept) >= _MOST_KEPT:
            self._kept = {}
        self._kept[path] = stamp, value
        return value
