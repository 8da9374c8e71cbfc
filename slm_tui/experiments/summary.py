"""The results of a started suite: a table, a record and a picture, in its directory."""

import csv
import io
import json
import time
from dataclasses import dataclass
from typing import Any

from slm_tui import paths, safe_files
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.started_suite import StartedSuite, SuiteEntry
from slm_tui.formatting import finite
from slm_tui.runs import results as results_of_runs
from slm_tui.runs.info import RunInfo
from slm_tui.runs.results import settings_of
from slm_tui.runs.store import Run

TABLE, RECORD, PICTURE = (
    "experiment_comparison.csv",
    "batch_results.json",
    "experiment_comparison.png",
)
COLUMNS = (
    "Experiment",
    "Description",
    "Vocab Size",
    "Embedding Dim",
    "Layers",
    "Heads",
    "Parameters",
    "Training Time (s)",
    "Final Train Loss",
    "Final Val Loss",
    "Best Val Loss",
    "Data Subset",
    "Seed",
    "Final Val Bits per Byte",
    "Best Val Bits per Byte",
    "State",
    "Run",
)
_SECONDS_BETWEEN_PICTURES = 180.0


@dataclass(frozen=True)
class SuiteResult:
    """A run of a started suite, with its record if it has trained."""

    entry: SuiteEntry
    preset: Preset | None
    info: RunInfo | None
    note: str = ""

    @property
    def bits_per_byte(self) -> float | None:
        """The best validation bits per byte, or the last if no best was recorded."""
        if self.info is None:
            return None
        return self.info.best_bpb if self.info.best_bpb is not None else self.info.val_bpb


def results(started: StartedSuite) -> list[SuiteResult]:
    """All runs of a started suite in order.

    Raises:
        SlmTuiError: the record of the suite is damaged.
    """
    notes = {one.name: one.note for one in started.suite().variations}
    return [_result(entry, notes.get(entry.variation, "")) for entry in started.runs()]


def _result(entry: SuiteEntry, note: str) -> SuiteResult:
    preset: Preset | None = None
    info: RunInfo | None = None
    try:
        preset = entry.made()
    except SlmTuiError:
        preset = None
    if entry.run:
        try:
            info = Run(paths.runs_dir() / entry.run).info()
        except SlmTuiError:
            info = None
    return SuiteResult(entry, preset, info, note)


def write(started: StartedSuite) -> None:
    """Write the table and the record, and the picture if matplotlib is installed.

    Raises:
        SlmTuiError: the record of the suite is damaged.
        OSError: the disk is full or cannot be written.
    """
    rows = results(started)
    safe_files.write_atomically(started.path / TABLE, table(rows), parents=False)
    text = json.dumps(finite(_record(started, rows)), indent=1)
    safe_files.write_atomically(started.path / RECORD, text, parents=False)
    if _wants_picture(started, rows):
        from slm_tui.experiments.picture import overview
        from slm_tui.experiments.report import of_suite

        picture = overview(of_suite(started))
        safe_files.write_atomically(started.path / PICTURE, picture, parents=False)


def _wants_picture(started: StartedSuite, rows: list[SuiteResult]) -> bool:
    """Drawing takes seconds: once all have ended, and every few minutes before that."""
    if not results_of_runs.has_matplotlib() or not any(row.info for row in rows):
        return False
    if all(row.entry.state not in ("waiting", "running") for row in rows):
        return True
    try:
        return time.time() - (started.path / PICTURE).lstat().st_mtime > _SECONDS_BETWEEN_PICTURES
    except OSError:
        return time.time() - started.created > _SECONDS_BETWEEN_PICTURES


def table(rows: list[SuiteResult]) -> str:
    """The comparison as CSV with the columns of `COLUMNS`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(_cells(row))
    return out.getvalue()


def _cells(row: SuiteResult) -> dict[str, object]:
    info, entry = row.info, row.entry
    settings = settings_of(row.preset) if row.preset is not None else {}
    return {
        "Experiment": entry.variation,
        "Description": row.note or (row.preset.title if row.preset is not None else ""),
        "Vocab Size": _fact(info, "n_vocab") or settings.get("vocab_size"),
        "Embedding Dim": settings.get("n_embd"),
        "Layers": settings.get("n_layer"),
        "Heads": settings.get("n_head"),
        "Parameters": _fact(info, "parameters"),
        "Training Time (s)": None if info is None else round(info.elapsed_seconds, 2),
        "Final Train Loss": None if info is None else info.last_train_loss,
        "Final Val Loss": None if info is None else info.val_loss,
        "Best Val Loss": None if info is None else info.best_loss,
        "Data Subset": settings.get("dataset_subset"),
        "Seed": entry.seed,
        "Final Val Bits per Byte": None if info is None else info.val_bpb,
        "Best Val Bits per Byte": row.bits_per_byte,
        "State": entry.state,
        "Run": entry.run,
    }


def _fact(info: RunInfo | None, name: str) -> Any:
    return None if info is None else info.facts.get(name)


def _record(started: StartedSuite, rows: list[SuiteResult]) -> dict[str, Any]:
    good = [row for row in rows if row.entry.state in started_suites.GOOD]
    failed = [row for row in rows if row.entry.state == "failed"]
    return {
        "suite": started.id,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "total_experiments": len(rows),
        "successful_experiments": len(good),
        "failed_experiments": len(failed),
        "failed_experiment_names": [row.entry.variation for row in failed],
        "failures": {f"{row.entry.variation}@{row.entry.seed}": row.entry.error for row in failed},
        "experiment_results": [_stored(row) for row in good],
    }


def _stored(row: SuiteResult) -> dict[str, Any]:
    """The `results.json` of the run; what is known without it if it cannot be read."""
    place = {"variation": row.entry.variation, "seed": row.entry.seed, "run": row.entry.run}
    try:
        return place | results_of_runs.read(paths.runs_dir() / row.entry.run)
    except (OSError, ValueError):
        return place | _cells(row)
