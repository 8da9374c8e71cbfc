"""Checkpoints on disk: written whole or not at all, verified when read, no pickle.

A checkpoint is a directory `step-000250` with weights and optimizer in safetensors, the
state needed to go on exactly and the tokenizer in JSON, and a manifest of checksums. `best`
and `last` beside it are links.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slm_tui import manifest as manifests
from slm_tui import paths
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.tokenizers import Tokenizer, from_json
from slm_tui.errors import CheckpointError, PresetError
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from slm_tui.training.memory import twice

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus

FORMAT = 1
_NAME = re.compile(r"^step-(\d{6,})$")
_KEEP = "keep"
_OLD = ".writing-old-"
_BUFFERS = 2**21
# What a request changes between two steps, without a step being made.
_CHANGED_BY_HAND = ("learning_rate_multiplier", "max_steps")
_PAYLOAD = ("model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json")


class ForeignFormatError(CheckpointError):
    """A checkpoint is whole, and written by another version in a format of its own."""


@dataclass
class TrainingState:
    """All that is needed, beside weights and optimizer, to go on exactly."""

    step: int = 0
    max_steps: int = 0
    elapsed_seconds: float = 0.0
    tokens_seen: int = 0
    learning_rate_multiplier: float = 1.0
    best_step: int | None = None
    best_loss: float | None = None
    evaluated_step: int = -1
    sampled_step: int = -1
    train_loss: float | None = None
    val_loss: float | None = None
    val_bits_per_byte: float | None = None
    skipped_steps: int = 0
    # Steps without a better loss count from here: a run that stopped early was given more.
    patience_from: int = 0
    plateau_multiplier: float = 1.0
    plateau_loss: float | None = None
    plateau_step: int = 0
    loss_scale: float = 1.0
    loss_scale_calm: int = 0
    # What `Guard.state` gave.
    guard: dict[str, float] = field(default_factory=dict)
    # Sequences that go through the network together.
    micro_batch: int = 0
    threads: int = 0
    n_vocab: int = 0
    begins_documents: bool = True
    corpus: str = ""
    preset: dict[str, Any] = field(default_factory=dict)
    torch_version: str = ""

    @classmethod
    def fresh(cls, preset: Preset, corpus: "Corpus") -> "TrainingState":
        """Before the first step."""
        return cls(
            max_steps=preset.training.max_steps,
            n_vocab=corpus.tokenizer.n_vocab,
            begins_documents=corpus.begins_documents,
            corpus=corpus.fingerprint,
            preset=preset.to_dict(),
            torch_version=str(torch.__version__),
        )


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint in memory: copies, so that training may go on while it is written."""

    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    state: TrainingState
    tokenizer_json: str


def name_of(step: int) -> str:
    """The directory name of the checkpoint of `step`."""
    return f"step-{step:06d}"


def step_of(path: Path) -> int:
    """The step in a checkpoint's directory name, or -1."""
    match = _NAME.match(path.name)
    return int(match[1]) if match else -1


def write(directory: Path, snapshot: Snapshot, *, keep: bool = False) -> Path:
    """Write `snapshot` below `directory` by way of a temporary directory; return its path.

    A complete checkpoint of that step is left as it is, unless the run was changed since, by
    another learning rate or end. `keep` protects it from clearing up.

    Raises:
        OSError: the disk is full or cannot be written; nothing half-written remains.
    """
    target = directory / name_of(snapshot.state.step)
    if not _goes_on_alike(target, snapshot.state):
        keep = keep or is_kept(target)
        directory.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=directory))
        try:
            _fill(temporary, snapshot)
            _swap(temporary, target)
            paths.fsync_directory(directory)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if keep:
        (target / _KEEP).touch()
    return target


def _goes_on_alike(path: Path, state: TrainingState) -> bool:
    """Whether training would go on from the checkpoint at `path` as it does from `state`."""
    try:
        if not (path / "manifest.json").is_file():
            return False
        have = json.loads((path / "state.json").read_text(encoding="utf-8"))
        return all(have[name] == getattr(state, name) for name in _CHANGED_BY_HAND)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _swap(temporary: Path, target: Path) -> None:
    """Put `temporary` in the place of `target`; `sweep` undoes what a kill leaves half-done."""
    old = target.with_name(f"{_OLD}{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(temporary, target)
    shutil.rmtree(old, ignore_errors=True)


def _fill(temporary: Path, snapshot: Snapshot) -> None:
    # Where memory runs out under it, the safetensors library ends the whole process: fail before.
    twice(lambda: torch.empty(_BUFFERS, dtype=torch.uint8), torch.device("cpu"))
    save_file(snapshot.weights, temporary / "model.safetensors")
    save_file(snapshot.moments, temporary / "optimizer.safetensors")
    (temporary / "state.json").write_text(json.dumps(asdict(snapshot.state), indent=1))
    (temporary / "tokenizer.json").write_text(snapshot.tokenizer_json, encoding="utf-8")
    sums = {name: manifests.digest(temporary / name) for name in _PAYLOAD}
    for name in _PAYLOAD:
        _fsync(temporary / name)
    manifest = {"format": FORMAT, "step": snapshot.state.step, "sha256": sums}
    paths.write_atomically(temporary / "manifest.json", manifests.sealed(manifest))
    paths.fsync_directory(temporary)


def _fsync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def link(directory: Path, name: str, target: str) -> None:
    """Point `directory/name` at the checkpoint `target`, atomically."""
    temporary = directory / f".{name}-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(target)
    except OSError:
        # A file system without links: a small file holds the name instead.
        temporary.write_text(target)
    os.replace(temporary, directory / name)


def linked(directory: Path, name: str) -> Path | None:
    """The checkpoint that `best` or `last` points at, if it is there."""
    pointer = directory / name
    try:
        target = os.readlink(pointer) if pointer.is_symlink() else pointer.read_text().strip()
    except OSError:
        return None
    found = directory / Path(target).name
    return found if (found / "manifest.json").is_file() else None


def all_in(directory: Path) -> list[Path]:
    """The complete checkpoints in `directory`, by ascending step."""
    found = [
        path
        for path in directory.glob("step-*")
        if step_of(path) >= 0 and (path / "manifest.json").is_file()
    ]
    return sorted(found, key=step_of)


def is_kept(path: Path) -> bool:
    """Whether the checkpoint was saved by hand."""
    return (path / _KEEP).exists()


def clear_up(directory: Path, keep_last: int, keep_every: int | None = None) -> None:
    """Delete periodic checkpoints but the newest `keep_last`.

    The best, the last and manual ones stay, and those at multiples of `keep_every` steps.
    """
    protected = {linked(directory, "best"), linked(directory, "last")}
    spare = [
        path
        for path in all_in(directory)
        if path not in protected
        and not is_kept(path)
        and not (keep_every and step_of(path) % keep_every == 0)
    ]
    for path in spare[: max(0, len(spare) - keep_last)]:
        discard(path)


def discard(path: Path) -> None:
    """Delete a checkpoint so that a half-deleted one is never taken for a whole one."""
    (path / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def set_aside(directory: Path, after: int, why: str = "damaged") -> None:
    """Rename checkpoints later than step `after` out of the way of new ones."""
    for path in all_in(directory):
        if step_of(path) > after:
            aside = path.with_name(f"{why}-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)


def sweep(directory: Path) -> None:
    """Remove what a killed save left behind. Only for the process that owns the run."""
    for old in directory.glob(f"{_OLD}*"):
        # Killed between the two renames of a replacement: the old one is the only one.
        target = directory / old.name.removeprefix(_OLD)
        if (old / "manifest.json").is_file() and not target.exists():
            os.replace(old, target)
    for left in [*directory.glob(".writing-*"), *directory.glob("step-*")]:
        if not (left / "manifest.json").is_file() or left.name.startswith("."):
            shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint."""

    path: Path
    state: TrainingState
    preset: Preset

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with."""
        return from_json((self.path / "tokenizer.json").read_text(encoding="utf-8"))

    def weights(self) -> dict[str, Tensor]:
        """Weights by parameter name, on the CPU."""
        weights: dict[str, Tensor] = load_file(self.path / "model.safetensors")
        return weights

    def moments(self) -> dict[str, Tensor]:
        """The optimizer's state, as `FlatOptimizer.state` gave it."""
        moments: dict[str, Tensor] = load_file(self.path / "optimizer.safetensors")
        return moments

    def model(self, device: torch.device) -> LanguageModel:
        """The model in eval mode.

        Raises:
            CheckpointError: the weights do not fit the preset.
        """
        model = build(self.preset.model, self.state.n_vocab, device, None)
        load_weights(model, self.weights())
        return model.eval()


def load_weights(model: LanguageModel, weights: dict[str, Tensor]) -> None:
    """Copy `weights` into `model`.

    Raises:
        CheckpointError: a name or a shape differs.
    """
    own = dict(model.named_parameters())
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())[:3]
        raise CheckpointError("the weights are of another model", f"{', '.join(odd)} differ")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != weights[name].shape:
                shapes = f"{tuple(weights[name].shape)} and {tuple(parameter.shape)}"
                raise CheckpointError("the weights are of another size", f"{name}: {shapes}")
            parameter.copy_(weights[name])


def read(path: Path) -> Checkpoint:
    """Open a checkpoint and verify its checksums.

    Raises:
        CheckpointError: it is missing, damaged, or of another format.
    """
    try:
        manifest = manifests.unsealed((path / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ForeignFormatError(
                f"checkpoint {path.name} has format {manifest['format']}",
                f"this version reads format {FORMAT}",
                "use the version that wrote it",
            )
        for name, digest in manifest["sha256"].items():
            if manifests.digest(path / name) != digest:
                raise CheckpointError(
                    f"checkpoint {path.name} is damaged",
                    f"the checksum of {name} differs",
                    "use another checkpoint of the run",
                )
        values = json.loads((path / "state.json").read_text(encoding="utf-8"))
        # A newer version may have added fields; one that changes what they mean has another format.
        known = {one.name for one in fields(TrainingState)}
        state = TrainingState(**{name: values[name] for name in values if name in known})
        return Checkpoint(path, state, parse(state.preset, f"the preset of {path.name}"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be opened", str(error)) from None
    except PresetError as error:
        raise CheckpointError(f"checkpoint {path.name} cannot be opened", str(error)) from None


def newest(
    directory: Path, accept: Callable[[Checkpoint], bool] = lambda _: True
) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, and what was wrong with newer ones.

    Those that `accept` refuses are passed over.

    Raises:
        ForeignFormatError: another version wrote it, whose work must not be taken for damage.
    """
    wrong: list[str] = []
    for path in reversed(all_in(directory)):
        try:
            found = read(path)
        except ForeignFormatError:
            raise
        except CheckpointError as error:
            wrong.append(str(error))
            continue
        if accept(found):
            return found, wrong
    return None, wrong
