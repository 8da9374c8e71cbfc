"""Deleted presets, runs, checkpoints and conversations, and restoring them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slm_tui import paths
from slm_tui.config import library
from slm_tui.errors import RunError, SlmTuiError
from slm_tui.runs import checkpoints, conversation, store

Kind = Literal["preset", "run", "checkpoint", "conversation"]
_FOLDERS: dict[str, Kind] = {
    "presets": "preset",
    "runs": "run",
    "checkpoints": "checkpoint",
    "chats": "conversation",
}


@dataclass(frozen=True)
class Trashed:
    """An item in the trash; `when` is the time of deletion in seconds since the epoch."""

    kind: Kind
    name: str
    path: Path
    when: float


def entries() -> list[Trashed]:
    """Everything in the trash, newest deletion first."""
    return sorted(_entries(), key=lambda one: -one.when)


def _entries() -> Iterator[Trashed]:
    for folder, kind in _FOLDERS.items():
        for path in _inside(paths.trash_dir() / folder):
            try:
                # Moving a file changes its ctime but not its mtime.
                when = path.lstat().st_ctime
            except OSError:
                continue
            yield Trashed(kind, _name(kind, path), path, when)


def _name(kind: Kind, path: Path) -> str:
    if kind == "run":
        return path.name
    if kind == "checkpoint":
        return "@".join(path.name.split("@")[:2])
    return path.stem.rpartition("-")[0] or path.stem


def _inside(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def restore(one: Trashed) -> str:
    """Restore it; return its name.

    Raises:
        SlmTuiError: the name is taken, or the run of a conversation is gone.
        OSError: it cannot be moved.
    """
    if one.kind == "preset":
        return library.restore(one.path)
    if one.kind == "run":
        return store.restore(one.path).id
    if one.kind == "checkpoint":
        checkpoints.restore(one.path)
        return one.name
    run = paths.runs_dir() / one.name
    target = run / conversation.FILE
    if not run.is_dir():
        raise RunError(
            f"the run {one.name} of this conversation is gone", "", "restore the run first"
        )
    if target.exists() or target.is_symlink():
        raise SlmTuiError(
            f"{one.name} has another conversation",
            "",
            "clear that with `/history clear` in the chat",
        )
    shutil.move(one.path, target)
    return one.name
