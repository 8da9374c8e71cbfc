"""Small files that people write in an editor: presets, keys, prompts.

They may be links, and contain what editors add; an unreadable byte is named by its position.
"""

import codecs
import os
import stat
from pathlib import Path
from typing import Any

import tomli  # compiled: all presets are parsed at each start, three times as fast as by tomllib

MOST = 1 << 20
"""Maximum size of such a file in bytes."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read(path: Path, most: int = MOST) -> str:
    """The text of a file, without its byte order mark, which also identifies UTF-16.

    Raises:
        ValueError: it contains a byte that is not text, or is too large.
        OSError: it cannot be read.
    """
    # Do not block on a pipe without a writer; pipes of a shell are under /dev.
    waits = not str(path).startswith("/dev/")
    handle = os.open(path, os.O_RDONLY | (getattr(os, "O_NONBLOCK", 0) if waits else 0))
    with open(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(0, "it is a directory", str(path))
        if not stat.S_ISREG(mode) and not (stat.S_ISFIFO(mode) and not waits):
            raise ValueError("it is a device or a pipe, not a file")
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most:,} bytes: is it the right file?")
    return decoded(data)


def decoded(data: bytes) -> str:
    """Decode `data` to text.

    Raises:
        ValueError: a byte is not text; the message names it.
    """
    mark, codec = next(((m, c) for m, c in _MARKS if data.startswith(m)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(codec)
    except UnicodeDecodeError as error:
        at = len(mark) + error.start
        name = "UTF-16" if codec.startswith("utf-16") else "UTF-8"
        raise ValueError(
            f"byte {at:,} (line {_line(data, at)}) is 0x{data[at]:02x}, which is not {name}: "
            "save it as UTF-8"
        ) from None
    if "\0" in text:
        at = data.find(0)
        raise ValueError(f"byte {at:,} (line {_line(data, at)}) is NUL (0x00): remove it")
    return text


def _line(data: bytes, at: int) -> str:
    return f"{data.count(bytes([10]), 0, at) + 1:,}"


def toml(text: str) -> dict[str, Any]:
    """The values in a TOML text.

    Raises:
        ValueError: it is not TOML.
    """
    try:
        return tomli.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
