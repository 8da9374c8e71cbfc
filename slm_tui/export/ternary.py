"""A checkpoint with its ternary weights in two bits each: a small run directory of its own."""

import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from slm_tui import safe_files
from slm_tui.errors import ExportError, cause_of, remedy_for
from slm_tui.models import packing
from slm_tui.runs import info as infos
from slm_tui.runs.info import RunInfo
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint, checkpoint_dir
from slm_tui.training.checkpoint import Checkpoint, CheckpointSnapshot


@dataclass(frozen=True)
class Exported:
    """The result: where it is, and the weights' size in bytes, before and after."""

    path: Path
    before: int
    after: int
    ternary: int  # weights stored in two bits
    parameters: int


def export(source: Path, target: Path) -> Exported:
    """Write the checkpoint at `source` to the new directory `target`.

    It has no optimizer state: it generates, chats, is evaluated, and starts new runs, but cannot
    be resumed.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ExportError: it has no ternary weights, or `target` exists or cannot be written.
    """
    saved = checkpoint.read(source)
    model = saved.model(torch.device("cpu"))
    layers = packing.ternary_layers(model)
    if not layers:
        raise ExportError(
            f"{source.name} has no ternary weights",
            f"its model is {saved.preset.model.kind}",
            "choose a checkpoint of an hgrn or hnet model with ternary weights",
        )
    if target.exists() or target.is_symlink():
        raise ExportError(f"{target} already exists", "", "choose another directory")
    try:
        written = _write(saved, packing.packed_weights(model), target)
    except OSError as error:
        reason, remedy = cause_of(error), remedy_for(error, "choose another directory")
        raise ExportError(f"{target} cannot be written", reason, remedy) from None
    return Exported(
        target,
        (source / "model.safetensors").stat().st_size,
        (written / "model.safetensors").stat().st_size,
        sum(layer.weight.numel() for layer in layers.values()),
        sum(value.numel() for value in model.parameters()),
    )


def _write(saved: Checkpoint, weights: dict[str, torch.Tensor], target: Path) -> Path:
    """A run directory with one checkpoint; nothing remains of it if that fails."""
    target.mkdir()
    try:
        run = Run(target)
        safe_files.write_atomically(target / infos.PRESET, saved.preset.to_toml())
        snapshot = CheckpointSnapshot(
            weights,
            {},
            saved.state,
            safe_files.read_text(saved.path / "tokenizer.json", checkpoint.MOST_TOKENIZER),
        )
        written = checkpoint.write(run.checkpoints, snapshot)
        for name in checkpoint_dir.LINKS:
            checkpoint_dir.link(run.checkpoints, name, written.name)
        now = time.time()
        run.write_info(
            RunInfo(
                name=target.name[:60],
                preset=saved.preset.name,
                state="done",
                created=now,
                heartbeat=now,
                host=socket.gethostname(),
                step=saved.state.step,
                max_steps=saved.state.step,
                facts={"exported": "ternary", "n_vocab": saved.state.n_vocab},
            )
        )
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return written
