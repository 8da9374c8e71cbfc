"""Which files of a directory are its training, validation and test texts, from their names."""

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

PARTS = {"train": "training", "val": "validation", "test": "test"}
"""The parts of a corpus, and what they are called."""
_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
# Files about the texts, which may lie next to them.
_ABOUT = frozenset(
    {"readme", "license", "licence", "copying", "citation", "changelog", "authors", "notice"}
)
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_NAMED = 3
# An estimate does not wait for a directory with more files than this.
_MOST_LISTED = 5_000
_SAVED = "dataset_dict.json"


@dataclass(frozen=True)
class SplitFiles:
    """Files by part: names relative to the directory.

    `about` are files that are not texts, `others` texts that belong to no part; with any of these,
    the directory is no dataset with its own splits.
    """

    parts: dict[str, list[str]] = field(default_factory=dict)
    about: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def has_splits(self) -> bool:
        """Whether all texts belong to training, validation or test, and some are held out."""
        return not self.others and "train" in self.parts and len(self.parts) > 1

    @property
    def note(self) -> str:
        """How the files are used, for the user; empty if none is named like a split."""
        if not self.has_splits:
            if "train" not in self.parts or len(self.parts) < 2:
                return ""
            held_out = self.parts.get("val", self.parts.get("test", []))
            return (
                f"{held_out[0]} is used for training too: {self.others[0]} belongs to no split, "
                "so the directory is split by ratio"
            )
        used = [
            f"{PARTS[part]} {_listed(self.parts[part])}" for part in PARTS if part in self.parts
        ]
        left_out = f"; not read: {_listed(self.about)}" if self.about else ""
        return f"split by file name: {', '.join(used)}{left_out}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return " ".join(names[:_NAMED]) + more


def split_of(name: str) -> str:
    """The part that a file belongs to, or an empty string.

    Its name begins or ends with the word, as in `train.txt`, `wiki.valid.raw`, `stories-dev.txt`
    and `test-00000-of-00002.parquet`, or one of its directories is called by it.
    """
    path = PurePosixPath(name)
    words = [
        word
        for word in re.split(r"[^a-z0-9]+", _stem(path.name))
        if word and not word.isdigit() and word != "of"
    ]
    found = {_WORDS[word] for word in (*words[:1], *words[-1:]) if word in _WORDS}
    if len(found) == 1:
        return found.pop()
    if found:
        return ""
    inside = [_WORDS[one.lower()] for one in path.parts[:-1] if one.lower() in _WORDS]
    return inside[-1] if inside else ""


def sorted_by_split(names: Iterable[str]) -> SplitFiles:
    """Files by the part that their names give."""
    files = SplitFiles()
    for name in names:
        if part := split_of(name):
            files.parts.setdefault(part, []).append(name)
        elif _stem(PurePosixPath(name).name).split(".")[0] in _ABOUT:
            files.about.append(name)
        else:
            files.others.append(name)
    return files


def in_directory(path: str, is_text: Callable[[str], object]) -> SplitFiles:
    """The files below `path` for which `is_text` holds, by part; nothing if there are too many.

    For estimates and plans: links are not followed, and what cannot be read is ignored.
    """
    return sorted_by_split(name for name in _files_below(path) if is_text(name))


def saved_splits(path: str) -> dict[str, str]:
    """The names of the splits by part of a dataset that `datasets` saved to a directory."""
    try:
        with (Path(path).expanduser() / _SAVED).open(encoding="utf-8") as file:
            names = json.loads(file.read(1 << 16))["splits"]
        return {_WORDS[one]: one for one in names if one in _WORDS}
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return {}


def _stem(name: str) -> str:
    """A file name in lower case without its last suffix and that of a compression."""
    lower = name.lower()
    packed = next((one for one in _PACKED if lower.endswith(one)), "")
    return PurePosixPath(lower[: len(lower) - len(packed)]).stem


def _files_below(path: str) -> tuple[str, ...]:
    try:
        root = Path(path).expanduser()
        changed = root.stat().st_mtime_ns
    except (OSError, ValueError, RuntimeError):
        return ()
    return _walked(str(root), changed)


@lru_cache(maxsize=8)
def _walked(root: str, _changed: int) -> tuple[str, ...]:
    names: list[str] = []
    for directory, _, files in os.walk(root):
        for file in files:
            names.append(Path(directory, file).relative_to(root).as_posix())
            if len(names) > _MOST_LISTED:
                return ()
    return tuple(sorted(names))
