"""From a path, a URL or a dataset name to a preset that reads it."""

import re
from pathlib import Path
from typing import Any

from slm_tui.config.data_files import ROWS, is_rows
from slm_tui.config.known_datasets import READY_MADE
from slm_tui.config.preset import Preset, parse
from slm_tui.errors import PresetError, SlmTuiError
from slm_tui.paths import check_name

# A name such as `texts/book.txt` that does not exist is a missing file, not a dataset of the hub.
_FILE_ENDINGS = (".txt", ".md", *ROWS, ".gz", ".bz2", ".xz", ".zst", ".toml")
_DATASET_MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_text(name: str) -> bool:
    """Whether `name` names a text rather than a preset: something that exists, a known dataset, a
    path, or a file name. Not a preset's file, even if its ending `.toml` is omitted."""
    try:
        if not name or name.endswith(".toml") or Path(f"{name}.toml").expanduser().exists():
            return False
        if "/" in name or "." in name or name.lower() in READY_MADE:
            return True
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def source_of(where: str) -> dict[str, Any]:
    """The `data` section that reads `where`: a file, a directory, a dataset or a URL.

    Raises:
        PresetError: there is no such text.
    """
    where = where.strip()
    if where.startswith(("http://", "https://")) or where.lower() in READY_MADE:
        return {"kind": "huggingface", "dataset": where}
    try:
        path = Path(where).expanduser()
        if where and path.is_dir():
            if _is_dataset(path):
                return {"kind": "huggingface", "dataset": where}
            # One unreadable file should not block the rest: skipped files are listed.
            return {"kind": "directory", "path": where, "on_encoding_error": "skip"}
        if where and path.exists():
            return {"kind": "file", "path": where}
    except (OSError, ValueError, RuntimeError):
        pass
    looks_like_file = where.lower().endswith(_FILE_ENDINGS)
    if _HUB_NAME.fullmatch(where) and not where.startswith(".") and not looks_like_file:
        return {"kind": "huggingface", "dataset": where}
    raise PresetError(
        f"there is no text at {where!r}",
        "no file, directory or dataset has that name",
        f"name one, or use a known dataset: {', '.join(READY_MADE)}",
    )


def _is_dataset(path: Path) -> bool:
    """Whether a directory holds a dataset rather than text files."""
    if any((path / mark).is_file() for mark in _DATASET_MARKS):
        return True
    names = [one.name.lower() for pattern in ("*", "*/*") for one in path.glob(pattern)]
    rows = any(map(is_rows, names))
    return rows and not any(name.endswith(".txt") for name in names)


def changes(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values of a preset, changed to read `where`; limits and splits of stories are dropped.

    Raises:
        PresetError: there is nothing at `where`.
    """
    section = source_of(where)
    data = values.get("data")
    before = data if isinstance(data, dict) else {}
    if before.get("kind", "stories") != "stories":
        limits = {name: before[name] for name in ("limit", "split") if name in before}
        section = {**limits, **section}
    return {**values, "data": section}


def reading(preset: Preset, where: str) -> Preset:
    """`preset`, changed to read `where`.

    Raises:
        PresetError: there is nothing at `where`.
    """
    return parse(changes(preset.to_dict(), where), f"{preset.name} with {where}")


def pointed(preset: Preset, where: str) -> Preset:
    """`preset`, changed to read `where` and named after it.

    Raises:
        PresetError: there is nothing at `where`.
    """
    stem = Path(where.rstrip("/")).stem or "text"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:40] or "text"
    try:
        check_name(name)
    except SlmTuiError:
        name = "text"
    values = {**changes(preset.to_dict(), where), "name": name, "title": "", "base": preset.name}
    return parse(values, f"{preset.name} with {where}")
