"""Reading and writing files that may come from somebody else.

A run directory can be a copy that another person made. Whatever stands in the place of one of
its files, this module opens regular files only, follows no link, waits for no pipe and reads no
more than it was told to.
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
# How the name of a directory begins that is being made or removed.
MAKING = ".making-"
_OLD = 3600.0  # seconds
_CLOSE = getattr(os, "O_CLOEXEC", 0)
# Errors of a sync that say that this file system has none, and nothing about the data.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EISDIR, errno.ENOSYS}


class UnsafeFileError(OSError):
    """Something else than a regular file stands there, or more than can be read safely.

    `strerror` says what, in words for a user.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EINVAL, what, str(path))


def kind_of(status: os.stat_result) -> str:
    """What a file system entry is, in words: `a symbolic link`, `a pipe`, `a directory`…"""
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
    """Whether a regular file is there, and not a link to one."""
    return _has(path, stat.S_ISREG)


def is_directory(path: Path) -> bool:
    """Whether a directory is there, and not a link to one."""
    return _has(path, stat.S_ISDIR)


def _has(path: Path, test: Callable[[int], bool]) -> bool:
    try:
        return test(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def check_directory(path: Path) -> None:
    """Raise unless `path` is a directory and not a link to one.

    Raises:
        UnsafeFileError: something else is there.
        OSError: nothing is there.
    """
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeFileError(path, f"{path.name} is {kind_of(status)}, not a directory")


def _descriptor(path: str | Path, flags: int, mode: int = 0o666) -> int:
    """A file descriptor of a regular file.

    Raises:
        UnsafeFileError: something else is there.
        OSError: nothing is there, or it cannot be opened.
    """
    path = Path(path)
    try:
        # Opening a device may already do something: look before.
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
        UnsafeFileError: something else is there.
        OSError: nothing is there, or it cannot be read.
    """
    return open(_descriptor(path, os.O_RDONLY), "rb")


def open_to_append(path: Path) -> int:
    """The descriptor of a regular file, made if it is not there; every write goes to its end.

    The end may also be read. A new file gets the permissions that the umask leaves.

    Raises:
        UnsafeFileError: something else is there.
        OSError: the directory is not there or cannot be written.
    """
    return _descriptor(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def open_to_lock(path: Path) -> IO[bytes]:
    """A regular file for a lock on it, made if it is not there.

    Raises:
        UnsafeFileError: something else is there.
        OSError: the directory is not there or cannot be written.
    """
    return os.fdopen(_descriptor(path, os.O_RDWR | os.O_CREAT), "rb+")


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        UnsafeFileError: something else is there, or it is larger.
        OSError: nothing is there, or it cannot be read.
    """
    with open_to_read(path) as file:
        # As much memory as the file needs, and not as much as it might.
        data = bytearray()
        while len(data) <= most and (chunk := file.read(min(_CHUNK, most + 1 - len(data)))):
            data += chunk
    if len(data) > most:
        raise UnsafeFileError(path, f"{path.name} has more than {most:,} bytes")
    return bytes(data)


def read_text(path: Path, most: int) -> str:
    """The same as UTF-8 text.

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
    """The value of a JSON text. Half a surrogate pair, which is no character, becomes U+FFFD,
    unless `halves` says that it may stay.

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
        raise ValueError(f"{name} is not JSON ({error.msg} in line {error.lineno})") from None
    except ValueError:  # a number of thousands of digits
        raise ValueError(f"{name} holds a number that is too long") from None


def whole_characters(value: Any) -> Any:
    """Plain values, with U+FFFD for each half of a surrogate pair in their texts.

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
    """The whole lines of `file` from where it stands; longer ones than `longest` are left out.

    Stops after `most` bytes. The rest without a line end is not given.
    """
    rest, dropping, taken = b"", False, 0
    while taken < most and (data := file.read(min(chunk, most - taken))):
        taken += len(data)
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
    """Write `data` to `path` so that a reader sees the old file or the new one, never half.

    Whatever stands there, a link too, is replaced and not written through. `durable` waits for
    the disk, so that this also holds when the power fails. The new file has the permissions that
    the umask leaves. Without `parents` the directory must be there.

    Raises:
        OSError: the directory cannot be written or the disk is full; the old file stays.
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
    """A new directory in `parent` with a name of its own, and the permissions of the umask.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        path = parent / f"{prefix}{secrets.token_hex(4)}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def remove_directory(path: Path) -> None:
    """Delete a directory; what cannot be deleted now is out of the way. Never raises.

    It gets a hidden name first, which needs no open file: `sweep` deletes the rest later.
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
    """Wait until a regular file is on the disk.

    Raises:
        OSError: it cannot be opened, or the disk says that it failed.
    """
    handle = _descriptor(path, os.O_RDWR)
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync_directory(path: Path) -> None:
    """Wait until what was made, renamed or removed in `path` is on the disk.

    Raises:
        OSError: the disk says that it failed. File systems that sync no directories are fine.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _CLOSE)
    except PermissionError:
        return  # Windows opens no directories
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync(handle: int) -> None:
    """Wait until an open file is on the disk.

    Raises:
        OSError: the disk says that it failed.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
