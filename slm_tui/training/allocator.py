"""Makes the C allocator keep large blocks. Must run before torch, so it does not import it."""

import contextlib
import ctypes
import platform


def keep_big_blocks() -> bool:
    """Make the C allocator keep large blocks instead of returning them at every step.

    With glibc's defaults the large tensors of a large vocabulary are unmapped and faulted in
    again at every step. Must run before the first thread allocates: one arena serves all.
    Returns whether it took effect; without glibc it does nothing.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    largest = 2**31 - 1
    worked = mallopt(mmap_threshold, largest) or mallopt(mmap_threshold, 32 * 2**20)
    return bool(worked and mallopt(trim_threshold, largest) and mallopt(arena_max, 1))


def give_back_free_blocks() -> None:
    """Return freed memory to the system instead of keeping it in `malloc`.

    Needed after running out of memory: code that maps memory itself, such as oneDNN, cannot use
    what `malloc` keeps.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
