"""The suites that can be started: built-in ones and the user's own."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from slm_tui import paths, safe_files
from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.experiments.file_stamp import KeptFiles
from slm_tui.experiments.suite import Suite, SuiteError, from_file

# The order of built-in suites in lists: the lessons first, in reading order.
_ORDER = (
    "week-1",
    "week-2",
    "week-3",
    "week-4",
    "quick",
    "vocab",
    "embedding",
    "architecture",
    "data",
    "learning-rate",
    "all",
    "shakespeare",
    "bytes",
)


@dataclass(frozen=True)
class ShelfEntry:
    """A suite that can be started; `suite` is `None` if its file has an `error`."""

    name: str
    path: Path
    builtin: bool
    suite: Suite | None
    error: str = ""


def entries() -> list[ShelfEntry]:
    """The user's suites, then the built-in ones."""
    mine = [_read(path, builtin=False) for path in _files(paths.user_suites_dir())]
    ours = [_read(path, builtin=True) for path in _files(paths.builtin_suites_dir())]
    return [*mine, *sorted(ours, key=lambda one: (_place(one.name), one.name))]


def get(name: str) -> Suite:
    """The suite called `name`, or in the file `name` if it ends in `.toml`.

    Raises:
        SuiteError: it does not exist or is not valid.
    """
    if name.endswith(".toml"):
        return from_file(Path(name).expanduser())
    entry = next((one for one in entries() if one.name == name), None)
    if entry is None:
        close = difflib.get_close_matches(name, [one.name for one in entries()], n=2, cutoff=0.5)
        remedy = f"did you mean {' or '.join(close)}?" if close else "see `slm-tui suite list`"
        raise SuiteError(f"there is no suite {name!r}", [], remedy)
    if entry.suite is None:
        raise SuiteError(f"suite {name!r} is not valid", [entry.error])
    return entry.suite


def save(suite: Suite, *, replace: bool = False) -> Path:
    """Write a user suite; return its file.

    Raises:
        SuiteError: a suite has that name already, or the directory is not writable.
    """
    if any(one.name == suite.name and one.builtin for one in entries()):
        raise SuiteError(f"{suite.name!r} is a built-in suite", [], "choose another name")
    path = paths.user_suites_dir() / f"{suite.name}.toml"
    if path.exists() and not replace:
        raise SuiteError(f"a suite {suite.name!r} already exists", [], "choose another name")
    try:
        safe_files.write_atomically(path, suite.to_toml())
    except OSError as error:
        raise SuiteError(f"{path} cannot be written", [cause_of(error)]) from None
    return path


def free_name(stem: str) -> str:
    """`stem`, or the first of `stem-2`, `stem-3`… that no suite has."""
    names = {one.name for one in entries()}
    name, number = stem, 2
    while name in names:
        name, number = f"{stem}-{number}", number + 1
    return name


_suites: KeptFiles[Suite] = KeptFiles()


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.glob("*.toml"))
    except OSError:
        return []


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _read(path: Path, *, builtin: bool) -> ShelfEntry:
    try:
        suite = _suites.read(path, from_file)
        if suite.name != path.stem:
            raise SuiteError(f"{path.name} has the name {suite.name!r}", [], "make them match")
    except SlmTuiError as error:
        return ShelfEntry(path.stem, path, builtin, None, str(error))
    return ShelfEntry(path.stem, path, builtin, suite)
