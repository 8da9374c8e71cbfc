"""What is wrong with a file of JSON lines, and a copy of it without what can be put right.

`datasets` refuses half of a surrogate pair, which other programs write, and names no line.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slm_tui.errors import CorpusError

# Escapes of U+D800 to U+DFFF; a pair of them is one character.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
_REPLACEMENT = rb"\ufffd"


def lone_surrogates(line: bytes) -> int:
    """How many escapes of half a pair a line has."""
    if b"\\ud" not in line.lower():
        return 0
    return sum(1 for match in _ESCAPE.finditer(line) if match.group(1))


def repaired(path: Path, directory: Path) -> Path:
    """`path`, or a copy in `directory` with U+FFFD for what is not UTF-8 and lone surrogates."""
    with path.open("rb") as file:
        if not any(map(_needs_repair, file)):
            return path
        file.seek(0)
        copy = directory / f"repaired{path.suffix}"
        with copy.open("wb") as out:
            out.writelines(_repaired(line) for line in file)
    return copy


def _needs_repair(line: bytes) -> bool:
    return bool(lone_surrogates(line)) or line.decode("utf-8", "replace").encode() != line


def _repaired(line: bytes) -> bytes:
    return _ESCAPE.sub(_without_lone, line.decode("utf-8", "replace").encode())


def _without_lone(match: "re.Match[bytes]") -> bytes:
    return _REPLACEMENT if match.group(1) else match.group()


def first_row(path: Path) -> dict[str, Any] | None:
    """The first line that is an object."""
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                return None if _wrong(line) else dict(json.loads(line, strict=False))
    return None


def only(path: Path, columns: Sequence[str], directory: Path) -> Path:
    """A copy in `directory` with these columns alone, present in every line."""
    copy = directory / f"only{path.suffix}"
    with path.open("rb") as file, copy.open("w", encoding="utf-8") as out:
        for line in file:
            if line.strip():
                row = json.loads(line, strict=False)
                out.write(json.dumps({name: row.get(name) for name in columns}) + "\n")
    return copy


def explained(path: Path) -> CorpusError | None:
    """The first line that cannot be read, and why; `None` if each can."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            why = _wrong(line) if line.strip() else ""
            if why:
                return CorpusError(
                    f"line {number:,} of {path} cannot be read",
                    why,
                    "correct it, or set data.format to how the file is laid out",
                )
    return None


def _wrong(line: bytes) -> str:
    try:
        # Control characters within a text are forgiven by `datasets`, too.
        value = json.loads(line, strict=False)
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: byte {error.start:,} is 0x{line[error.start]:02x}"
    except json.JSONDecodeError as error:
        what = error.msg.lower().removesuffix(" starting at")
        return f"it is not JSON: {what} at column {error.pos + 1:,}"
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    if not isinstance(value, dict):
        return f"it is a {type(value).__name__}, not an object with columns"
    if lone_surrogates(line):
        return (
            "it has half of a surrogate pair, which is no character; "
            "data.on_encoding_error=replace puts U+FFFD there"
        )
    return ""
