"""Run directories: making, finding, renaming, deleting and bringing them back."""

import contextlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from slm_tui import __version__, paths
from slm_tui.config.preset import Preset, from_file
from slm_tui.errors import CheckpointError, RunError
from slm_tui.runs import steering

FORMAT = 1
_HEARTBEAT_SECONDS = 15.0
LIVE_STATES = frozenset({"preparing", "running", "paused"})


@dataclass
class RunInfo:
    """What `run.json` holds. Times in seconds since the epoch; losses in nats per token."""

    format: int = FORMAT
    name: str = ""
    preset: str = ""
    state: str = "preparing"
    created: float = 0.0
    heartbeat: float = 0.0
    pid: int = 0
    host: str = ""
    version: str = __version__
    step: int = 0
    max_steps: int = 0
    tokens_seen: int = 0
    elapsed_seconds: float = 0.0
    tokens_per_second: float = 0.0
    train_loss: float | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    best_bpb: float | None = None
    parent: str = ""
    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Run:
    """One training of one preset: the directory that holds all of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def preset(self) -> Preset:
        """What was asked for.

        Raises:
            PresetError: the file is missing or was damaged.
        """
        return from_file(self.path / "preset.toml")

    def info(self) -> RunInfo:
        """The state of the run; one whose process is gone reads as `interrupted`.

        Raises:
            RunError: `run.json` is missing or damaged.
        """
        try:
            values = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            known = {one.name for one in fields(RunInfo)}
            info = RunInfo(**{key: value for key, value in values.items() if key in known})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"run {self.id} cannot be read", str(error)) from None
        if info.state in LIVE_STATES and not self._is_alive(info):
            info.state = "interrupted"
        return info

    def _is_alive(self, info: RunInfo) -> bool:
        if info.host == socket.gethostname():
            return is_locked(self.path)
        return time.time() - info.heartbeat < _HEARTBEAT_SECONDS

    def write_info(self, info: RunInfo, *, durable: bool = False) -> None:
        """Replace `run.json`.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        text = json.dumps(asdict(info), indent=1)
        paths.write_atomically(self.path / "run.json", text, durable=durable)


def create(preset: Preset, name: str = "", parent: str = "") -> Run:
    """Make the directory of a new run, whole or not at all.

    Raises:
        SlmTuiError: `name` cannot be a name.
        RunError: the directory cannot be written.
    """
    label = paths.check_name(name or preset.name, "run name")
    now = time.time()
    info = RunInfo(
        name=label,
        preset=preset.name,
        created=now,
        heartbeat=now,
        pid=os.getpid(),
        host=socket.gethostname(),
        max_steps=preset.training.max_steps,
        parent=parent,
    )
    stamp = datetime.fromtimestamp(now).strftime("%Y%m%d-%H%M%S")
    root = paths.runs_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=root))
        temporary.chmod(0o755)
        paths.write_atomically(temporary / "preset.toml", preset.to_toml())
        Run(temporary).write_info(info, durable=True)
        (temporary / "checkpoints").mkdir()
        return Run(_claim(temporary, root, f"{label}-{stamp}"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"no run can be made in {root}",
            reason,
            "make room there, or set SLM_TUI_HOME to a place that can be written",
        ) from None


def _claim(temporary: Path, root: Path, wanted: str) -> Path:
    """Rename to the first free name: two runs may start in one second."""
    for number in range(1, 1000):
        target = root / (wanted if number == 1 else f"{wanted}-{number}")
        if target.exists():
            continue
        with contextlib.suppress(OSError):
            os.rename(temporary, target)
            return target
    raise OSError(f"{wanted} is taken")


def all_runs() -> list[Run]:
    """Every run, newest first."""
    try:
        found = [path for path in paths.runs_dir().iterdir() if (path / "run.json").is_file()]
    except OSError:
        return []
    visible = [path for path in found if not path.name.startswith(".")]
    return [Run(path) for path in sorted(visible, key=_created, reverse=True)]


def _created(path: Path) -> tuple[float, str]:
    try:
        return float(json.loads((path / "run.json").read_text())["created"]), path.name
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, path.name


def find(spec: str) -> Run:
    """The run named by its directory name, a unique prefix of it, `last`, or a path.

    Raises:
        RunError: there is none, or several.
    """
    path = _existing(spec, "run.json")
    if path is not None:
        return Run(path.resolve())
    runs = all_runs()
    if spec == "last":
        if not runs:
            raise RunError("there are no runs yet", "", "start one: slm-tui train stories-tiny")
        return runs[0]
    matching = (
        [run for run in runs if run.id == spec]
        or [run for run in runs if _label(run) == spec]
        or [run for run in runs if run.id.startswith(spec)]
    )
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(run.id for run in matching[:4])
        raise RunError(f"{spec!r} fits {len(matching)} runs", names, "write more of the name")
    raise RunError(f"there is no run {spec!r}", "", "`slm-tui runs list` shows all")


def _existing(spec: str, file: str) -> Path | None:
    """The directory `spec` if it is one that holds `file`; most names are no paths."""
    try:
        path = Path(spec).expanduser()
        return path if (path / file).is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _label(run: Run) -> str:
    try:
        return run.info().name
    except RunError:
        return ""


def find_checkpoint(spec: str) -> Path:
    """The checkpoint `RUN`, `RUN@best`, `RUN@last`, `RUN@500`, or a path.

    A run alone means its best checkpoint, or its last where none was best.

    Raises:
        RunError: there is no such run.
        CheckpointError: the run has no such checkpoint.
    """
    path = _existing(spec, "manifest.json")
    if path is not None:
        return path
    name, _, which = spec.partition("@")
    return checkpoint_of(find(name), which)


def checkpoint_of(run: Run, which: str = "") -> Path:
    """The checkpoint `best`, `last` or of a step; empty means the best, or else the last.

    Raises:
        CheckpointError: the run has no such checkpoint.
    """
    from slm_tui.training import checkpoint

    saved = checkpoint.all_in(run.checkpoints)
    wanted = [which] if which else ["best", "last"]
    for one in wanted:
        if one in ("best", "last"):
            found = checkpoint.linked(run.checkpoints, one)
        else:
            name = checkpoint.name_of(int(one)) if one.isdecimal() else one
            found = next((path for path in saved if path.name == name), None)
        if found is not None:
            return found
    if saved and not which:
        return saved[-1]
    have = ", ".join(str(checkpoint.step_of(path)) for path in saved)
    raise CheckpointError(
        f"run {run.id} has no checkpoint {which or 'yet'}",
        f"it has {have}" if have else "none was saved",
        "train it further, or name another" if not have else "name one of these",
    )


def rename(run: Run, name: str) -> None:
    """Give the run another name; its directory stays where it is.

    Raises:
        SlmTuiError: it cannot be a name.
        RunError: the run is being trained, or cannot be written.
    """
    paths.check_name(name, "run name")
    with lock(run):
        info = run.info()
        info.name = name
        run.write_info(info, durable=True)


def delete(run: Run) -> Path:
    """Move a run to the trash; return where it went.

    Raises:
        RunError: it is being trained.
    """
    with lock(run):
        target = paths.trash_dir() / "runs" / run.id
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_name(f"{run.id}.{time.time_ns()}")
        with contextlib.suppress(OSError):
            # Of a process that was killed; not every way of moving takes sockets along.
            (run.path / steering.SOCKET).unlink()
        shutil.move(run.path, target)
    return target


def trashed() -> list[Path]:
    """Deleted runs, newest deletion last."""
    try:
        return sorted((paths.trash_dir() / "runs").iterdir(), key=lambda path: path.stat().st_ctime)
    except OSError:
        return []


def restore(spec: str | Path) -> Run:
    """Bring a deleted run back.

    Raises:
        RunError: it is not in the trash, or a run of that name exists.
    """
    there = trashed()
    exact = [path for path in there if path == spec or path.name == str(spec)]
    named = exact or [path for path in there if path.name.startswith(str(spec))]
    if len(named) != 1:
        names = ", ".join(path.name for path in named[:4])
        raise RunError(
            f"{str(spec)!r} fits {len(named)} deleted runs" if named else f"{spec} is not deleted",
            names,
            "write more of the name" if named else "the trash has no such run",
        )
    target = paths.runs_dir() / named[0].name
    if target.exists():
        raise RunError(f"a run {target.name} exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(named[0], target)
    return Run(target)


@contextlib.contextmanager
def lock(run: Run) -> Iterator[None]:
    """Hold the run for this process. A crash lets go of it: the system drops the lock.

    Raises:
        RunError: another process, or another thread of this one, holds it.
    """
    handle = _locked(run.path)
    # Whoever looks whether the run is alive holds the lock for an instant.
    for _ in range(10):
        if handle is not None:
            break
        time.sleep(0.03)
        handle = _locked(run.path)
    if handle is None:
        raise RunError(
            f"run {run.id} is being trained", _by_whom(run), "stop it there, or wait until it ends"
        )
    try:
        yield
    finally:
        handle.close()


def _by_whom(run: Run) -> str:
    try:
        info = run.info()
    except RunError:
        return ""
    here = "this program" if info.pid == os.getpid() else f"process {info.pid} on {info.host}"
    return f"by {here}"


def is_locked(path: Path) -> bool:
    """Whether some process holds the run."""
    try:
        # A shared lock: two that look at the same time do not take each other for the owner.
        handle = _locked(path, shared=True)
    except RunError:
        return False
    if handle is None:
        return True
    handle.close()
    return False


def _locked(path: Path, *, shared: bool = False) -> IO[bytes] | None:
    """An open handle that holds the lock, or `None` if somebody else has it."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: the heartbeat has to do
        return (path / ".lock").open("ab")
    try:
        handle = (path / ".lock").open("ab")
    except OSError as error:
        raise RunError(f"run {path.name} cannot be written", error.strerror or "") from None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle
