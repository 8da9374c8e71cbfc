"""Prompts and completions of a run's checkpoints: `chat.jsonl` in its directory.

One JSON object per line, append-only. A continued completion is written again under its `id`: of
several lines with one id, the last counts.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from slm_tui import paths, safe_files
from slm_tui.errors import GenerationError, RunError

FILE = "chat.jsonl"
# Of a longer file, only this much of its end is read.
_MOST_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Exchange:
    """A prompt and the completion of a checkpoint.

    `time` is the end of generation in seconds since the epoch; `sampling` is the sampling section
    of a preset without prompts and seed; `invalid_bytes` counts bytes that were not UTF-8.
    """

    prompt: str
    text: str
    step: int
    seed: int
    ended: str
    sampling: dict[str, Any] = field(default_factory=dict)
    tokens: int = 0
    tokens_per_second: float = 0.0
    invalid_bytes: int = 0
    time: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def line(self) -> str:
        """As a line of JSON, in ASCII so that an incomplete character survives too."""
        return json.dumps(asdict(self)) + "\n"


def append(run: Path, exchange: Exchange) -> None:
    """Append one completion to the run's conversation, atomically.

    Several processes may append at once: each line is a single write at the end of the file.

    Raises:
        RunError: the directory is gone or cannot be written, or the disk is full.
    """
    try:
        file = safe_files.open_to_append(run / FILE)
        try:
            size = os.fstat(file).st_size
            os.lseek(file, max(0, size - 1), os.SEEK_SET)
            # Start a new line after one that a full disk truncated.
            torn = size and os.read(file, 1) != b"\n"
            data = ("\n" * bool(torn) + exchange.line()).encode()
            if os.write(file, data) != len(data):
                raise OSError("the disk is full")
        finally:
            os.close(file)
    except OSError as error:
        raise RunError(
            f"the conversation with {run.name} cannot be saved",
            f"{run / FILE}: {error.strerror or error}",
            "use /save FILE to save it elsewhere",
        ) from None


def read(run: Path) -> list[Exchange]:
    """The whole conversation, oldest first; torn and foreign lines are skipped."""
    try:
        with safe_files.open_to_read(run / FILE) as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - _MOST_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    exchanges: dict[str, Exchange] = {}
    for line in lines:
        exchange = _exchange_in(line)
        if exchange is not None:
            exchanges.pop(exchange.id, None)
            exchanges[exchange.id] = exchange
    return list(exchanges.values())


def _exchange_in(line: bytes) -> Exchange | None:
    try:
        # A completion may end within a character and be continued from there.
        values = safe_files.parse_json(line, halves=True)
    except ValueError:
        return None
    if not isinstance(values, Mapping):
        return None
    names = {one.name for one in fields(Exchange)}
    known_values = {name: value for name, value in values.items() if name in names}
    try:
        exchange = Exchange(**known_values)
    except TypeError:
        return None
    return exchange if _is_sound(exchange) else None


def _is_sound(exchange: Exchange) -> bool:
    """Whether all values have the right types: the file may have been edited."""
    texts = (exchange.prompt, exchange.text, exchange.ended, exchange.id)
    whole = (exchange.step, exchange.seed, exchange.tokens, exchange.invalid_bytes)
    real = (exchange.time, exchange.tokens_per_second)
    return (
        all(isinstance(one, str) for one in texts)
        and all(isinstance(one, int) and abs(one) < 2**63 for one in whole)
        and all(isinstance(one, int | float) and 0 <= one < 1e11 for one in real)
        and isinstance(exchange.sampling, dict)
    )


def clear(run: Path) -> Path:
    """Move the conversation to the trash; return its new path.

    Raises:
        RunError: there is no conversation, or it cannot be moved.
    """
    target = paths.trash_dir() / "chats" / f"{run.name}-{time.time_ns()}.jsonl"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(run / FILE, target)
    except FileNotFoundError:
        raise RunError(f"there is no saved conversation with {run.name}") from None
    except OSError as error:
        raise RunError(f"{run / FILE} cannot be moved", str(error.strerror or error)) from None
    return target


def save_text(name: str, text: str) -> Path:
    """Write the conversation to a file that must not exist yet; return its path.

    Raises:
        GenerationError: the file exists or cannot be written.
    """
    path = Path(name).expanduser().absolute()
    if path.is_dir():
        raise GenerationError(f"{path} is a directory", "", f"try /save {name}/chat.txt")
    if path.exists():
        raise GenerationError(f"{path} already exists", "", "choose another name")
    if not path.parent.is_dir():
        raise GenerationError(f"{path.parent} does not exist", "", "choose an existing directory")
    try:
        safe_files.write_atomically(path, text.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        raise GenerationError(
            f"{path} cannot be written", str(error), "choose another file"
        ) from None
    return path
