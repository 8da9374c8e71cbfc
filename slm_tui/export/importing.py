"""A transformers model becomes a run with one checkpoint."""

import re
import time
from dataclasses import dataclass

import torch

from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.tokenizers import ForeignTokenizer
from slm_tui.errors import RunError, cause_of, remedy_for
from slm_tui.export import hub_model, written
from slm_tui.export.model_directory import ModelDirectory
from slm_tui.export.written import Report
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint, checkpoint_dir
from slm_tui.training.checkpoint import CheckpointSnapshot
from slm_tui.training.state import TrainingState

# Gentle: the weights are already trained.
_LEARNING_RATE = 1e-4
_SMALLEST_BPE, _LARGEST_BPE = 257, 65_536


@dataclass(frozen=True)
class Imported:
    """The new run, the class that it came from, its parameters and notes for the user."""

    run: Run
    class_name: str
    parameters: int
    notes: tuple[str, ...]


def import_model(
    spec: str,
    name: str = "",
    context: int | None = None,
    report: Report = written.quiet,
) -> Imported:
    """Import a directory, or a model of the Hugging Face hub.

    Args:
        spec: the path of a directory, or `OWNER/NAME`.
        name: of the new run; empty for the name of the model.
        context: the longest context, in tokens; `None` for the model's own.
        report: called with what is being done; may raise to cancel.

    Raises:
        ImportedModelError: the model is of another class, damaged, too large, or not there.
        SlmTuiError: the name is not valid, or the run cannot be written.
    """
    path = hub_model.local_path(spec)
    label = name or _label(path.resolve().name if path else spec)
    if path is None:
        path = hub_model.download(spec, report)
    report("reading the settings")
    directory = ModelDirectory(path, context)
    tokenizer, begins = directory.tokenizer()
    report("reading the weights")
    weights = directory.weights()
    report("writing the run")
    preset = _preset(directory, label, spec)
    state = TrainingState(
        n_vocab=directory.n_vocab,
        begins_documents=begins,
        preset=preset.to_stored(),
        torch_version=str(torch.__version__),
    )
    snapshot = CheckpointSnapshot(weights, {}, state, tokenizer.to_json())
    run = _written(preset, snapshot, directory.name)
    total = sum(value.numel() for value in weights.values())
    return Imported(run, directory.name, total, _notes(directory, tokenizer))


def _written(preset: Preset, snapshot: CheckpointSnapshot, class_name: str) -> Run:
    run = store.create(preset)
    try:
        saved = checkpoint.write(run.checkpoints, snapshot, keep=True)
        for link in checkpoint_dir.LINKS:
            checkpoint_dir.link(run.checkpoints, link, saved.name)
        info = run.info()
        info.state, info.max_steps, info.heartbeat = "done", 0, time.time()
        total = sum(value.numel() for value in snapshot.weights.values())
        info.facts = {
            "imported": class_name,
            "parameters": total,
            "n_vocab": snapshot.state.n_vocab,
        }
        run.write_info(info)
    except OSError as error:
        store.drop(run)
        reason, remedy = cause_of(error), remedy_for(error, "")
        raise RunError("the run cannot be written", reason, remedy) from None
    except BaseException:
        store.drop(run)
        raise
    return run


def _preset(directory: ModelDirectory, label: str, spec: str) -> Preset:
    """What `train --from` starts with: the built-in stories until a text is chosen."""
    block_size = directory.model.block_size
    size = min(max(directory.n_vocab, _SMALLEST_BPE), _LARGEST_BPE)
    values = {
        "name": label,
        "title": f"{label}, imported"[:80],
        "description": f"Imported from {spec}: {directory.name} of transformers."[:2000],
        "tokenizer": {"kind": "bpe", "vocab_size": size},
        "model": directory.model.model_dump(mode="json", exclude_none=True),
        "optimizer": {"learning_rate": _LEARNING_RATE},
        "sampling": {"max_tokens": max(1, min(60, block_size // 2))},
    }
    return parse(values, "the imported model")


def _label(text: str) -> str:
    """A valid name of a run from that of a model."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text.rstrip("/").rpartition("/")[2]).strip("-._")
    return name[:60] or "imported"


def _notes(directory: ModelDirectory, tokenizer: ForeignTokenizer) -> tuple[str, ...]:
    notes = []
    longest = directory.config.get("max_position_embeddings", directory.config.get("n_positions"))
    if isinstance(longest, int) and longest > directory.model.block_size:
        notes.append(
            f"its context is cut from {longest:,} to {directory.model.block_size:,} tokens"
        )
    if tokenizer.normalises:
        notes.append("its tokenizer normalises text: some characters are read as others")
    return tuple(notes)
