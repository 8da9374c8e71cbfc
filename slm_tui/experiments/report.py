"""The comparison of runs: those of a started suite, or any."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import lesson as lessons
from slm_tui.experiments import ranking as rankings
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.association import Association, associations, differing
from slm_tui.experiments.plan import digest
from slm_tui.experiments.ranking import Ranking, seeds_needed, verdict
from slm_tui.experiments.started_suite import StartedSuite
from slm_tui.formatting import finite, runs_text
from slm_tui.runs.copied_samples import of_samples
from slm_tui.runs.curves import Curves
from slm_tui.runs.info import RunInfo
from slm_tui.runs.results import train_means
from slm_tui.runs.store import Run

# A true difference of this size should be found.
_USEFUL = 0.01
_MOST_ASSOCIATIONS = 12


@dataclass(frozen=True)
class ComparedRun:
    """A run in a comparison. `label` is its variation: runs that differ only in the seed share
    one."""

    run: Run
    info: RunInfo
    preset: Preset
    label: str
    seed: int

    @property
    def bits_per_byte(self) -> float:
        """The best validation bits per byte; the last if no best is known; NaN without any."""
        best = self.info.best_bpb if self.info.best_bpb is not None else self.info.val_bpb
        return math.nan if best is None else best


@dataclass(frozen=True)
class ReportRow:
    """A variation in the ranking. Bits per byte over seeds; means of the rest over seeds."""

    name: str
    seeds: int
    mean: float
    spread: float | None
    verdict: str
    parameters: float | None
    seconds: float | None
    tokens: float | None
    final_train: float | None
    final_val: float | None
    best_val: float | None
    # The share of what samples of the last step say that the training text says too, 0 to 1; only
    # known where a lesson asks for it.
    copied: float | None = None


@dataclass(frozen=True)
class RunsReport:
    """What a comparison found. `settings` has the values of each row where they differ."""

    title: str
    state: str
    runs: tuple[ComparedRun, ...]
    rows: tuple[ReportRow, ...]
    ranking: Ranking | None
    settings: dict[str, list[Any]] = field(default_factory=dict)
    associations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    lesson: tuple[tuple[str, str], ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {
            "title": self.title,
            "state": self.state,
            "reference": self.ranking.reference if self.ranking is not None else None,
            "comparisons": self.ranking.comparisons if self.ranking is not None else 0,
            "rows": [asdict(row) for row in self.rows],
            "settings": self.settings,
            "associations": list(self.associations),
            "notes": list(self.notes),
            "failures": [{"name": name, "error": error} for name, error in self.failures],
            "runs": [one.run.id for one in self.runs],
        }
        return dict(finite(values))


def of_suite(started: StartedSuite) -> RunsReport:
    """The comparison of a started suite, with what is there so far.

    Raises:
        SlmTuiError: its record is damaged.
    """
    suite = started.suite()
    entries = started.runs()
    runs, failures = [], []
    for entry in entries:
        name = entry.variation if len(entries) < 2 else f"{entry.variation} (seed {entry.seed})"
        if entry.state == "failed":
            failures.append((name, entry.error))
        if not entry.run:
            continue
        try:
            run = Run(paths.runs_dir() / entry.run)
            runs.append(ComparedRun(run, run.info(), entry.made(), entry.variation, entry.seed))
        except SlmTuiError as error:
            failures.append((name, str(error)))
    ended = sum(entry.state in started_suites.GOOD for entry in entries)
    state = f"{ended} of {runs_text(len(entries))} done"
    report = compared(runs, suite.title or suite.name, suite.reference, state, tuple(failures))
    if suite.lesson is None:
        return report
    copied = lessons.asks_for(suite.lesson, "copied")
    rows = tuple(_for_lesson(row, runs, copied=copied) for row in report.rows)
    report = replace(report, rows=rows)
    return replace(report, lesson=lessons.filled(suite.lesson, report))


def _for_lesson(row: ReportRow, runs: Sequence[ComparedRun], *, copied: bool) -> ReportRow:
    """The row with a steadier training loss than that of the last step: the mean since the
    evaluation before the last; and how much of its samples is copied, over its runs."""
    shares, losses = [], []
    for one in runs:
        if one.label != row.name:
            continue
        curves = Curves(one.run)
        curves.read()
        means = train_means(curves)
        losses.append(means[-1] if means else None)
        if copied:
            found = of_samples(str(one.info.facts.get("corpus", "")), curves.samples)
            shares.append(found.overlap.share if found is not None else None)
    return replace(row, copied=_mean(shares), final_train=_mean(losses) or row.final_train)


def of_runs(found: Sequence[Run], reference: str = "", *, skip_damaged: bool = False) -> RunsReport:
    """The comparison of any runs. Runs whose settings differ only in the seed are one variation.

    Args:
        reference: the variation that the others are compared with; empty: the best.
        skip_damaged: list runs that cannot be read as failures instead of raising.

    Raises:
        SlmTuiError: a run or its preset cannot be read, or no variation has that name.
    """
    read, failures = [], []
    for run in found:
        try:
            read.append((run, run.info(), run.preset()))
        except SlmTuiError as error:
            if not skip_damaged:
                raise
            failures.append((run.id, str(error)))
    labels = _labels(read)
    runs = [
        ComparedRun(run, info, preset, label, preset.training.seed)
        for (run, info, preset), label in zip(read, labels, strict=True)
    ]
    if reference and reference not in labels:
        names = ", ".join(dict.fromkeys(labels))
        raise SlmTuiError(f"no run is called {reference!r}", "", f"there are: {names}")
    return compared(runs, "Comparison", reference, runs_text(len(runs)), tuple(failures))


def _labels(runs: Sequence[tuple[Run, RunInfo, Preset]]) -> list[str]:
    """A name for each run's variation: equal for equal settings, different for others."""
    keys = [_without_seed(preset) for *_, preset in runs]
    names: dict[str, str] = {}
    for key, (run, info, _) in zip(keys, runs, strict=True):
        if key in names:
            continue
        name = info.variation or info.name or run.id
        names[key] = name if name not in names.values() else run.id
    return [names[key] for key in keys]


def _without_seed(preset: Preset) -> str:
    training = preset.training.model_copy(update={"seed": 0})
    return digest(preset.model_copy(update={"training": training}))


def compared(
    runs: Sequence[ComparedRun],
    title: str,
    reference: str,
    state: str,
    failures: tuple[tuple[str, str], ...],
) -> RunsReport:
    """The comparison of `runs`; `reference` is the label that the others are compared with."""
    bits: dict[str, dict[int, float]] = {}
    for one in runs:
        bits.setdefault(one.label, {})[_seed_key(one, bits)] = one.bits_per_byte
    ranking = rankings.rank(bits, reference)
    rows = _rows(runs, ranking) if ranking is not None else ()
    firsts = {one.label: one for one in reversed(runs)}
    order = [row.name for row in rows]
    settings = differing([firsts[name].preset for name in order]) if rows else {}
    pairs = [(one.preset, one.bits_per_byte) for one in runs if math.isfinite(one.bits_per_byte)]
    lines = tuple(map(_association_line, associations(pairs)[:_MOST_ASSOCIATIONS]))
    notes = _notes(runs, ranking)
    return RunsReport(title, state, tuple(runs), rows, ranking, settings, lines, notes, failures)


def _seed_key(one: ComparedRun, bits: dict[str, dict[int, float]]) -> int:
    """The seed; repeated runs of one seed count as further ones, which are not paired."""
    taken = bits.get(one.label, {})
    key = one.seed
    while key in taken:
        key = -1 - len(taken)
    return key


def _rows(runs: Sequence[ComparedRun], ranking: Ranking) -> tuple[ReportRow, ...]:
    rows = []
    for place in ranking.places:
        infos = [one.info for one in runs if one.label == place.name]
        rows.append(
            ReportRow(
                place.name,
                place.seeds,
                place.mean,
                place.spread,
                verdict(place, ranking),
                _mean([_number(info.facts.get("parameters")) for info in infos]),
                _mean([info.elapsed_seconds for info in infos]),
                _mean([float(info.tokens_seen) for info in infos]),
                _mean([info.last_train_loss for info in infos]),
                _mean([info.val_loss for info in infos]),
                _mean([info.best_loss for info in infos]),
            )
        )
    return tuple(rows)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _association_line(one: Association) -> str:
    """Such as `model.n_layer: 2 → 6: −0.1200 bits per byte (2 runs each; all else equal)`."""
    best, worst = one.best, one.worst
    runs = (
        f"{worst.runs} and {best.runs} runs"
        if worst.runs != best.runs
        else f"{runs_text(best.runs)} each"
    )
    how = "all else equal" if one.matched else "other settings differ too"
    return (
        f"{one.path}: {_value(worst.value)} → {_value(best.value)}: "
        f"{-one.change:+.4f} bits per byte ({runs}; {how})"
    )


def _value(value: Any) -> str:
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _notes(runs: Sequence[ComparedRun], ranking: Ranking | None) -> tuple[str, ...]:
    notes = []
    if len({_validation_text(one) for one in runs} - {None}) > 1:
        notes.append(
            "the runs were validated on different texts: part of a difference may be the text"
        )
    if len({one.info.tokens_seen for one in runs}) > 1:
        notes.append("the runs have trained on different amounts of text")
    if any(one.info.state in ("running", "paused", "preparing") for one in runs):
        notes.append("a run still trains: its figures are not final")
    spread = _largest_spread(ranking)
    if ranking is not None and spread is not None and len(ranking.places) > 1:
        best = ranking.places[0]
        needed = seeds_needed(_USEFUL * best.mean, spread, ranking.comparisons)
        if needed is not None and needed > best.seeds:
            notes.append(
                f"at this spread over seeds, detecting a difference of 1% takes {needed:,} seeds"
            )
    return tuple(notes)


def _largest_spread(ranking: Ranking | None) -> float | None:
    spreads = [
        place.test.spread
        for place in (ranking.places if ranking is not None else ())
        if place.test is not None
    ]
    return max(spreads, default=None)


def _validation_text(one: ComparedRun) -> tuple[Any, ...] | None:
    """What tells validation texts apart: their size in bytes and their floor."""
    facts = one.info.facts
    tokens, each = _number(facts.get("val_tokens")), _number(facts.get("val_bytes_per_token"))
    if tokens is None or each is None:
        return None
    floor = _number(facts.get("floor_bits_per_byte"))
    # Tokenizers may cut the last few bytes.
    return round(tokens * each, -2), round(floor, 3) if floor is not None else None
