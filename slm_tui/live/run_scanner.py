"""Reads runs for the Runs and Chat screens in a thread: only changes, once a second."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.live.periodic import Periodic
from slm_tui.runs import catalog
from slm_tui.runs.curves import Curves
from slm_tui.runs.headline import headline
from slm_tui.runs.index import IndexedRun, RunIndex
from slm_tui.runs.info import LIVE_STATES, RunInfo, evaluations
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint_dir

_INTERVAL_SECONDS = 1.0
_MOST_CURVES = 24


@dataclass(frozen=True)
class RunLine:
    """A run as shown in the table. `mark` selects its color and shape; `error` is why its
    files cannot be read. `number` tells runs of one name apart, from 2 on; `verdict` is the
    headline of its diagnosis, once it has ended."""

    path: Path
    info: RunInfo
    mark: int = 0
    error: str = ""
    is_pinned: bool = False
    number: int = 1
    verdict: str = ""

    @property
    def name(self) -> str:
        name = self.info.name or self.path.name
        return f"{name} #{self.number}" if self.number > 1 else name

    @property
    def is_live(self) -> bool:
        return self.info.state in LIVE_STATES


@dataclass(frozen=True)
class CheckpointLine:
    """A checkpoint. `loss` is the validation loss at its step, if it was evaluated."""

    path: Path
    step: int
    loss: float | None = None
    is_best: bool = False
    is_last: bool = False
    is_kept: bool = False
    label: str = ""


@dataclass(frozen=True)
class RunDetail:
    """Details of a run, read on request. Losses in nats per token."""

    checkpoints: tuple[CheckpointLine, ...] | None = None
    preset: Preset | None = None
    problem: str = ""
    step: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    loss: tuple[float, ...] = ()
    bits_per_byte: tuple[float, ...] = ()


@dataclass(frozen=True)
class RunsSnapshot:
    """Everything read. `version` grows with every change; 0 is before the first read.

    `has_presets`: the presets of all runs have been read, for a filter over settings.
    """

    version: int = 0
    lines: tuple[RunLine, ...] = ()
    details: dict[Path, RunDetail] = field(default_factory=dict)
    has_presets: bool = False


class RunScanner:
    """Keeps `snapshot` up to date in a thread while it is awake."""

    def __init__(self) -> None:
        self.snapshot = RunsSnapshot()
        self._index = RunIndex()
        self._cache: dict[Path, tuple[IndexedRun, RunLine]] = {}
        # Whether the filter needs the presets of all runs.
        self.reads_presets = False
        self._has_presets = False
        self._marks: dict[Path, int] = {}
        self._curves: dict[Path, Curves] = {}
        self._presets: dict[Path, tuple[Preset | None, str]] = {}
        self._requested: tuple[Path, ...] = ()
        self._wrote_results = False
        self._thread = Periodic("run-scanner", self._read_in_thread, _INTERVAL_SECONDS)

    def look(self, runs: Iterable[Path]) -> None:
        """Also read the details of these runs."""
        runs = tuple(dict.fromkeys(runs))
        if runs != self._requested:
            self._requested = runs
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

    def _read_in_thread(self) -> None:
        self.read()
        if not self._wrote_results:
            self._wrote_results = True
            _write_missing_results(self.snapshot.lines)

    def read(self) -> None:
        """Read once. Called only by the thread, or if no thread was started."""
        lines = self.lines()
        runs = self._requested
        # The table first: checkpoints may have to wait until torch is loaded.
        before = self.snapshot.details
        details = {path: before[path] for path in runs if path in before}
        self._publish(lines, details)
        here = {line.path for line in lines}
        self._publish(lines, {path: self._detail(path) for path in runs if path in here})

    def _publish(self, lines: tuple[RunLine, ...], details: dict[Path, RunDetail]) -> None:
        old = self.snapshot
        values = lines, details, self._has_presets
        if not old.version or values != (old.lines, old.details, old.has_presets):
            self.snapshot = RunsSnapshot(old.version + 1, *values)

    def lines(self) -> tuple[RunLine, ...]:
        """All runs, newest first; unchanged files are not read again."""
        runs = self._index.read()
        pins = catalog.pinned()
        fresh = [one for path, one in runs.items() if path not in self._marks]
        for run in sorted(fresh, key=lambda run: (run.info.created, run.path.name)):
            self._marks[run.path] = len(self._marks)
        cache: dict[Path, tuple[IndexedRun, RunLine]] = {}
        numbers = _numbers(runs.values())
        for path, run in runs.items():
            before = self._cache.get(path)
            # Results may be written a moment after the end.
            verdict = "" if run.is_live or run.error else headline(path)
            varying = (path.name in pins, numbers[path], verdict)
            # Unchanged lines stay the same objects, so that comparing snapshots is cheap.
            line = before[1] if before is not None else None
            same = line is not None and (line.is_pinned, line.number, line.verdict) == varying
            if before is not None and same and before[0] is run:
                cache[path] = before
            else:
                line = RunLine(path, run.info, self._marks[path], run.error, *varying)
                cache[path] = (run, line)
            if self.reads_presets:
                catalog.preset_of(path)
        self._cache = cache
        self._has_presets = self.reads_presets
        lines = [line for _, line in cache.values()]
        return tuple(sorted(lines, key=lambda line: (-line.info.created, line.path.name)))

    def _detail(self, path: Path) -> RunDetail:
        curves = self._curves.pop(path, None) or Curves(Run(path))
        # The dict keeps runs in the order of their last use, for eviction.
        self._curves[path] = curves
        while len(self._curves) > _MOST_CURVES:
            self._curves.pop(next(iter(self._curves)))
        curves.read()
        evaluations = curves.evaluations
        preset, wrong = self._preset(path)
        losses = dict(zip(evaluations.step, evaluations.loss, strict=True))
        try:
            saved = read_checkpoints(path, losses)
        except Exception as error:  # noqa: BLE001 - a broken torch, a lost disk
            saved, wrong = (), in_words(error)
        return RunDetail(
            saved,
            preset,
            wrong,
            tuple(evaluations.step),
            tuple(evaluations.tokens),
            tuple(evaluations.seconds),
            tuple(evaluations.loss),
            tuple(evaluations.bits_per_byte),
        )

    def _preset(self, path: Path) -> tuple[Preset | None, str]:
        if path not in self._presets:
            try:
                self._presets[path] = (Run(path).preset(), "")
            except SlmTuiError as error:
                return None, str(error)
        return self._presets[path]


def _numbers(runs: Iterable[IndexedRun]) -> dict[Path, int]:
    """The number of each run among those of its name, the oldest first."""
    numbers: dict[Path, int] = {}
    seen: Counter[str] = Counter()
    for run in sorted(runs, key=lambda run: (run.info.created, run.path.name)):
        seen[run.info.name] += 1
        numbers[run.path] = seen[run.info.name]
    return numbers


def _write_missing_results(lines: Iterable[RunLine]) -> None:
    """Write the summaries of runs whose process was killed before writing them."""
    from slm_tui.runs.results import catch_up

    catch_up(Run(line.path) for line in lines if not line.is_live and not line.error)


def read_checkpoints(
    path: Path, losses: Mapping[int, float] | None = None
) -> tuple[CheckpointLine, ...]:
    """The checkpoints of the run in `path`, newest first."""
    directory = Run(path).checkpoints
    best, last = (checkpoint_dir.linked(directory, name) for name in checkpoint_dir.LINKS)
    losses = losses or {}
    return tuple(
        CheckpointLine(
            one,
            checkpoint_dir.step_of(one),
            losses.get(checkpoint_dir.step_of(one)),
            one == best,
            one == last,
            checkpoint_dir.is_kept(one),
            checkpoint_dir.label_of(one),
        )
        for one in reversed(checkpoint_dir.all_in(directory))
    )


def evaluation_losses(path: Path) -> dict[int, float]:
    """Validation loss by step, from the log of evaluations."""
    return {one.step: one.loss for one in evaluations(path)}
