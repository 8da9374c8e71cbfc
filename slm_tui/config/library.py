"""The preset library: built-in presets and the user's own."""

import shutil
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from slm_tui import paths, safe_files
from slm_tui.config.preset import Preset, from_file, parse
from slm_tui.errors import PresetError, SlmTuiError, cause_of
from slm_tui.formatting import either

DEFAULT = "stories-tiny"
# The order of the groups of built-in presets in lists.
_GROUPS = [
    "stories",
    "educational",
    "shakespeare",
    "experiments",
    "from-scratch",
    "bytes",
    "simplified-slm",
    "race",
]
# Within a group, smaller comes first.
_SIZES = ["nano", "tiny", "small", "medium", "large", "xlarge", "gpt2"]
# The experiments in reading order: first the baseline that the others change.
_EXPERIMENTS = [
    "baseline",
    "vocab-small",
    "vocab-medium",
    "embd-small",
    "embd-large",
    "embd-xlarge",
    "arch-deep",
    "arch-wide",
    "data-small",
    "data-medium",
    "lr-high",
    "lr-low",
    "optimal-small",
    "optimal-fast",
    "mine",
]


@dataclass(frozen=True)
class LibraryEntry:
    """A preset in the library; `preset` is `None` if the file has an `error`."""

    name: str
    path: Path
    builtin: bool
    preset: Preset | None
    error: str = ""


def entries() -> list[LibraryEntry]:
    """The user's presets, then the built-in ones, group by group."""
    mine = [_read(path, builtin=False) for path in _files(paths.user_presets_dir())]
    return sorted(mine, key=lambda entry: entry.name) + list(_builtin())


def get(name: str) -> Preset:
    """The preset called `name`, or in the file `name` if it ends in `.toml`.

    Raises:
        PresetError: it does not exist or is not valid.
    """
    if name.endswith(".toml"):
        return from_file(Path(name).expanduser())
    entry = find(name)
    if entry is None:
        raise PresetError(f"there is no preset {name!r}", "", _did_you_mean(name))
    if entry.preset is None:
        raise PresetError(f"preset {name!r} is not valid", entry.error)
    return entry.preset


def find(name: str) -> LibraryEntry | None:
    """The entry called `name`, if it exists."""
    return next((entry for entry in entries() if entry.name == name), None)


def builtin(name: str) -> Preset | None:
    """The built-in preset called `name`, if it exists."""
    return next((entry.preset for entry in _builtin() if entry.name == name), None)


def save(preset: Preset, *, replace: bool = True) -> Path:
    """Write a user preset; return its file.

    Raises:
        PresetError: a built-in preset has that name, or the preset exists and `replace` is off,
            or the directory is not writable.
    """
    if builtin(preset.name) is not None:
        raise PresetError(
            f"{preset.name!r} is a built-in preset and cannot be changed",
            "",
            f"save it under another name, such as {free_name(preset.name)!r}",
        )
    path = paths.user_presets_dir() / f"{preset.name}.toml"
    if path.exists() and not replace:
        raise PresetError(f"a preset {preset.name!r} already exists", "", "choose another name")
    try:
        safe_files.write_atomically(path, preset.to_toml())
    except OSError as error:
        raise PresetError(f"{path} cannot be written", cause_of(error)) from None
    return path


def copy(name: str, new: str) -> Preset:
    """Save preset `name` as the user preset `new`.

    Raises:
        PresetError: `name` does not exist, or `new` is taken or not a valid name.
    """
    source = get(name)
    preset = parse({**source.to_dict(), "name": new, "group": "mine", "base": name}, repr(new))
    save(preset, replace=False)
    return preset


def entry_for(preset: Preset) -> LibraryEntry:
    """The preset that a run of `preset` came from: the one of that name, or its base.

    If neither exists any more, `preset` is saved as a user preset.

    Raises:
        PresetError: it cannot be saved.
    """
    for name in (preset.name, preset.base):
        entry = find(name) if name else None
        if entry is not None and entry.preset is not None:
            return entry
    name = free_name(preset.name) if find(preset.name) else preset.name
    save(parse({**preset.to_dict(), "name": name, "group": "mine", "base": ""}, repr(name)))
    entry = find(name)
    assert entry is not None
    return entry


def delete(name: str) -> Path:
    """Move a user preset to the trash; return its new path.

    Raises:
        PresetError: it is built in, or does not exist.
    """
    entry = find(name)
    if entry is None:
        raise PresetError(f"there is no preset {name!r}")
    if entry.builtin:
        raise PresetError(f"{name!r} is a built-in preset and cannot be deleted")
    target = paths.trash_dir() / "presets" / f"{name}-{time.time_ns()}.toml"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(entry.path, target)
    return target


def restore(trashed: Path) -> str:
    """Restore a deleted user preset; return its name.

    Raises:
        PresetError: a preset with that name has been created since.
    """
    name = trashed.stem.rsplit("-", 1)[0]
    target = paths.user_presets_dir() / f"{name}.toml"
    if target.exists():
        raise PresetError(f"a preset {name!r} already exists", "", "rename it first")
    if not trashed.is_file():
        raise PresetError(f"preset {name!r} is not in the trash")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(trashed, target)
    return name


def free_name(base: str) -> str:
    """A name like `my-base` that no preset has."""
    names = {entry.name for entry in entries()}
    stem = base if base.startswith("my-") else f"my-{base}"
    name, count = stem, 2
    while name in names:
        name, count = f"{stem}-{count}", count + 1
    return name


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.glob("*.toml"))
    except OSError:
        return []


def _builtin() -> tuple[LibraryEntry, ...]:
    return _shipped(paths.builtin_presets_dir())


@lru_cache(maxsize=2)
def _shipped(directory: Path) -> tuple[LibraryEntry, ...]:
    entries = [_read(path, builtin=True) for path in _files(directory)]
    return tuple(sorted(entries, key=_place))


def _place(entry: LibraryEntry) -> tuple[int, int, str]:
    group = entry.preset.group if entry.preset else ""
    place = _GROUPS.index(group) if group in _GROUPS else len(_GROUPS)
    if group == "experiments":
        rest = entry.name.removeprefix("experiments-")
        rank = _EXPERIMENTS.index(rest) if rest in _EXPERIMENTS else len(_EXPERIMENTS)
        return place, rank, entry.name
    size = entry.name.rsplit("-", 1)[-1]
    return place, _SIZES.index(size) if size in _SIZES else len(_SIZES), entry.name


def _read(path: Path, *, builtin: bool) -> LibraryEntry:
    try:
        preset = from_file(path)
        if preset.name != path.stem:
            raise PresetError(f"{path.name} has the name {preset.name!r}", "", "make them match")
    except SlmTuiError as error:
        return LibraryEntry(path.stem, path, builtin, None, str(error))
    return LibraryEntry(path.stem, path, builtin, preset)


def _did_you_mean(name: str) -> str:
    import difflib

    names = [entry.name for entry in entries()]
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    return f"did you mean {either(close)}?" if close else "`slm-tui presets list` lists them all"
