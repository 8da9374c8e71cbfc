"""Locks between processes that read, change and write the same file."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from slm_tui import safe_files
from slm_tui.errors import SlmTuiError, cause_of

_MOST_SECONDS = 10.0


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; wait while another process holds it.

    Raises:
        SlmTuiError: it cannot be written, or is held for too long.
    """
    late = time.monotonic() + _MOST_SECONDS
    while (handle := try_lock(path)) is None:
        if time.monotonic() > late:
            raise SlmTuiError(f"{path} is locked", "another process holds it", "try again")
        time.sleep(0.01)
    try:
        yield
    finally:
        handle.close()


def try_lock(path: Path, *, shared: bool = False) -> IO[bytes] | None:
    """An open handle that holds the lock file `path`, or `None` if another one has it.

    Several may hold a `shared` lock at the same time; no one else then gets the other kind.

    Raises:
        SlmTuiError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = safe_files.open_to_lock(path)
    except OSError as error:
        raise SlmTuiError(f"{path} cannot be written", cause_of(error)) from None
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return handle
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle
