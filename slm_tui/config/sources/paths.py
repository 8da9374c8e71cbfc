"""Checks the path of a source before it is read."""

import difflib
from pathlib import Path
from typing import Literal

from slm_tui.config.problem import Problem

_REQUIRED = {"file": "a text file", "directory": "a directory with text"}


def path_problem(path: str, kind: Literal["file", "directory"]) -> Problem | None:
    """The problem with `path`, which should name a file or a directory; `None` if it is fine."""
    if not path:
        return Problem("data.path", f"name {_REQUIRED[kind]}, or press 5, then o to browse")
    place = Path(path).expanduser()
    try:
        is_there = place.is_dir() if kind == "directory" else place.is_file()
    except OSError:
        is_there = False
    if is_there:
        return None
    if place.exists():
        actual = "directory" if place.is_dir() else "file"
        return Problem("data.path", f"it is a {actual}: set data.kind to {actual}")
    works = _text_near(place.parent, place.name)
    hint = f"; try {works}" if works else ": name an existing one"
    return Problem("data.path", f"no such {kind}{hint}", works)


def _text_near(directory: Path, name: str = "") -> str | None:
    """A text file in `directory` with a name similar to `name`."""
    try:
        names = sorted(one.name for one in directory.iterdir() if one.suffix in (".txt", ".md"))
    except OSError:
        return None
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5) if name else names[:1]
    return str(directory / close[0]) if close else None
