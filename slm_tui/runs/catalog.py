"""Runs by filter, and which are pinned."""

import json
from pathlib import Path

from slm_tui import paths, safe_files
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.runs import filter as filters
from slm_tui.runs.filter import Filterable
from slm_tui.runs.index import IndexedRun, RunIndex
from slm_tui.runs.store import Run

_MOST_BYTES = 1 << 20


def _pins_file() -> Path:
    return paths.data_dir() / "pinned.json"


def pinned() -> frozenset[str]:
    """The directory names of pinned runs; none if the file is missing or damaged."""
    try:
        values = safe_files.read_json(_pins_file(), _MOST_BYTES)
    except (OSError, ValueError):
        return frozenset()
    names = values if isinstance(values, list) else []
    return frozenset(one for one in names if isinstance(one, str))


def pin(run: Run, *, on: bool) -> None:
    """Pin a run to the top of lists, or unpin it.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    names = set(pinned())
    (names.add if on else names.discard)(run.id)
    safe_files.write_atomically(_pins_file(), json.dumps(sorted(names)))


def filterable(run: IndexedRun, pins: frozenset[str]) -> Filterable:
    """A run as the filter sees it."""
    return Filterable(run.info, run.path.name, lambda: preset_of(run.path), run.path.name in pins)


_presets: dict[tuple[Path, int], Preset | None] = {}


def preset_of(path: Path) -> Preset | None:
    """The preset of the run in `path`, read again only if it changed; `None` if damaged."""
    try:
        stamp = (path / "preset.toml").lstat().st_mtime_ns
    except OSError:
        stamp = 0
    key = (path, stamp)
    if key not in _presets:
        try:
            _presets[key] = Run(path).preset()
        except SlmTuiError:
            _presets[key] = None
    return _presets[key]


def matching(text: str) -> list[Run]:
    """The runs that match a filter: pinned ones first, then the newest.

    Raises:
        SlmTuiError: the filter cannot be understood.
    """
    wanted = filters.parse(text)
    pins = pinned()
    found = [one for one in RunIndex().read().values() if wanted.matches(filterable(one, pins))]
    found.sort(key=lambda one: (one.path.name not in pins, -one.info.created, one.path.name))
    return [Run(one.path) for one in found]
