"""The first verdict on an ended run, as its results have it."""

import functools
from pathlib import Path

from slm_tui import safe_files
from slm_tui.text import one_line

_MOST_BYTES = 1 << 22


def headline(run: Path) -> str:
    """The first verdict in the `results.json` of a run, such as `▲ overfitting`; empty if the file
    does not exist yet, cannot be read, or has no verdict. An unchanged file is read once."""
    file = run / "results.json"
    try:
        return _first_verdict(file, file.stat().st_mtime_ns)
    except OSError:
        return ""


@functools.lru_cache(maxsize=4096)
def _first_verdict(file: Path, changed: int) -> str:
    try:
        first = safe_files.read_json(file, _MOST_BYTES)["diagnosis"][0]
        return one_line(f"{first['sign']} {first['verdict']}", 40).strip()
    except (OSError, ValueError, LookupError, TypeError):
        return ""
