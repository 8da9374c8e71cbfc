"""The directory `checkpoints/` of a run: names, links, manifests and clean-up.

A checkpoint is a directory `step-000250` with the files of `PAYLOAD` and a manifest of their
checksums. `best` and `last` next to it are links. This module does not need torch and does not
follow links out of the directory, which may come from someone else.
"""

import contextlib
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from slm_tui import manifest as manifests
from slm_tui import paths, records, safe_files
from slm_tui.errors import CheckpointError, SlmTuiError, cause_of, is_system_limit, remedy_for
from slm_tui.records import Count, Name, Step
from slm_tui.training.state import TrainingState
from slm_tui.versions import NewerVersionError

FORMAT = 1
LINKS = ("best", "last")
PAYLOAD = ("model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json")
WRITING = ".writing-"
_OLD = ".writing-old-"
_DISCARDING = ".discarding-"
_NAME = re.compile(r"step-(\d{6,15})")
# Names used only by this program, which may be removed without asking.
_TEMPORARY = re.compile(
    r"\.writing-[a-z0-9_]{8}|\.discarding-step-\d{6,15}|\.(best|last)-\d+|\.(best|last)\.[0-9a-f]{8}"
)
_KEEP = "keep"
_LABEL = "label"
_MOST_LABEL = 200
_MOST_MANIFEST = 1 << 16
_MOST_STATE = 1 << 24
_DIGEST = re.compile(r"[0-9a-f]{64}")


class UnavailableError(CheckpointError):
    """The checkpoint may be intact, but a system limit prevents opening it."""


class RenamedError(CheckpointError):
    """The checkpoint has the name of another step."""


class ForeignFormatError(CheckpointError):
    """A checkpoint is intact, but in the format of another version."""


@dataclass(frozen=True)
class Manifest:
    """The step of a checkpoint and the SHA-256 of each of its files."""

    format: Count
    step: Step
    sha256: dict[Name, Name] = field(default_factory=dict)


def name_of(step: int) -> str:
    """The directory name of the checkpoint of `step`."""
    return f"step-{step:06d}"


def step_of(path: Path) -> int:
    """The step in a checkpoint's directory name, or -1."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is a directory with a manifest; neither is a link."""
    return safe_files.is_directory(path) and safe_files.is_file(path / "manifest.json")


def all_in(directory: Path) -> list[Path]:
    """The complete checkpoints in `directory`, by ascending step."""
    return sorted((path for path in _named(directory) if is_checkpoint(path)), key=step_of)


def any_in(directory: Path) -> bool:
    """Whether `directory` has a complete checkpoint."""
    return any(is_checkpoint(path) for path in _named(directory))


def invalid_in(directory: Path) -> list[str]:
    """Entries named like a checkpoint that cannot be one, each with the reason."""
    problems = []
    for path in sorted(_named(directory), key=step_of):
        if not safe_files.is_directory(path):
            what = safe_files.kind_of(os.lstat(path))
            problems.append(f"checkpoint {path.name} is {what}, not a directory")
        elif not is_checkpoint(path):
            problems.append(f"checkpoint {path.name} has no manifest.json")
    return problems


def _named(directory: Path) -> list[Path]:
    if not safe_files.is_directory(directory):
        return []
    try:
        return [directory / name for name in os.listdir(directory) if _NAME.fullmatch(name)]
    except OSError:
        return []


def check_place(directory: Path) -> None:
    """Raise if the checkpoints may not belong to the run.

    Raises:
        CheckpointError: `directory` is a link or not a directory.
    """
    if not safe_files.is_directory(directory) and os.path.lexists(directory):
        what = safe_files.kind_of(os.lstat(directory))
        raise CheckpointError(
            f"{directory} cannot be used",
            f"it is {what}, not a directory",
            "replace it with the directory itself",
        )


# Manifests


def read_manifest(path: Path) -> Manifest:
    """The manifest of the checkpoint at `path`, with format, step and file list checked.

    Raises:
        ForeignFormatError: another version wrote it.
        CheckpointError: it is missing or damaged, or belongs to another step.
    """
    try:
        safe_files.check_directory(path)
        text = safe_files.read_text(path / "manifest.json", _MOST_MANIFEST)
        values = manifests.unsealed(text)
        if isinstance(values.get("format"), int) and values["format"] != FORMAT:
            raise ForeignFormatError(
                f"checkpoint {path.name} has format {values['format']}",
                f"this version reads format {FORMAT}",
                "use the version that wrote it",
            )
        manifest = records.record(Manifest, values, "manifest.json")
        _check_files(manifest)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    named = step_of(path)
    if named >= 0 and named != manifest.step:
        raise RenamedError(
            f"checkpoint {path.name} cannot be opened",
            f"it is the checkpoint of step {manifest.step:,} under another name",
            f"rename it to {name_of(manifest.step)}, or move it out of the run",
        )
    return manifest


def _check_files(manifest: Manifest) -> None:
    if set(manifest.sha256) != set(PAYLOAD):
        odd = sorted(set(manifest.sha256) ^ set(PAYLOAD))[0]
        what = "does not list" if odd in PAYLOAD else "lists"
        raise ValueError(f"manifest.json {what} {odd}")
    if not all(_DIGEST.fullmatch(one) for one in manifest.sha256.values()):
        raise ValueError("manifest.json has an invalid checksum")


def check_payload(path: Path, manifest: Manifest) -> None:
    """Compare the files of the checkpoint at `path` with their checksums.

    Raises:
        CheckpointError: one is missing or damaged.
    """
    for name in PAYLOAD:
        try:
            same = manifests.digest(path / name) == manifest.sha256[name]
        except OSError as error:
            raise _unreadable(path, error) from None
        if not same:
            raise CheckpointError(
                f"checkpoint {path.name} is damaged",
                f"the checksum of {name} differs",
                "use another checkpoint of the run",
            )


def read_state(path: Path, manifest: Manifest) -> TrainingState:
    """The training state of the checkpoint at `path`.

    Raises:
        ForeignFormatError: a newer version wrote it.
        CheckpointError: it is missing or damaged, or its step differs from the manifest.
    """
    try:
        state = TrainingState.parse(safe_files.read_json(path / "state.json", _MOST_STATE))
        if state.step != manifest.step:
            raise ValueError(f"state.json is of step {state.step}, the manifest of {manifest.step}")
    except NewerVersionError as error:
        what = f"checkpoint {path.name} cannot be opened"
        raise ForeignFormatError(what, str(error), error.remedy) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return state


def newest_state(directory: Path) -> TrainingState | None:
    """The newest readable state of a checkpoint in `directory`; weights are not checked.

    Raises:
        ForeignFormatError: another version wrote the newest; an older one would be out of date.
    """
    for path in reversed(all_in(directory)):
        try:
            return read_state(path, read_manifest(path))
        except ForeignFormatError:
            raise
        except CheckpointError:
            continue
    return None


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    reason = cause_of(error)
    missing = getattr(error, "filename", None)
    if isinstance(error, FileNotFoundError) and missing:
        reason = f"{Path(str(missing)).name} is missing"
    kind = UnavailableError if is_system_limit(error) else CheckpointError
    remedy = remedy_for(error, "use another checkpoint of the run")
    return kind(f"checkpoint {path.name} cannot be opened", reason, remedy)


# Links


def link(directory: Path, name: str, target: str) -> None:
    """Point `directory/name` at the checkpoint `target`, atomically and durably.

    Raises:
        OSError: the directory cannot be written.
    """
    pointer = directory / name
    if safe_files.is_directory(pointer):
        _move_copy_aside(pointer)
    temporary = directory / f".{name}.{secrets.token_hex(4)}"
    try:
        try:
            temporary.symlink_to(target)
        except OSError:
            # A file system without links: store the name in a small file instead.
            safe_files.write_atomically(temporary, target, parents=False)
        os.replace(temporary, pointer)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    safe_files.sync_directory(directory)


def _move_copy_aside(pointer: Path) -> None:
    """Make room for a link where a copied run has the checkpoint itself.

    Copying with links followed (`scp -r`, zip) turns `best` into a second copy. It is removed only
    if the checkpoint itself is complete and identical.
    """
    try:
        manifest = read_manifest(pointer)
    except CheckpointError:
        set_aside([pointer], "copied")
        return
    own = pointer.with_name(name_of(manifest.step))
    if not os.path.lexists(own):
        os.rename(pointer, own)
        return
    try:
        same = read_manifest(own) == manifest
        check_payload(own, manifest)
    except CheckpointError:
        same = False
    if same:
        _remove(pointer)
    else:
        set_aside([pointer], "copied")


def linked(directory: Path, name: str) -> Path | None:
    """The checkpoint that `best` or `last` points at, if it exists.

    A link may only hold a name in `directory`. If a copied run has a directory in place of the
    link, that is the checkpoint, unless its original exists too.
    """
    pointer = directory / name
    if not safe_files.is_directory(directory):
        return None
    try:
        if safe_files.is_directory(pointer):
            return _copied(directory, pointer)
        if pointer.is_symlink():
            target = os.readlink(pointer)
        else:
            target = safe_files.read_text(pointer, 100).strip()
    except (OSError, ValueError):
        return None
    path = directory / target if _NAME.fullmatch(target) else None
    return path if path is not None and is_checkpoint(path) else None


def _copied(directory: Path, pointer: Path) -> Path | None:
    try:
        own = directory / name_of(read_manifest(pointer).step)
    except CheckpointError:
        return None
    return own if is_checkpoint(own) else pointer


def linked_step(path: Path) -> int:
    """The step of a checkpoint, also of a copy named `best` or `last`; else -1."""
    step = step_of(path)
    if step < 0 and path.name in LINKS:
        with contextlib.suppress(CheckpointError):
            return read_manifest(path).step
    return step


# Clean-up


def keep(path: Path) -> None:
    """Protect a checkpoint from `clear_up`.

    Raises:
        OSError: it cannot be written.
    """
    os.close(safe_files.open_to_append(path / _KEEP))
    safe_files.sync_directory(path)


def release(path: Path) -> None:
    """Let `clear_up` delete a checkpoint again.

    Raises:
        OSError: it cannot be written.
    """
    with contextlib.suppress(FileNotFoundError):
        (path / _KEEP).unlink()
    safe_files.sync_directory(path)


def is_kept(path: Path) -> bool:
    """Whether the checkpoint was saved by hand, or marked to be kept."""
    return safe_files.is_file(path / _KEEP)


def label_of(path: Path) -> str:
    """The label of the checkpoint at `path`; empty if it has none."""
    try:
        return paths.check_name(safe_files.read_text(path / _LABEL, _MOST_LABEL).strip(), "label")
    except (OSError, ValueError, SlmTuiError):
        return ""


def write_label(path: Path, text: str) -> None:
    """Store the label of the checkpoint at `path`; empty removes it.

    Raises:
        OSError: it cannot be written.
    """
    if text:
        safe_files.write_atomically(path / _LABEL, text, parents=False)
    else:
        with contextlib.suppress(FileNotFoundError):
            (path / _LABEL).unlink()


def clear_up(directory: Path, keep_last: int, keep_every: int | None = None) -> None:
    """Delete periodic checkpoints except the newest `keep_last`.

    Also keep the best, the last and manual ones, those at multiples of `keep_every` steps, and
    anything that this program did not write.
    """
    protected = {linked(directory, name) for name in LINKS}
    spare = [
        path
        for path in all_in(directory)
        if path not in protected
        and not is_kept(path)
        and not (keep_every and step_of(path) % keep_every == 0)
        and _is_own(path)
    ]
    for path in spare[: max(0, len(spare) - keep_last)]:
        discard(path)


def _is_own(path: Path) -> bool:
    try:
        read_manifest(path)
    except CheckpointError:
        return False
    return not _is_foreign(path)


def _is_foreign(path: Path) -> bool:
    """Whether the checkpoint at `path` is in the format of another version."""
    try:
        read_state(path, read_manifest(path))
    except ForeignFormatError:
        return True
    except CheckpointError:
        return False
    return False


def discard(path: Path) -> None:
    """Delete a checkpoint so that a half-deleted one is never taken for a complete one."""
    away = path.with_name(f"{_DISCARDING}{path.name}")
    shutil.rmtree(away, ignore_errors=True)
    os.rename(path, away)
    shutil.rmtree(away, ignore_errors=True)


def set_aside(paths: list[Path], why: str) -> list[Path]:
    """Rename checkpoints out of the way of new ones, to `<why>-step-000250`; nothing is deleted.

    Raises:
        OSError: the directory cannot be written.
    """
    moved = []
    for path in paths:
        aside = path.with_name(f"{why}-{path.name}")
        number = 2
        while os.path.lexists(aside):
            aside = path.with_name(f"{why}-{path.name}-{number}")
            number += 1
        os.rename(path, aside)
        moved.append(aside)
    if moved:
        safe_files.sync_directory(moved[0].parent)
    return moved


def later_than(directory: Path, step: int) -> list[Path]:
    """The complete checkpoints after `step`."""
    return [path for path in all_in(directory) if step_of(path) > step]


def swap(temporary: Path, target: Path) -> None:
    """Replace `target` with `temporary`; `sweep` repairs what a killed process leaves.

    Anything there that is not a checkpoint, or is one of another version, is set aside.

    Raises:
        OSError: the directory cannot be written.
    """
    old = target.with_name(f"{_OLD}{target.name}")
    if is_checkpoint(target) and _is_foreign(target):
        set_aside([target], "foreign")
    elif is_checkpoint(target):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
    elif os.path.lexists(target):
        set_aside([target], "damaged")
    os.rename(temporary, target)
    shutil.rmtree(old, ignore_errors=True)
    safe_files.sync_directory(target.parent)


def sweep(directory: Path) -> None:
    """Remove what a killed save left behind. Only for the process that owns the run.

    Only names that this program uses for unfinished work are touched.
    """
    if not safe_files.is_directory(directory):
        return
    for name in os.listdir(directory):
        path = directory / name
        target = directory / name.removeprefix(_OLD)
        if name.startswith(_OLD) and _NAME.fullmatch(target.name):
            # Killed between the two renames of a replacement: only the old one is left.
            if is_checkpoint(path) and not os.path.lexists(target):
                os.rename(path, target)
            else:
                _remove(path)
        elif _TEMPORARY.fullmatch(name):
            _remove(path)


def _remove(path: Path) -> None:
    if safe_files.is_directory(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
