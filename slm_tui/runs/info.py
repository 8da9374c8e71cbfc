"""The record in `run.json`: read with types, written durably, rebuilt if damaged.

`run.json` is replaced durably when the state of a run changes. Between such changes `live.json`
next to it has the newest figures and the heartbeat; nothing depends on it.
"""

import contextlib
import csv
import json
import math
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from slm_tui import __version__, records, safe_files
from slm_tui.errors import RunError, cause_of, is_system_limit, remedy_for
from slm_tui.records import Count, Loss, Moment, Name, Rate, Seconds, Step, Text
from slm_tui.training import checkpoint_dir
from slm_tui.training.events import Cause
from slm_tui.training.state import TrainingState
from slm_tui.versions import Format, NewerVersionError


def _add_failure_cause(values: dict[str, Any]) -> None:
    # The first version stored the cause of a failure only in the error message.
    values["cause"] = "not finite" if "is not finite" in str(values.get("error")) else "other"


FORMAT = Format("format", migrations=[_add_failure_cause])
INFO, LIVE, PRESET = "run.json", "live.json", "preset.toml"
SOCKET = "control.sock"
EVALUATIONS = "eval_log.csv"
# Readers derive `interrupted` for a run whose process is gone, and `damaged` for one whose record
# cannot be read.
State = Literal[
    "preparing",
    "running",
    "paused",
    "done",
    "stopped",
    "stopped early",
    "failed",
    "interrupted",
    "damaged",
]
LIVE_STATES: frozenset[str] = frozenset({"preparing", "running", "paused"})
_MOST_BYTES = 1 << 20
_MOST_LOG = 1 << 26
_NUMBERS = (
    "parameters",
    "n_vocab",
    "threads",
    "processes",
    "sequences_at_once",
    "tokens_per_step",
    "train_tokens",
    "val_tokens",
    "train_bytes_per_token",
    "val_bytes_per_token",
    "floor_bits_per_byte",
    "windows_per_epoch",
)
_TEXTS = ("device", "slot", "precision", "torch", "corpus")
# `<name>-<yyyymmdd>-<hhmmss>`, plus a number if two runs started in the same second.
_STAMPED = re.compile(r"(?P<name>.+)-(?P<stamp>\d{8}-\d{6})(-\d+)?")


@dataclass
class RunInfo:
    """The contents of `run.json`. Times in seconds since the epoch; losses in nats per token.

    `train_loss` is that of the last logged step; `initial_train_loss` and `final_train_loss` are
    evaluated on the training text before the first step and after the last one.

    `group` is the suite that the run belongs to, `variation` what it is there. `before` is the run
    whose verdict proposed `remedy`, with which this one was started.
    """

    format: Count = FORMAT.version
    name: Name = ""
    preset: Name = ""
    state: State = "preparing"
    created: Moment = 0.0
    heartbeat: Moment = 0.0
    pid: Annotated[int, Strict(), Field(ge=0, le=2**31)] = 0
    host: Name = ""
    version: Name = __version__
    step: Step = 0
    max_steps: Step = 0
    tokens_seen: Count = 0
    elapsed_seconds: Seconds = 0.0
    tokens_per_second: Rate = 0.0
    train_loss: Loss | None = None
    initial_train_loss: Loss | None = None
    final_train_loss: Loss | None = None
    val_loss: Loss | None = None
    val_bpb: Loss | None = None
    best_loss: Loss | None = None
    best_step: Step | None = None
    best_bpb: Loss | None = None
    parent: Annotated[str, Strict(), Field(max_length=600)] = ""
    group: Name = ""
    variation: Name = ""
    before: Name = ""
    remedy: Text = ""
    error: Text = ""
    cause: Cause = "other"
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def last_train_loss(self) -> float | None:
        """The training loss at the end: evaluated, or of the last step if it was not."""
        return self.train_loss if self.final_train_loss is None else self.final_train_loss


def parse(values: Any, name: str = INFO) -> RunInfo:
    """The record from the values of a `run.json`.

    Raises:
        NewerVersionError: a newer version wrote it.
        ValueError: an entry has the wrong type or is out of range.
    """
    if isinstance(values, dict):
        values = FORMAT.migrate(values, name)
        if isinstance(values.get("facts", {}), dict):
            values["facts"] = _facts(values.get("facts"))
    return records.record(RunInfo, values, name)


def _facts(values: Any) -> dict[str, Any]:
    """Facts about a run; entries of an unexpected type are dropped."""
    facts: dict[str, Any] = dict(records.scalars(values))
    for name in _NUMBERS:
        if name in facts and records.number(facts, name, -1.0) < 0:
            del facts[name]
    for name in _TEXTS:
        if name in facts and not isinstance(facts[name], str):
            del facts[name]
    return facts


def read(path: Path) -> RunInfo:
    """The record of the run in `path`, with the newest figures that it wrote.

    If `run.json` is missing, empty or truncated, it is rebuilt from the newest checkpoint.

    Raises:
        RunError: it is damaged and there is no checkpoint to rebuild it from.
    """
    try:
        info = parse(_json(path / INFO))
    except (OSError, ValueError) as error:
        # A pipe, a link or a wrong type is not the result of an interrupted write.
        can_rebuild = isinstance(error, FileNotFoundError | _NotJsonError)
        rebuilt = _rebuilt(path, str(error)) if can_rebuild else None
        if rebuilt is None:
            raise damaged(path, error) from None
        info = rebuilt
    with contextlib.suppress(OSError, ValueError):
        live = parse(_json(path / LIVE), LIVE)
        if live.pid == info.pid and live.heartbeat >= info.heartbeat:
            info = live
    return info


def _rebuilt(path: Path, why: str) -> RunInfo | None:
    try:
        return rebuild(path, why)
    except checkpoint_dir.ForeignFormatError as error:
        raise RunError(f"run {path.name} cannot be read", str(error)) from None


class _NotJsonError(ValueError):
    """The file exists but is not JSON."""


def _json(path: Path) -> Any:
    data = safe_files.read_bytes(path, _MOST_BYTES)
    if not data.strip(b"\0 \r\n\t"):
        raise _NotJsonError(f"{path.name} is empty")
    try:
        return safe_files.parse_json(data, path.name)
    except ValueError as error:
        raise _NotJsonError(str(error)) from None


def damaged(path: Path, error: Exception) -> RunError:
    """The error for a run whose record cannot be used."""
    reason = cause_of(error)
    if isinstance(error, FileNotFoundError):
        reason = f"{INFO} is missing and there is no checkpoint to rebuild it from"
    if is_system_limit(error):
        return RunError(f"run {path.name} cannot be read", reason, remedy_for(error, ""))
    if isinstance(error, NewerVersionError):
        return RunError(f"run {path.name} cannot be read", reason, error.remedy)
    return RunError(
        f"run {path.name} is damaged",
        reason,
        f"repair {INFO}, or move the run to the trash: slm-tui runs delete {path.name}",
    )


def rebuild(path: Path, why: str) -> RunInfo | None:
    """The record of an interrupted run from its newest checkpoint; `None` if it has none.

    Raises:
        ForeignFormatError: another version wrote the checkpoint.
    """
    state = checkpoint_dir.newest_state(path / "checkpoints")
    if state is None:
        return None
    match = _STAMPED.fullmatch(path.name)
    name = match["name"] if match else path.name
    # A checkpoint is saved before its evaluation: the log may have the result.
    logged = evaluations(path)
    last = logged[-1] if logged else None
    best = min((one for one in logged if math.isfinite(one.loss)), key=_loss, default=None)
    return RunInfo(
        name=name[:255],
        preset=records.text(state.preset, "name")[:255] or name[:255],
        state="interrupted",
        created=_created(path, match),
        version="",
        step=state.step,
        max_steps=state.max_steps,
        tokens_seen=state.tokens_seen,
        elapsed_seconds=state.elapsed_seconds,
        train_loss=state.train_loss,
        val_loss=last.loss if last else state.val_loss,
        val_bpb=last.bits_per_byte if last else state.val_bits_per_byte,
        best_loss=best.loss if best else state.best_loss,
        best_step=best.step if best else state.best_step,
        best_bpb=best.bits_per_byte if best else None,
        error=f"{why}; rebuilt from the checkpoint at step {state.step:,}",
        facts=_known_facts(state),
    )


@dataclass(frozen=True)
class LoggedEvaluation:
    """A row of the evaluation log: nats per token and bits per byte."""

    step: int
    loss: float
    bits_per_byte: float


def _loss(one: LoggedEvaluation) -> float:
    return one.loss


def evaluations(path: Path) -> list[LoggedEvaluation]:
    """The evaluations in the log of the run in `path`; bad lines are skipped."""
    result: list[LoggedEvaluation] = []
    try:
        text = safe_files.read_bytes(path / EVALUATIONS, _MOST_LOG).decode("utf-8", "replace")
        for row in csv.DictReader(text.splitlines()):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                step = int(row["step"])
                if 0 <= step <= records.LARGEST:
                    bits = float(row.get("val_bpb") or "nan")
                    result.append(LoggedEvaluation(step, float(row["val_loss"]), bits))
    except (OSError, csv.Error):
        return result
    return result


def _known_facts(state: TrainingState) -> dict[str, Any]:
    facts = {"n_vocab": state.n_vocab, "corpus": state.corpus, "torch": state.torch_version}
    return {name: value for name, value in facts.items() if value}


def _created(path: Path, match: "re.Match[str] | None") -> float:
    if match:
        with contextlib.suppress(ValueError, OverflowError, OSError):
            return datetime.strptime(match["stamp"], "%Y%m%d-%H%M%S").timestamp()
    with contextlib.suppress(OSError):
        return max(0.0, os.lstat(path).st_mtime)
    return 0.0


def write(path: Path, info: RunInfo) -> None:
    """Replace `run.json` durably.

    Raises:
        OSError: the disk is full or cannot be written, or the directory is gone.
    """
    text = json.dumps(asdict(info), indent=1)
    safe_files.write_atomically(path / INFO, text, parents=False)


def write_live(path: Path, info: RunInfo) -> None:
    """Replace `live.json` without waiting for the disk.

    Raises:
        OSError: the disk is full or cannot be written, or the directory is gone.
    """
    text = json.dumps(asdict(info))
    safe_files.write_atomically(path / LIVE, text, durable=False, parents=False)


def drop_live(path: Path) -> None:
    """Remove `live.json`: `run.json` has everything."""
    with contextlib.suppress(OSError):
        (path / LIVE).unlink()


def stamp_of(path: Path, names: tuple[str, ...] = (INFO, LIVE)) -> tuple[int, ...]:
    """A value that changes whenever the record of the run in `path` does, or one of the files
    `names` of it."""
    stamp: list[int] = []
    for name in names:
        try:
            status = os.lstat(path / name)
        except OSError:
            stamp.append(0)
        else:
            stamp += [status.st_mtime_ns, status.st_size, status.st_ino]
    return tuple(stamp)


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory, even a damaged one."""
    try:
        if not path.is_dir():
            return False
        return os.path.lexists(path / INFO) or checkpoint_dir.any_in(path / "checkpoints")
    except (OSError, ValueError):
        return False


def run_of(path: Path) -> Path | None:
    """The run directory that `path` is or belongs to; `None` outside of runs."""
    for one in (path, path.parent.parent):
        if is_run(one):
            return one.resolve()
    return None
