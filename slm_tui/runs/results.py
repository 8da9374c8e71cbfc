"""The results of a finished run: `results.json`, and a plot if matplotlib is installed."""

import bisect
import importlib.util
import io
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slm_tui import safe_files
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import count, finite
from slm_tui.runs import evidence, store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run, RunInfo
from slm_tui.versions import Format

RESULTS = "results.json"
_MOST_BYTES = 1 << 24


def _losses_of_intervals(values: dict[str, Any]) -> None:
    # The first version had the loss of a single step at each evaluation, later the means besides,
    # and that of the last step as the final one.
    results = values.get("training_results")
    if isinstance(results, dict):
        means = results.pop("mean_train_losses", None)
        if means is not None:
            results["train_losses"] = means
        results["last_step_train_loss"] = results.get("final_train_loss")
        results["initial_train_loss"] = results["final_train_loss"] = None


FORMAT = Format("format", migrations=[_losses_of_intervals])
_ENDED = ("done", "stopped", "stopped early")


def write_results(run: Run, preset: Preset) -> None:
    """Write `results.json` and, with matplotlib, `training_losses.png`.

    Raises:
        OSError: the disk is full or cannot be written.
        RunError: `run.json` cannot be read.
    """
    curves = Curves(run)
    curves.read()
    values = finite(_results(run.info(), preset, curves))
    values["diagnosis"] = [one.to_dict() for one in evidence.of_run(run)]
    text = json.dumps(FORMAT.stamp(values), indent=1)
    safe_files.write_atomically(run.path / RESULTS, text, parents=False)
    if has_matplotlib():
        info = run.info()
        size = info.facts.get("parameters")
        parts = [preset.name, f"{count(info.tokens_seen)} tokens"]
        parts += [f"{count(size)} parameters"] if isinstance(size, int | float) else []
        draw(curves, run.path / "training_losses.png", ", ".join(parts))


def read(run: Path) -> dict[str, Any]:
    """The `results.json` of the run in `run`, of any version.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or a newer version wrote it.
    """
    values = safe_files.read_json(run / RESULTS, _MOST_BYTES)
    if not isinstance(values, dict):
        raise ValueError(f"{RESULTS} does not contain an object")
    return FORMAT.migrate(values, RESULTS)


def has_matplotlib() -> bool:
    """Whether pictures can be drawn: matplotlib is an optional extra."""
    return importlib.util.find_spec("matplotlib") is not None


def is_missing(run: Run) -> bool:
    """Whether a run has ended but has no results yet."""
    try:
        if safe_files.is_file(run.path / RESULTS):
            return False
        info = run.info()
    except SlmTuiError:
        return False
    return info.state in _ENDED and info.step > 0


def catch_up(runs: Iterable[Run]) -> list[Run]:
    """Write missing results of ended runs, for example of a killed process.

    Return the runs that were written. Runs that cannot be written are skipped.
    """
    written = []
    for run in runs:
        try:
            if not is_missing(run):
                continue
            with store.lock(run):
                write_results(run, run.preset())
            written.append(run)
        except (OSError, SlmTuiError, ValueError, ArithmeticError, ImportError):
            continue
    return written


def _results(info: RunInfo, preset: Preset, curves: Curves) -> dict[str, Any]:
    """Losses in nats per token; the lists have one entry per evaluation.

    `train_losses` are means over the steps since the evaluation before; that of the untrained
    model, and the final one, are evaluated on the training text.
    """
    evaluations, losses = curves.evaluations, train_means(curves)
    if evaluations.step and evaluations.step[0] == 0:
        losses[0] = info.initial_train_loss
    return {
        "experiment_name": info.name,
        "description": preset.description,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "state": info.state,
        "config": {**preset.to_dict(), **settings_of(preset)},
        "model_info": {
            "total_parameters": info.facts.get("parameters"),
            "training_time_seconds": info.elapsed_seconds,
            "tokens_seen": info.tokens_seen,
            "device": info.facts.get("device"),
        },
        "training_results": {
            "steps": info.step,
            "initial_train_loss": info.initial_train_loss,
            "final_train_loss": info.final_train_loss,
            "last_step_train_loss": info.train_loss,
            "final_val_loss": info.val_loss,
            "final_val_bpb": info.val_bpb,
            "best_val_loss": info.best_loss,
            "best_val_bpb": info.best_bpb,
            "best_val_step": info.best_step,
            "floor_bpb": info.facts.get("floor_bits_per_byte"),
            "evaluated_steps": evaluations.step,
            "train_losses": losses,
            "val_losses": evaluations.loss,
        },
        "generated_samples": [
            {"step": sample.step, "prompt": sample.prompt, "text": sample.text}
            for sample in curves.samples
            if sample.step == info.step
        ],
    }


def settings_of(preset: Preset) -> dict[str, Any]:
    """The settings that experiments are most often told apart by, each under one plain name.

    Models without a setting leave it out; of several stages, `n_embd` is the widest.
    """
    model = preset.model.model_dump()
    width = model.get("n_embd", model.get("d_model"))
    limit = preset.data.limit
    chosen = limit.model_dump(exclude_none=True)
    return {
        "vocab_size": preset.tokenizer.expected_vocabulary,
        "n_embd": max(width) if isinstance(width, list | tuple) else width,
        "n_layer": preset.model.layers,
        "n_head": model.get("n_head"),
        "block_size": preset.model.block_size,
        "batch_size": preset.training.micro_batch,
        "learning_rate": preset.optimizer.learning_rate,
        "max_iters": preset.training.max_steps,
        "dropout": model.get("dropout"),
        "dataset_subset": _subset(chosen),
    }


def _subset(limit: dict[str, Any]) -> float | str:
    """The part of the text that is used: a fraction, or the limits in words."""
    if not limit:
        return 1.0
    if set(limit) == {"fraction"}:
        return float(limit["fraction"])
    return ", ".join(f"{name} {value}" for name, value in limit.items())


def train_means(curves: Curves) -> list[float | None]:
    """For each evaluation, the mean training loss of the steps since the one before; `None` if
    there is none, as before the first step."""
    means: list[float | None] = []
    steps, losses = curves.steps.step, curves.steps.loss
    at = 0
    for step in curves.evaluations.step:
        end = bisect.bisect_right(steps, step, at)
        finite = [loss for loss in losses[at:end] if math.isfinite(loss)]
        means.append(sum(finite) / len(finite) if finite else None)
        at = end
    return means


def draw(curves: Curves, path: Path, title: str) -> None:
    """Plot training and validation loss at the same evaluations as a PNG; every step is faint.

    Raises:
        OSError: `path` cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(
        title=title, xlabel="step (optimizer updates)", ylabel="loss (nats per token)"
    )
    axes.plot(curves.steps.step, curves.steps.loss, color="tab:green", alpha=0.3)
    evaluations = curves.evaluations
    means = train_means(curves)
    known = [(step, mean) for step, mean in zip(evaluations.step, means, strict=True) if mean]
    if known:
        axes.plot(*zip(*known, strict=True), "o-", color="tab:green", label="train")
    axes.plot(evaluations.step, evaluations.loss, "o-", color="tab:red", label="validation")
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    safe_files.write_atomically(path, picture.getvalue(), parents=False)
