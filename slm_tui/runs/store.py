"""Run directories: creating, finding, renaming, deleting and restoring them."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from slm_tui import paths, safe_files
from slm_tui.config.preset import NewerPresetError, Preset, from_stored, from_toml
from slm_tui.errors import CheckpointError, PresetError, RunError, cause_of, remedy_for
from slm_tui.runs import info as infos
from slm_tui.runs.info import LIVE_STATES, RunInfo
from slm_tui.training import checkpoint_dir

__all__ = ["LIVE_STATES", "Run", "RunInfo"]

_HEARTBEAT_SECONDS = 15.0
_MOST_PRESET = 1 << 20


class Run:
    """One training run of one preset: a directory that holds all of it."""

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
        """The preset; if its file is missing, the one in the newest checkpoint.

        Raises:
            PresetError: it cannot be read, is damaged, or is from a newer version.
        """
        path = self.path / infos.PRESET
        try:
            return from_toml(safe_files.read_text(path, _MOST_PRESET), str(path))
        except FileNotFoundError:
            return self._newest_preset()
        except (OSError, ValueError) as error:
            reason = cause_of(error)
            raise PresetError(f"{path} cannot be read", reason, remedy_for(error, "")) from None

    def _newest_preset(self) -> Preset:
        try:
            state = checkpoint_dir.newest_state(self.checkpoints)
        except checkpoint_dir.ForeignFormatError as error:
            raise NewerPresetError(error.what, error.why, error.remedy) from None
        if state is None:
            raise PresetError(f"{self.path / infos.PRESET} is missing")
        return from_stored(state.preset, f"the preset in the newest checkpoint of {self.id}")

    def info(self) -> RunInfo:
        """The record of the run; `interrupted` if its process is gone.

        Raises:
            RunError: `run.json` is damaged and cannot be rebuilt.
        """
        info = infos.read(self.path)
        if info.state in LIVE_STATES and not self._is_alive(info):
            info.state = "interrupted"
        return info

    def _is_alive(self, info: RunInfo) -> bool:
        if info.host == socket.gethostname():
            return is_locked(self.path)
        return time.time() - info.heartbeat < _HEARTBEAT_SECONDS

    def write_info(self, info: RunInfo) -> None:
        """Replace `run.json` durably.

        Raises:
            OSError: the disk is full or cannot be written, or the run was moved away.
        """
        infos.write(self.path, info)


def create(
    preset: Preset,
    name: str = "",
    parent: str = "",
    *,
    group: str = "",
    variation: str = "",
    before: str = "",
    remedy: str = "",
) -> Run:
    """Create the directory of a new run, atomically.

    Raises:
        SlmTuiError: `name` is not a valid name.
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
        group=group,
        variation=variation,
        before=before,
        remedy=remedy,
    )
    stamp = datetime.fromtimestamp(now).strftime("%Y%m%d-%H%M%S")
    root = paths.runs_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        safe_files.sweep(root)
        temporary = safe_files.make_directory(root, safe_files.MAKING)
        safe_files.write_atomically(temporary / infos.PRESET, preset.to_toml())
        Run(temporary).write_info(info)
        (temporary / "checkpoints").mkdir()
        safe_files.sync_directory(temporary)
        run = Run(_claim(temporary, root, f"{label}-{stamp}"))
        safe_files.sync_directory(root)
        return run
    except OSError as error:
        reason = cause_of(error)
        raise RunError(
            f"cannot create a run in {root}",
            reason,
            remedy_for(error, "set SLM_TUI_HOME to a writable directory"),
        ) from None


def drop(run: Run) -> None:
    """Remove a run that did not train. Never raises."""
    safe_files.remove_directory(run.path)


def _claim(temporary: Path, root: Path, name: str) -> Path:
    """Rename to the first free name: two runs may start in the same second."""
    for number in range(1, 1000):
        target = root / (name if number == 1 else f"{name}-{number}")
        if target.exists():
            continue
        with contextlib.suppress(OSError):
            os.rename(temporary, target)
            return target
    raise OSError(f"{name} is taken")


def all_runs() -> list[Run]:
    """Every run, newest first, including damaged ones."""
    runs = [Run(path) for path in directories()]
    return sorted(runs, key=lambda run: (_created(run), run.id), reverse=True)


def directories() -> list[Path]:
    """The directories of all runs, unordered."""
    root = paths.runs_dir()
    try:
        names = [name for name in os.listdir(root) if not name.startswith(".")]
    except OSError:
        return []
    return [root / name for name in names if _looks_like_run(root / name)]


def _looks_like_run(path: Path) -> bool:
    """Whether it belongs in a list of runs, complete or not."""
    if not path.is_dir():
        return False
    marks = (infos.INFO, infos.PRESET, "checkpoints")
    return any(os.path.lexists(path / mark) for mark in marks)


def _created(run: Run) -> float:
    try:
        return infos.read(run.path).created
    except RunError:
        return 0.0


def find(spec: str) -> Run:
    """The run with this directory name, unique prefix of it, `last`, or a path.

    Raises:
        RunError: there is no such run, or several.
    """
    path = _path(spec)
    if path is not None and infos.is_run(path):
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
        raise RunError(f"{spec!r} matches {len(matching)} runs", names, "use more of the name")
    raise RunError(f"there is no run {spec!r}", "", "`slm-tui runs list` shows all runs")


def _path(spec: str) -> Path | None:
    """`spec` as a path, if it exists; most names are not paths."""
    try:
        path = Path(spec).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _label(run: Run) -> str:
    try:
        return run.info().name
    except RunError:
        return ""


def find_checkpoint(spec: str) -> Path:
    """The checkpoint `RUN`, `RUN@best`, `RUN@last`, `RUN@500`, `RUN@LABEL`, or a path.

    A run alone means its best checkpoint, or its last if there is no best.

    Raises:
        RunError: there is no such run.
        CheckpointError: the run has no such checkpoint.
    """
    path = _path(spec)
    if path is not None and checkpoint_dir.is_checkpoint(path.resolve()):
        return path.resolve()
    name, _, which = spec.partition("@")
    return checkpoint_of(find(name), which)


def checkpoint_of(run: Run, which: str = "") -> Path:
    """The checkpoint `best`, `last`, of a step or with a label.

    Empty means the best, otherwise the last.

    Raises:
        CheckpointError: the run has no such checkpoint.
    """
    saved = checkpoint_dir.all_in(run.checkpoints)
    names = [which] if which else list(checkpoint_dir.LINKS)
    for one in names:
        if one in checkpoint_dir.LINKS:
            match = checkpoint_dir.linked(run.checkpoints, one)
        else:
            name = checkpoint_dir.name_of(int(one)) if one.isdecimal() and len(one) < 16 else one
            match = next(
                (path for path in saved if name in (path.name, checkpoint_dir.label_of(path))), None
            )
        if match is not None:
            return match
    if saved and not which:
        return saved[-1]
    have = ", ".join(str(checkpoint_dir.step_of(path)) for path in saved)
    odd = checkpoint_dir.invalid_in(run.checkpoints)
    nothing = f"none is complete: {odd[0]}" if odd else "none was saved"
    raise CheckpointError(
        f"run {run.id} has no checkpoint {which or 'yet'}",
        f"it has {have}" if have else nothing,
        "train it further, or choose another run" if not have else "choose one of these",
    )


def rename(run: Run, name: str) -> None:
    """Rename the run; its directory keeps its name.

    Raises:
        SlmTuiError: the name is not valid.
        RunError: the run is being trained, or cannot be written.
    """
    paths.check_name(name, "run name")
    with lock(run):
        info = run.info()
        info.name = name
        run.write_info(info)
        infos.drop_live(run.path)


def delete(run: Run) -> Path:
    """Move a run to the trash; return its new path.

    Raises:
        RunError: it is being trained.
    """
    with lock(run):
        target = paths.trash_dir() / "runs" / run.id
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_name(f"{run.id}.{time.time_ns()}")
        with contextlib.suppress(OSError):
            # Left over from a killed process; not every way of moving supports sockets.
            (run.path / infos.SOCKET).unlink()
        shutil.move(run.path, target)
    return target


def trashed() -> list[Path]:
    """Deleted runs, newest deletion last."""
    try:
        return sorted((paths.trash_dir() / "runs").iterdir(), key=lambda path: path.stat().st_ctime)
    except OSError:
        return []


def restore(spec: str | Path) -> Run:
    """Restore a deleted run.

    Raises:
        RunError: it is not in the trash, or a run with that name exists.
    """
    there = trashed()
    exact = [path for path in there if path == spec or path.name == str(spec)]
    named = exact or [path for path in there if path.name.startswith(str(spec))]
    if len(named) != 1:
        names = ", ".join(path.name for path in named[:4])
        raise RunError(
            f"{str(spec)!r} matches {len(named)} deleted runs"
            if named
            else f"{spec} is not deleted",
            names,
            "use more of the name" if named else "the trash has no such run",
        )
    target = paths.runs_dir() / named[0].name
    if target.exists():
        raise RunError(f"a run named {target.name} already exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(named[0], target)
    return Run(target)


@contextlib.contextmanager
def lock(run: Run) -> Iterator[None]:
    """Lock the run for this process. The system releases the lock if the process crashes.

    Raises:
        RunError: another process, or another thread of this one, holds it.
    """
    handle = _locked(run.path)
    # Checking whether the run is alive holds the lock for an instant.
    for _ in range(10):
        if handle is not None:
            break
        time.sleep(0.03)
        handle = _locked(run.path)
    if handle is None:
        raise RunError(
            f"run {run.id} is being trained",
            _owner_text(run),
            "stop it there, or wait for it to end",
        )
    try:
        yield
    finally:
        handle.close()


def _owner_text(run: Run) -> str:
    try:
        info = run.info()
    except RunError:
        return ""
    here = "this program" if info.pid == os.getpid() else f"process {info.pid} on {info.host}"
    return f"by {here}"


def is_locked(path: Path) -> bool:
    """Whether a process holds the run."""
    try:
        # A shared lock, so that two simultaneous checks do not take each other for the owner.
        handle = _locked(path, shared=True)
    except RunError:
        return False
    if handle is None:
        return True
    handle.close()
    return False


def _locked(path: Path, *, shared: bool = False) -> IO[bytes] | None:
    """An open handle that holds the lock, or `None` if someone else has it.

    Raises:
        RunError: the directory cannot be written, or the lock is not a regular file.
    """
    try:
        handle = safe_files.open_to_lock(path / ".lock")
    except OSError as error:
        raise RunError(f"run {path.name} cannot be written", error.strerror or "") from None
    try:
        import fcntl
    except ImportError:  # no such locks on this system: rely on the heartbeat
        return handle
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle
