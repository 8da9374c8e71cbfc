"""What is wrong with the path of a source before it is read."""

import difflib
from pathlib import Path
from typing import Literal

from slm_tui.config.problem import Problem

_ASKED_FOR = {"file": "a text file", "directory": "a directory with text"}


def path_problem(path: str, kind: Literal["file", "directory"]) -> Problem | None:
    """What is wrong with `path`, which should lead to a file or to a directory."""
    if not path:
        return Problem("data.path", f"name {_ASKED_FOR[kind]}; 5 then o looks for it")
    place = Path(path).expanduser()
    try:
        is_there = place.is_dir() if kind == "directory" else place.is_file()
    except OSError:
        is_there = False
    if is_there:
        return None
    if place.exists():
        odd = "directory" if place.is_dir() else "file"
        return Problem("data.path", f"it is a {odd}: set data.kind to {odd}")
    works = _text_near(place.parent, place.name)
    hint = f"; try {works}" if works else ": name one that is there"
    return Problem("data.path", f"no such {kind}{hint}", works)


def _text_near(directory: Path, name: str = "") -> str | None:
    """A text file of `directory` with a name like `name`."""
    try:
        names = sorted(one.name for one in directory.iterdir() if one.suffix in (".txt", ".md"))
    except OSError:
        return None
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.3) if name else names[:1]
    return str(directory / close[0]) if close else None
