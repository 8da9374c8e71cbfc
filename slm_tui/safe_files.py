"""Safe reading and writing of files that may come from somebody else.

A run directory can be a copy that another person made. This module opens only regular files,
follows no links, does not block on pipes, and reads no more than a given number of bytes.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)
_CHUNK = 1 << 16
# Name prefix of directories that are being created or removed.
MAKING = ".making-"
_OLD = 3600.0  # seconds
_CLOSE = getattr(os, "O_CLOEXEC", 0)
# Errors that mean that the file system does not support sync; the data is not affected.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EISDIR, errno.ENOSYS}


class UnsafeFileError(OSError):
    """The path is not a regular file, or the file is too large to read safely.

    `strerror` holds the reason, worded for a user.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EINVAL, what, str(path))


def kind_of(status: os.stat_result) -> str:
    """What a file system entry is: `a symbolic link`, `a pipe`, `a directory`…"""
    kinds = (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((words for test, words in kinds if test(status.st_mode)), "a special file")


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file and not a link to one."""
    return _has(path, stat.S_ISREG)


def is_directory(path: Path) -> bool:
    """Whether `path` is a directory and not a link to one."""
    return _has(path, stat.S_ISDIR)


def _has(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        return test(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def check_directory(path: Path) -> None:
    """Raise unless `path` is a directory and not a link to one.

    Raises:
        UnsafeFileError: it is something else.
        OSError: it does not exist.
    """
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeFileError(path, f"{path.name} is {kind_of(status)}, not a directory")


def _descriptor(path: str | Path, flags: int, mode: int = 0o666) -> int:
    """A file descriptor of a regular file.

    Raises:
        UnsafeFileError: it is not a regular file.
        OSError: it does not exist or cannot be opened.
    """
    path = Path(path)
    try:
        # Opening a device can have side effects: check first.
        _check_regular(path, os.lstat(path))
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    try:
        handle = os.open(path, flags | _NO_LINKS | _NO_WAITING | _CLOSE, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFileError(path, f"{path.name} is a symbolic link, not a file") from None
        raise
    try:
        _check_regular(path, os.fstat(handle))
        if _NO_WAITING:
            os.set_blocking(handle, True)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFileError(path, f"{path.name} is {kind_of(status)}, not a file")


def open_to_read(path: Path) -> BufferedReader:
    """A regular file, open for reading bytes.

    Raises:
        UnsafeFileError: it is not a regular file.
        OSError: it does not exist or cannot be read.
    """
    return open(_descriptor(path, os.O_RDONLY), "rb")


def open_to_append(path: Path) -> int:
    """The descriptor of a regular file, created if missing; every write goes to its end.

    The file can also be read. A new file gets the permissions that the umask allows.

    Raises:
        UnsafeFileError: it is not a regular file.
        OSError: the directory does not exist or is not writable.
    """
    return _descriptor(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def open_to_lock(path: Path) -> IO[bytes]:
    """A regular file to lock, created if missing.

    Raises:
        UnsafeFileError: it is not a regular file.
        OSError: the directory does not exist or is not writable.
    """
    return os.fdopen(_descriptor(path, os.O_RDWR | os.O_CREAT), "rb+")


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        UnsafeFileError: it is not a regular file, or it is larger.
        OSError: it does not exist or cannot be read.
    """
    with open_to_read(path) as file:
        # In chunks: allocates only as much memory as the file needs.
        data = bytearray()
        while len(data) <= most and (chunk := file.read(min(_CHUNK, most + 1 - len(data)))):
            data += chunk
    if len(data) > most:
        raise UnsafeFileError(path, f"{path.name} has more than {most:,} bytes")
    return bytes(data)


def read_text(path: Path, most: int) -> str:
    """The content of a regular file as UTF-8 text.

    Raises:
        ValueError: it is not UTF-8.
        UnsafeFileError, OSError: as for `read_bytes`.
    """
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 (byte {error.start:,})") from None


def read_json(path: Path, most: int) -> Any:
    """The value in a JSON file.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
        UnsafeFileError, OSError: as for `read_bytes`.
    """
    return parse_json(read_text(path, most), path.name)


def parse_json(text: str | bytes, name: str = "it", *, halves: bool = False) -> Any:
    """The value of a JSON text. Half a surrogate pair, which is not a character, becomes U+FFFD
    unless `halves` is true.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        values = json.loads(text)
        return values if halves else whole_characters(values)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise ValueError(f"{name} is empty") from None
        raise ValueError(f"{name} is not JSON ({error.msg} on line {error.lineno})") from None
    except ValueError:  # a number of thousands of digits
        raise ValueError(f"{name} contains a number that is too long") from None


def whole_characters(value: Any) -> Any:
    """Plain values, with each half of a surrogate pair in strings replaced by U+FFFD.

    Raises:
        RecursionError: they are nested too deeply.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace_half").decode("utf-8")
    if isinstance(value, list):
        return [whole_characters(one) for one in value]
    if isinstance(value, dict):
        return {whole_characters(name): whole_characters(one) for name, one in value.items()}
    return value


def _replace_half(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "\ufffd".encode() * (error.end - error.start), error.end


def _register() -> None:
    import codecs

    codecs.register_error("replace_half", _replace_half)


_register()


def lines_of(file: BinaryIO, longest: int, most: int, chunk: int = 1 << 20) -> Iterator[bytes]:
    """The complete lines of `file` from its current position; lines over `longest` are skipped.

    Stops after `most` bytes. A last line without a line break is not returned.
    """
    rest, dropping, total = b"", False, 0
    while total < most and (data := file.read(min(chunk, most - total))):
        total += len(data)
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            if dropping:
                dropping = False
            elif len(line) <= longest:
                yield line
        if len(rest) > longest:
            rest, dropping = b"", True


# Writing


def write_atomically(
    path: Path, data: bytes | str, *, durable: bool = True, parents: bool = True
) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never part of one.

    An existing entry, even a link, is replaced, not written through. `durable` syncs to disk, so
    that this also holds after a power failure. The new file has the permissions that the umask
    allows. Without `parents` the directory must exist.

    Raises:
        OSError: the directory is not writable or the disk is full; the old file stays.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS | _CLOSE
    handle = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def make_directory(parent: Path, prefix: str) -> Path:
    """Create a directory with a unique name in `parent`, with the permissions of the umask.

    Raises:
        OSError: it cannot be created.
    """
    while True:
        path = parent / f"{prefix}{secrets.token_hex(4)}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def remove_directory(path: Path) -> None:
    """Delete a directory; what cannot be deleted now is hidden. Never raises.

    It is renamed to a hidden name first, which works without a free file descriptor: `sweep`
    deletes the rest later.
    """
    hidden = path.with_name(f"{MAKING}{secrets.token_hex(4)}")
    try:
        os.rename(path, hidden)
    except OSError:
        hidden = path
    shutil.rmtree(hidden, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Delete the temporary directories that a process left behind over an hour ago."""
    for left in parent.glob(f"{MAKING}*"):
        with contextlib.suppress(OSError):
            if time.time() - os.lstat(left).st_mtime > _OLD and is_directory(left):
                shutil.rmtree(left, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Wait until a regular file is on disk.

    Raises:
        OSError: it cannot be opened, or the disk reports a failure.
    """
    handle = _descriptor(path, os.O_RDWR)
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync_directory(path: Path) -> None:
    """Wait until entries created, renamed or removed in `path` are on disk.

    Raises:
        OSError: the disk reports a failure. File systems that cannot sync directories are fine.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _CLOSE)
    except PermissionError:
        return  # Windows cannot open directories
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync(handle: int) -> None:
    """Wait until an open file is on disk.

    Raises:
        OSError: the disk reports a failure.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
