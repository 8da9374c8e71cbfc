"""Reads suites, their runs and the queue for the screens, in a thread, once a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_tui import paths
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.experiments import lesson as lessons
from slm_tui.experiments import queue_watcher, shelf
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.queue_watcher import EMPTY, QueueState
from slm_tui.experiments.report import RunsReport, of_suite
from slm_tui.experiments.started_suite import StartedSuite, SuiteEntry
from slm_tui.experiments.suite import Suite
from slm_tui.live.periodic import Periodic
from slm_tui.runs.info import RunInfo
from slm_tui.runs.store import Run


@dataclass(frozen=True)
class SuiteLine:
    """A suite in the list. `directory` holds its newest start, if it was started; `error` says why
    its file cannot be used."""

    name: str
    suite: Suite | None
    builtin: bool
    error: str = ""
    directory: Path | None = None
    total: int = 0
    ended: int = 0
    failed: int = 0
    queued: int = 0
    running: bool = False

    @property
    def state(self) -> str:
        """`new`, `done`, `running`, `waiting` or `stopped`."""
        if self.directory is None:
            return "new"
        if self.running:
            return "running"
        if self.queued:
            return "waiting"
        return "done" if self.ended + self.failed == self.total else "stopped"


@dataclass(frozen=True)
class SuiteRunLine:
    """A run of a suite: planned, or started."""

    entry: SuiteEntry
    name: str
    info: RunInfo | None = None

    @property
    def path(self) -> Path | None:
        return paths.runs_dir() / self.entry.run if self.entry.run else None


@dataclass(frozen=True)
class SuiteDetail:
    """The suite under the cursor: its runs, and its comparison once a run has a loss."""

    name: str
    runs: tuple[SuiteRunLine, ...] = ()
    report: RunsReport | None = None
    lesson: tuple[tuple[str, str], ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class ExperimentsSnapshot:
    """Everything read. `version` grows with every change; 0 is before the first read."""

    version: int = 0
    suites: tuple[SuiteLine, ...] = ()
    queue: QueueState = EMPTY
    detail: SuiteDetail | None = None


class SuiteWatcher:
    """Keeps `snapshot` up to date in a thread while it is awake."""

    def __init__(self) -> None:
        self.snapshot = ExperimentsSnapshot()
        self._wanted = ""
        self._reports: dict[Path, tuple[Any, RunsReport]] = {}
        self._thread = Periodic("suite-watcher", self.read)

    def look(self, name: str) -> None:
        """Also read the runs of the suite `name`."""
        if name != self._wanted:
            self._wanted = name
            self._thread.poke()

    def wake(self) -> None:
        """Read now, and keep reading."""
        self._thread.wake()

    def sleep(self) -> None:
        """Pause until `wake`."""
        self._thread.sleep()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.close()

    def read(self) -> None:
        """Read once. Called only by the thread, or if no thread was started."""
        queued = queue_watcher.read()
        suites = _suites(queued.items)
        wanted = next((one for one in suites if one.name == self._wanted), None)
        detail = self._detail(wanted) if wanted is not None else None
        old = self.snapshot
        values = suites, queued, detail
        if not old.version or values != (old.suites, old.queue, old.detail):
            self.snapshot = ExperimentsSnapshot(old.version + 1, *values)

    def _detail(self, line: SuiteLine) -> SuiteDetail:
        if line.directory is None or line.suite is None:
            lesson = line.suite.lesson if line.suite is not None else None
            before = (("Before", lesson.before),) if lesson is not None else ()
            return SuiteDetail(line.name, lesson=before, problem=line.error)
        started = StartedSuite(line.directory)
        try:
            entries = started.runs()
            runs = tuple(_run_line(entry, entries) for entry in entries)
            report = self._report(started, runs)
        except (SlmTuiError, OSError) as error:
            return SuiteDetail(line.name, problem=in_words(error))
        lesson = started.suite().lesson
        parts: tuple[tuple[str, str], ...] = ()
        if lesson is not None and report is not None:
            parts = lessons.shown(lesson, report, is_done=line.state == "done")
        return SuiteDetail(line.name, runs, report, parts)

    def _report(self, started: StartedSuite, runs: tuple[SuiteRunLine, ...]) -> RunsReport:
        """The comparison, made again only if a run has a new validation loss."""
        key = tuple(
            (one.entry.state, one.entry.run, one.info and (one.info.best_bpb, one.info.val_loss))
            for one in runs
        )
        known = self._reports.get(started.path)
        if known is not None and known[0] == key:
            return known[1]
        report = of_suite(started)
        self._reports = {started.path: (key, report)}
        return report


def _suites(queued: tuple[QueuedRun, ...]) -> tuple[SuiteLine, ...]:
    newest: dict[str, tuple[StartedSuite, Suite]] = {}
    for started in reversed(started_suites.all_started()):
        try:
            suite = started.suite()
            newest[suite.name] = started, suite
        except SlmTuiError:
            continue
    entries = shelf.entries()
    lines = [
        _suite_line(one.name, one.suite, one.builtin, one.error, newest.get(one.name), queued)
        for one in entries
    ]
    # Suites that were started from a file, or whose file is gone.
    names = {one.name for one in entries}
    for name, (started, suite) in newest.items():
        if name not in names:
            lines.insert(0, _suite_line(name, suite, False, "", (started, suite), queued))
    return tuple(lines)


def _suite_line(
    name: str,
    suite: Suite | None,
    builtin: bool,
    error: str,
    newest: tuple[StartedSuite, Suite] | None,
    queued: tuple[QueuedRun, ...],
) -> SuiteLine:
    if newest is None:
        return SuiteLine(name, suite, builtin, error)
    started = newest[0]
    try:
        runs = started.runs()
    except SlmTuiError as problem:
        return SuiteLine(name, suite, builtin, str(problem))
    mine = [item for item in queued if item.suite == started.id]
    return SuiteLine(
        name,
        suite or newest[1],
        builtin,
        error,
        started.path,
        len(runs),
        sum(run.state in started_suites.GOOD for run in runs),
        sum(run.state == "failed" for run in runs),
        len(mine),
        any(item.running for item in mine),
    )


def _run_line(entry: SuiteEntry, entries: tuple[SuiteEntry, ...]) -> SuiteRunLine:
    several = sum(one.variation == entry.variation for one in entries) > 1
    name = f"{entry.variation}  seed {entry.seed}" if several else entry.variation
    info = None
    if entry.run:
        try:
            info = Run(paths.runs_dir() / entry.run).info()
        except SlmTuiError:
            info = None
    return SuiteRunLine(entry, name, info)
