"""Checkpoints on disk: written atomically, verified when read, without pickle.

A checkpoint has weights and optimizer in safetensors, the state for an exact resume and the
tokenizer in JSON, and a manifest of checksums. `checkpoint_dir` has the parts without torch.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from slm_tui import manifest as manifests
from slm_tui import safe_files
from slm_tui.config.preset import NewerPresetError, Preset, from_stored
from slm_tui.corpus.tokenizers import Tokenizer, from_json
from slm_tui.errors import (
    CheckpointError,
    CorpusError,
    PresetError,
    cause_of,
    is_system_limit,
    remedy_for,
)
from slm_tui.models import packing
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from slm_tui.training import checkpoint_dir
from slm_tui.training.checkpoint_dir import (
    FORMAT,
    PAYLOAD,
    ForeignFormatError,
    UnavailableError,
    all_in,
    discard,
    is_kept,
    link,
    linked,
    name_of,
    step_of,
    sweep,
)
from slm_tui.training.memory import with_retry
from slm_tui.training.state import TrainingState
from slm_tui.training.tensor_file import write_tensors

__all__ = [
    "Checkpoint",
    "CheckpointSnapshot",
    "ForeignFormatError",
    "TrainingState",
    "all_in",
    "discard",
    "is_kept",
    "link",
    "linked",
    "name_of",
    "newest",
    "read",
    "step_of",
    "sweep",
    "write",
]

_BUFFERS = 2**21
MOST_TOKENIZER = 2**27
_NOWHERE = torch.device("meta")
# State that a request can change between steps, without a step.
_CHANGED_BY_HAND = (
    "learning_rate_multiplier",
    "max_steps",
    "max_seconds",
    "course",
    "patience_from",
)


@dataclass(frozen=True)
class CheckpointSnapshot:
    """A checkpoint in memory: copies, so that training can continue while it is written."""

    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    state: TrainingState
    tokenizer_json: str


def write(directory: Path, snapshot: CheckpointSnapshot, *, keep: bool = False) -> Path:
    """Write `snapshot` below `directory` through a temporary directory; return its path.

    A complete checkpoint of that step is left alone, unless the learning rate or end of the run
    was changed since. `keep` protects it from clean-up. The parent of `directory` must exist: a
    run that was moved away is not recreated.

    Raises:
        OSError: the disk is full or cannot be written; nothing incomplete remains.
    """
    target = directory / name_of(snapshot.state.step)
    if not _is_same_run_state(target, snapshot.state):
        keep = keep or is_kept(target)
        directory.mkdir(exist_ok=True)
        safe_files.check_directory(directory)
        temporary = safe_files.make_directory(directory, checkpoint_dir.WRITING)
        try:
            _fill(temporary, snapshot)
            checkpoint_dir.swap(temporary, target)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if keep:
        checkpoint_dir.keep(target)
    return target


def _is_same_run_state(path: Path, state: TrainingState) -> bool:
    """Whether training would continue from the checkpoint at `path` as it does from `state`."""
    try:
        have = checkpoint_dir.read_state(path, checkpoint_dir.read_manifest(path))
    except CheckpointError:
        return False
    return all(getattr(have, name) == getattr(state, name) for name in _CHANGED_BY_HAND)


def _fill(temporary: Path, snapshot: CheckpointSnapshot) -> None:
    # Without memory for small buffers, fail before anything is written.
    with_retry(lambda: torch.empty(_BUFFERS, dtype=torch.uint8), torch.device("cpu"))
    write_tensors(snapshot.weights, temporary / "model.safetensors")
    write_tensors(snapshot.moments, temporary / "optimizer.safetensors")
    (temporary / "state.json").write_text(json.dumps(snapshot.state.to_stored(), indent=1))
    (temporary / "tokenizer.json").write_text(snapshot.tokenizer_json, encoding="utf-8")
    sums = {name: manifests.digest(temporary / name) for name in PAYLOAD}
    for name in PAYLOAD:
        safe_files.sync_file(temporary / name)
    manifest = {"format": FORMAT, "step": snapshot.state.step, "sha256": sums}
    safe_files.write_atomically(temporary / "manifest.json", manifests.sealed(manifest))


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint."""

    path: Path
    state: TrainingState
    preset: Preset

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with.

        Raises:
            CheckpointError: the file is damaged or does not belong to these weights.
        """
        try:
            text = safe_files.read_text(self.path / "tokenizer.json", MOST_TOKENIZER)
            tokenizer = from_json(text)
        except (OSError, ValueError, CorpusError) as error:
            raise CheckpointError(
                f"the tokenizer of {self.path.name} cannot be opened", str(error)
            ) from None
        if tokenizer.n_vocab != self.state.n_vocab:
            raise CheckpointError(
                f"the tokenizer of {self.path.name} belongs to another model",
                f"it has {tokenizer.n_vocab:,} tokens, the model {self.state.n_vocab:,}",
            )
        return tokenizer

    def weights(self) -> dict[str, Tensor]:
        """Weights by parameter name, on the CPU. Packed ternary ones become full-precision
        weights that round to them.

        Raises:
            CheckpointError: the file cannot be read, or does not fit the preset.
        """
        stored = self._stored()
        return self._unpacked(stored) if packing.is_packed(stored) else stored

    def _stored(self) -> dict[str, Tensor]:
        return _loaded(self.path / "model.safetensors")

    def _unpacked(self, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        try:
            return packing.unpacked(self._outline(), stored)
        except ValueError as error:
            raise CheckpointError("the weights belong to another model", str(error)) from None

    def checked_weights(self) -> dict[str, Tensor]:
        """The weights in fp32, as in `weights`, once they are known to fit the preset.

        Raises:
            CheckpointError: the file cannot be read, or does not fit the preset.
        """
        weights = self.weights()
        check_weights(self._outline(), weights)
        return {name: value.float() for name, value in weights.items()}

    def _outline(self) -> LanguageModel:
        """The model without memory for its weights."""
        return build(self.preset.model, self.state.n_vocab, _NOWHERE, None)

    def moments(self) -> dict[str, Tensor]:
        """The optimizer's state, as returned by `FlatOptimizer.state`.

        Raises:
            CheckpointError: the file cannot be read.
        """
        return _loaded(self.path / "optimizer.safetensors")

    def model(self, device: torch.device) -> LanguageModel:
        """The model in eval mode.

        Raises:
            CheckpointError: the weights do not fit the preset.
        """
        stored = self._stored()
        is_packed = packing.is_packed(stored)
        weights = self._unpacked(stored) if is_packed else stored
        # First without allocating: a foreign preset may ask for more memory than there is.
        check_weights(self._outline(), weights)
        model = build(self.preset.model, self.state.n_vocab, device, None)
        load_weights(model, weights)
        model.eval()
        if is_packed:
            packing.keep_stored(model, stored)
        return model


def _loaded(path: Path) -> dict[str, Tensor]:
    try:
        if not safe_files.is_file(path):
            raise OSError(f"{path.name} is missing or not a file")
        tensors: dict[str, Tensor] = load_file(path)
    except RuntimeError as error:
        if (why := os.strerror(errno.EMFILE)) not in str(error):
            raise
        raise _closed(path, OSError(errno.EMFILE, why)) from None
    except (SafetensorError, OSError, ValueError) as error:
        if is_system_limit(error):
            raise _closed(path, error) from None
        raise CheckpointError(
            f"{path.name} of {path.parent.name} cannot be read", str(error)
        ) from None
    return tensors


def _closed(path: Path, error: Exception) -> UnavailableError:
    what = f"{path.name} of {path.parent.name} cannot be read"
    return UnavailableError(what, cause_of(error), remedy_for(error, ""))


def check_weights(model: LanguageModel, weights: dict[str, Tensor]) -> None:
    """Raise if `weights` do not fit `model`.

    Raises:
        CheckpointError: a name or a shape differs.
    """
    own = dict(model.named_parameters())
    if own.keys() != weights.keys():
        odd = sorted(own.keys() ^ weights.keys())[:3]
        raise CheckpointError("the weights belong to another model", f"{', '.join(odd)} differ")
    for name, parameter in own.items():
        if parameter.shape != weights[name].shape:
            shapes = f"{tuple(weights[name].shape)} and {tuple(parameter.shape)}"
            raise CheckpointError("the weights have another size", f"{name}: {shapes}")
        if not weights[name].is_floating_point():
            raise CheckpointError("the weights belong to another model", f"{name} holds no weights")


def load_weights(model: LanguageModel, weights: dict[str, Tensor]) -> None:
    """Copy `weights` into `model`.

    Raises:
        CheckpointError: a name or a shape differs.
    """
    check_weights(model, weights)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])


def read(path: Path) -> Checkpoint:
    """Open a checkpoint and verify its checksums.

    Raises:
        ForeignFormatError: it is intact, but in the format of another version.
        CheckpointError: it is missing or damaged.
    """
    manifest = checkpoint_dir.read_manifest(path)
    checkpoint_dir.check_payload(path, manifest)
    state = checkpoint_dir.read_state(path, manifest)
    try:
        return Checkpoint(path, state, from_stored(state.preset, f"the preset of {path.name}"))
    except NewerPresetError as error:
        raise ForeignFormatError(error.what, error.why, error.remedy) from None
    except PresetError as error:
        raise CheckpointError(f"checkpoint {path.name} cannot be opened", str(error)) from None


def whole_ones(directory: Path, wrong: list[str]) -> Iterator[Checkpoint]:
    """The valid checkpoints in `directory`, newest first.

    Problems with others are added to `wrong`.

    Raises:
        ForeignFormatError: another version wrote it; this must not be taken for damage.
        UnavailableError: a system limit prevents opening the newest one.
    """
    for path in reversed(all_in(directory)):
        try:
            checkpoint = read(path)
        except (ForeignFormatError, UnavailableError):
            raise
        except CheckpointError as error:
            wrong.append(str(error))
            continue
        yield checkpoint


def newest(
    directory: Path, accept: Callable[[Checkpoint], bool] = lambda _: True
) -> tuple[Checkpoint | None, list[str]]:
    """The newest valid checkpoint, and the problems with newer ones.

    Those that `accept` rejects are skipped.

    Raises:
        ForeignFormatError: another version wrote it; this must not be taken for damage.
        UnavailableError: a system limit prevents opening the newest one.
    """
    wrong: list[str] = []
    accepted = (one for one in whole_ones(directory, wrong) if accept(one))
    return next(accepted, None), wrong
