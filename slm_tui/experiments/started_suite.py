"""A suite that was started: a directory with its runs and their outcomes."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from slm_tui import paths, records, safe_files
from slm_tui.config.preset import Preset, from_stored
from slm_tui.errors import RunError, SlmTuiError, cause_of, remedy_for
from slm_tui.experiments.file_lock import locked
from slm_tui.experiments.file_stamp import KeptFiles
from slm_tui.experiments.plan import Plan
from slm_tui.experiments.suite import Suite, parse
from slm_tui.records import Count, FileName, Moment, Name, Text
from slm_tui.versions import Format

FORMAT = Format("format")
RECORD = "suite.json"
_MOST_BYTES = 1 << 26
# `skipped`: a run with the same settings had been done before. `ended early`: it was among the
# worse runs of a search.
EntryState = Literal["waiting", "running", "done", "skipped", "ended early", "stopped", "failed"]
ENDED: frozenset[str] = frozenset({"done", "skipped", "ended early", "failed"})
GOOD: frozenset[str] = frozenset({"done", "skipped", "ended early"})


@dataclass(frozen=True)
class SuiteEntry:
    """A run of a started suite. `run` is the name of its directory once it has one."""

    variation: Name
    seed: Count
    digest: Name
    preset: dict[str, Any]
    state: EntryState = "waiting"
    run: FileName = ""
    error: Text = ""

    def made(self) -> Preset:
        """The preset.

        Raises:
            PresetError: it is damaged, or from a newer version.
        """
        return from_stored(self.preset, f"the preset of {self.variation}")


@dataclass(frozen=True)
class _Record:
    suite: dict[str, Any]
    created: Moment
    text: Name = ""
    again: Annotated[bool, Strict()] = False
    began: Moment = 0.0
    runs: Annotated[tuple[SuiteEntry, ...], Field(max_length=20_000)] = field(default_factory=tuple)


class StartedSuite:
    """The directory of a started suite."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StartedSuite) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        """The name of its directory, and the `group` of its runs."""
        return self.path.name

    def suite(self) -> Suite:
        """The suite as it was started.

        Raises:
            SlmTuiError: the record is damaged.
        """
        return parse(dict(self._read().suite), f"the suite in {self.path}")

    def runs(self) -> tuple[SuiteEntry, ...]:
        """All runs, in the order of the plan.

        Raises:
            RunError: the record is damaged.
        """
        return self._read().runs

    @property
    def created(self) -> float:
        """Seconds since the epoch; 0 if the record is damaged."""
        try:
            return self._read().created
        except RunError:
            return 0.0

    @property
    def again(self) -> bool:
        """Whether runs are repeated that were done before."""
        return self._read().again

    def began(self) -> float:
        """When its first run started, in seconds since the epoch; 0 if none has."""
        return self._read().began

    def set(self, index: int, **changes: Any) -> None:
        """Change the entry of run `index`.

        Raises:
            SlmTuiError: the record is damaged or cannot be written.
        """
        self._change(
            lambda runs: [
                replace(run, **changes) if number == index else run
                for number, run in enumerate(runs)
            ],
            starts=changes.get("state") == "running",
        )

    def _change(
        self, how: Callable[[Sequence[SuiteEntry]], Sequence[SuiteEntry]], *, starts: bool = False
    ) -> None:
        with locked(self.path / ".lock"):
            record = self._read()
            began = record.began or (time.time() if starts else 0.0)
            _write(self.path, replace(record, runs=tuple(how(record.runs)), began=began))

    def _read(self) -> _Record:
        try:
            return _records.read(self.path / RECORD, _parsed)
        except (OSError, ValueError, AttributeError) as error:
            raise RunError(
                f"the suite {self.id} cannot be read",
                cause_of(error),
                f"delete {self.path} to forget it; its runs stay",
            ) from None


def _parsed(path: Path) -> _Record:
    values = FORMAT.migrate(safe_files.read_json(path, _MOST_BYTES), RECORD)
    return records.record(_Record, values, RECORD)


_records: KeptFiles[_Record] = KeptFiles()


def create(plan: Plan, *, text: str = "", again: bool = False) -> StartedSuite:
    """Create the directory of a suite that starts now.

    Raises:
        RunError: the directory cannot be written.
    """
    root = paths.suites_dir()
    now = time.time()
    runs = tuple(
        SuiteEntry(run.variation, run.seed, run.digest, run.preset.to_stored()) for run in plan.runs
    )
    record = _Record(plan.suite.to_dict(), now, text[:255], again, 0.0, runs)
    try:
        root.mkdir(parents=True, exist_ok=True)
        path = _claimed(root, f"{plan.suite.name}-{datetime.fromtimestamp(now):%Y%m%d-%H%M%S}")
        _write(path, record)
    except OSError as error:
        raise RunError(
            f"cannot start the suite in {root}",
            cause_of(error),
            remedy_for(error, "set SLM_TUI_HOME to a writable directory"),
        ) from None
    return StartedSuite(path)


def _claimed(root: Path, name: str) -> Path:
    """A new directory with the first free name: two suites may start in the same second."""
    for number in range(1, 1000):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise OSError(f"{name} is taken")


def _write(path: Path, record: _Record) -> None:
    text = json.dumps(FORMAT.stamp(asdict(record)), indent=1)
    safe_files.write_atomically(path / RECORD, text, parents=False)


def all_started() -> list[StartedSuite]:
    """Every started suite, newest first, including damaged ones."""
    try:
        found = [
            StartedSuite(path) for path in paths.suites_dir().iterdir() if (path / RECORD).exists()
        ]
    except OSError:
        return []
    return sorted(found, key=lambda started: (started.created, started.id), reverse=True)


def find(name: str) -> StartedSuite:
    """The started suite with this directory name, or the newest one of the suite `name`.

    Raises:
        SlmTuiError: there is none.
    """
    everything = all_started()
    for started in everything:
        if started.id == name:
            return started
    for started in everything:
        if _suite_name(started) == name:
            return started
    raise SlmTuiError(
        f"the suite {name!r} has not been started", "", f"start it: slm-tui suite run {name}"
    )


def _suite_name(started: StartedSuite) -> str:
    try:
        return started.suite().name
    except SlmTuiError:
        return ""
