"""The queue of runs: a file that all processes share."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import Field, Strict

from slm_tui import paths, records, safe_files
from slm_tui.config.preset import Preset, from_stored
from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.experiments.file_lock import locked, try_lock
from slm_tui.experiments.file_stamp import KeptFiles, stamp_of
from slm_tui.records import Count, FileName, Moment, Name, Text
from slm_tui.versions import Format

FORMAT = Format("format")
_MOST_BYTES = 1 << 28
_LOCK_TRIES, _LOCK_SECONDS = 10, 0.03


@dataclass(frozen=True)
class QueuedRun:
    """A run that waits or trains. `suite` is the started suite that it belongs to, and `index`
    its place there; `run` its directory once it has one."""

    id: Count
    name: Name
    preset: dict[str, Any]
    added: Moment = 0.0
    suite: FileName = ""
    index: Count = 0
    seed: Count = 0
    running: Annotated[bool, Strict()] = False
    run: FileName = ""
    error: Text = ""

    def made(self) -> Preset:
        """The preset.

        Raises:
            PresetError: it is damaged, or from a newer version.
        """
        return from_stored(self.preset, f"the preset of {self.name}")


@dataclass(frozen=True)
class _File:
    next: Count = 1
    runs: Annotated[tuple[QueuedRun, ...], Field(max_length=100_000)] = field(default_factory=tuple)


def _path() -> Path:
    return paths.data_dir() / "queue.json"


def runs() -> tuple[QueuedRun, ...]:
    """All queued runs in order; those that train now are first.

    Raises:
        SlmTuiError: the file is damaged or cannot be read.
    """
    return _read().runs


def stamp() -> tuple[int, ...]:
    """A value that changes whenever the queue does."""
    return stamp_of(_path())


def add(items: Iterable[QueuedRun]) -> list[QueuedRun]:
    """Add runs at the end, with new ids.

    Raises:
        SlmTuiError: the file is damaged or cannot be written.
    """
    added: list[QueuedRun] = []

    def change(file: _File) -> _File:
        added.clear()
        for number, item in enumerate(items, file.next):
            added.append(replace(item, id=number, added=time.time(), running=False))
        return _File(file.next + len(added), (*file.runs, *added))

    _change(change)
    return added


def queued(preset: Preset, name: str = "") -> QueuedRun:
    """A run of `preset` to add to the queue."""
    return QueuedRun(0, name or preset.name, preset.to_stored(), seed=preset.training.seed)


def remove(ids: Iterable[int]) -> list[QueuedRun]:
    """Remove waiting runs; return them. Running ones stay.

    Raises:
        SlmTuiError: the file is damaged or cannot be written.
    """
    wanted = set(ids)
    gone: list[QueuedRun] = []

    def change(file: _File) -> _File:
        gone[:] = [item for item in file.runs if item.id in wanted and not item.running]
        return replace(file, runs=tuple(item for item in file.runs if item not in gone))

    _change(change)
    return gone


def move(number: int, by: int) -> None:
    """Move the waiting run `number` by this many places, at most to either end.

    Raises:
        SlmTuiError: there is no such run, it trains already, or the file cannot be written.
    """

    def change(file: _File) -> _File:
        started = [item for item in file.runs if item.running]
        waiting = [item for item in file.runs if not item.running]
        at = next((place for place, item in enumerate(waiting) if item.id == number), None)
        if at is None:
            is_running = any(item.id == number for item in started)
            raise SlmTuiError(
                f"run {number} of the queue cannot be moved",
                "it is training" if is_running else "the queue has no such run",
                "" if is_running else "`slm-tui queue list` shows the numbers",
            )
        item = waiting.pop(at)
        waiting.insert(max(0, at + by), item)
        return replace(file, runs=(*started, *waiting))

    _change(change)


def claim(fits: Callable[[QueuedRun], bool]) -> QueuedRun | None:
    """Mark the first waiting run that `fits` as running and return it.

    Raises:
        SlmTuiError: the file is damaged or cannot be written.
    """
    taken: list[QueuedRun] = []

    def change(file: _File) -> _File:
        taken.clear()
        rest = list(file.runs)
        for at, item in enumerate(rest):
            if not item.running and fits(item):
                taken.append(replace(item, running=True))
                del rest[at]
                first = sum(other.running for other in rest)
                rest.insert(first, taken[0])
                break
        return replace(file, runs=tuple(rest))

    if any(not item.running for item in runs()):
        _change(change)
    return taken[0] if taken else None


def update(number: int, **changes: Any) -> None:
    """Change the entry of run `number`, if it is still there."""
    _change(
        lambda file: replace(
            file,
            runs=tuple(
                replace(item, **changes) if item.id == number else item for item in file.runs
            ),
        )
    )


def finish(number: int) -> None:
    """Remove run `number`, which has ended."""
    _change(lambda file: replace(file, runs=tuple(one for one in file.runs if one.id != number)))


def recover() -> Sequence[QueuedRun]:
    """Put the runs of a worker that died back in front of the queue. Only for the worker."""
    _change(
        lambda file: replace(file, runs=tuple(replace(item, running=False) for item in file.runs))
    )
    return runs()


def take_worker_lock() -> IO[bytes] | None:
    """The lock of the worker, of which there is one; `None` if another process holds it.

    Raises:
        SlmTuiError: it cannot be written.
    """
    for _ in range(_LOCK_TRIES):
        handle = try_lock(_worker_lock())
        if handle is not None:
            return handle
        # `has_worker` of another process holds it for an instant.
        time.sleep(_LOCK_SECONDS)
    return None


def _worker_lock() -> Path:
    return paths.data_dir() / "queue-worker.lock"


def has_worker() -> bool:
    """Whether some process trains the runs of the queue."""
    handle = try_lock(_worker_lock(), shared=True)
    if handle is None:
        return True
    handle.close()
    return False


def ask_to_stop() -> bool:
    """Ask the process that trains the queue to save its runs and end; they continue with the queue.

    Returns:
        Whether there is such a process.

    Raises:
        SlmTuiError: the request cannot be written.
    """
    if not has_worker():
        return False
    try:
        safe_files.write_atomically(_stop_request(), "", durable=False)
    except OSError as error:
        raise SlmTuiError(f"{_stop_request()} cannot be written", cause_of(error)) from None
    return True


def take_stop_request() -> bool:
    """Whether the queue was asked to stop since the last call."""
    try:
        _stop_request().unlink()
    except OSError:
        return False
    return True


def _stop_request() -> Path:
    return paths.data_dir() / "queue.stop"


def _change(how: Callable[[_File], _File]) -> None:
    with locked(paths.data_dir() / "queue.lock"):
        before = _read()
        after = how(before)
        if after == before:
            return
        try:
            text = json.dumps(FORMAT.stamp(asdict(after)), indent=1)
            safe_files.write_atomically(_path(), text)
        except OSError as error:
            raise SlmTuiError(f"{_path()} cannot be written", cause_of(error)) from None


def _read() -> _File:
    path = _path()
    try:
        return _files.read(path, _parsed)
    except FileNotFoundError:
        return _File()
    except (OSError, ValueError, AttributeError) as error:
        raise SlmTuiError(
            "the queue cannot be read",
            cause_of(error),
            f"repair {path}, or delete it to empty the queue; no run is lost",
        ) from None


def _parsed(path: Path) -> _File:
    values = FORMAT.migrate(safe_files.read_json(path, _MOST_BYTES), path.name)
    return records.record(_File, values, path.name)


_files: KeptFiles[_File] = KeptFiles()
