"""The settings of an evaluation, and the files for its reports.

`evaluation_results.json` holds the reports of a run, one for each set of checkpoints and
settings, newest last; `generations.txt` holds the completions of the newest, and
`experiment_summary.json` its results beside the run's preset.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from slm_tui import safe_files
from slm_tui.errors import CheckpointError, RunError, SlmTuiError, cause_of, remedy_for
from slm_tui.runs.info import is_run, run_of
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint_dir

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
RESULTS, GENERATIONS = "evaluation_results.json", "generations.txt"
SUMMARY = "experiment_summary.json"
FORMAT = 1
_MOST_BYTES = 2**26
_writing = threading.Lock()
PARTS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings. `text` names a text to score instead of a split of the first checkpoint's
    corpus; `documents` limits their number; `stride` is in tokens, `context_bytes` in bytes."""

    split: Split = "validation"
    text: str = ""
    documents: int | None = None
    context_bytes: int | None = None
    stride: int | None = None
    samples: int = 10
    max_tokens: int = 100
    device: str = "cpu"

    def check(self) -> None:
        """Raise `SlmTuiError` if a number is out of range."""
        for name, least in (("documents", 1), ("context_bytes", 2), ("stride", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                word = name.replace("_", "-")
                raise SlmTuiError(f"{word} cannot be {value}", f"it must be at least {least}")
        if self.samples < 0 or self.max_tokens < 1:
            raise SlmTuiError("need at least 0 samples, of at least 1 token")


def digest_of(checkpoint: Path) -> str:
    """A fingerprint of a checkpoint's weights and tokenizer; does not need torch.

    Raises:
        CheckpointError: the manifest cannot be read.
    """
    sums = checkpoint_dir.read_manifest(checkpoint).sha256
    return f"{sums['model.safetensors'][:24]}{sums['tokenizer.json'][:8]}"


def key_of(digests: Sequence[str], settings: EvaluationSettings) -> str:
    """The key of a report among those of the same run."""
    values = {name: value for name, value in asdict(settings).items() if name != "device"}
    return json.dumps([list(digests), values], sort_keys=True)


def saved_report(
    checkpoints: Sequence[Path], settings: EvaluationSettings
) -> dict[str, Any] | None:
    """The report for these checkpoints and settings, if the first one's run has it."""
    try:
        unique = dict.fromkeys(path.resolve() for path in checkpoints)
        key = key_of([digest_of(path) for path in unique], settings)
    except (OSError, CheckpointError):
        return None
    run = run_of(checkpoints[0].resolve())
    matching = [one for one in (read(run) if run else []) if one.get("key") == key]
    return matching[-1] if matching else None


def read(directory: Path) -> list[dict[str, Any]]:
    """The reports in `directory`; empty if there is no readable file."""
    return _read(directory) or []


def _read(directory: Path) -> list[dict[str, Any]] | None:
    """The reports; `None` if the file exists but cannot be parsed."""
    try:
        values = safe_files.read_json(directory / RESULTS, _MOST_BYTES)
        if values["format"] == FORMAT:
            return [one for one in values["evaluations"] if isinstance(one, dict)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def write(report: dict[str, Any], directory: Path, generations: str = "") -> None:
    """Add `report` to the results in `directory`; replace one with the same key.

    Raises:
        RunError: the directory cannot be written.
    """
    try:
        with _alone(directory):
            before = _read(directory)
            if before is None:
                _set_aside(directory / RESULTS)
            others = [one for one in before or [] if one.get("key") != report["key"]]
            values = {"format": FORMAT, "evaluations": [*others, report]}
            text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
            safe_files.write_atomically(directory / RESULTS, text.encode("utf-8", "replace"))
            if generations:
                data = generations.encode("utf-8", "replace")
                safe_files.write_atomically(directory / GENERATIONS, data)
            if is_run(directory):
                summary = json.dumps(_summary(report, Run(directory)), indent=1, allow_nan=False)
                safe_files.write_atomically(directory / SUMMARY, summary)
    except OSError as error:
        raise RunError(
            f"the results cannot be written to {directory}",
            cause_of(error),
            remedy_for(error, "choose another directory with --output"),
        ) from None


def _summary(report: dict[str, Any], run: Run) -> dict[str, Any]:
    """The newest report of a run beside what was trained, in one file."""
    config: dict[str, Any] = {}
    with suppress(SlmTuiError):
        config = run.preset().to_dict()
    return {
        "experiment": run.id,
        "timestamp": report.get("timestamp"),
        "config": config,
        "results": report,
    }


def _set_aside(path: Path) -> None:
    """Rename a file that cannot be parsed instead of overwriting it."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")):
        number += 1
    os.rename(path, aside)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One writer at a time across all processes, so that no report is lost.

    Raises:
        OSError: the directory cannot be created or read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _writing:
        try:
            import fcntl
        except ImportError:  # this system has no such locks
            yield
            return
        handle = os.open(directory, os.O_RDONLY)
        try:
            # Some file systems have no locks: write without one.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
