"""The results of a finished run: `results.json`, and a plot if matplotlib is installed."""

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
from slm_tui.runs import evidence, store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run, RunInfo

RESULTS = "results.json"
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
    text = json.dumps(values, indent=1)
    safe_files.write_atomically(run.path / RESULTS, text, parents=False)
    if importlib.util.find_spec("matplotlib") is not None:
        draw(curves, run.path / "training_losses.png", preset.name)


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
    """Losses in nats per token; the lists have one entry per evaluation."""
    steps, evaluations = curves.steps, curves.evaluations
    losses = dict(zip(steps.step, steps.loss, strict=True))
    return {
        "experiment_name": info.name,
        "description": preset.description,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "state": info.state,
        "config": preset.to_dict(),
        "model_info": {
            "total_parameters": info.facts.get("parameters"),
            "training_time_seconds": info.elapsed_seconds,
            "tokens_seen": info.tokens_seen,
            "device": info.facts.get("device"),
        },
        "training_results": {
            "steps": info.step,
            "final_train_loss": steps.loss[-1] if steps.loss else None,
            "final_val_loss": info.val_loss,
            "final_val_bpb": info.val_bpb,
            "best_val_loss": info.best_loss,
            "best_val_bpb": info.best_bpb,
            "best_val_step": info.best_step,
            "floor_bpb": info.facts.get("floor_bits_per_byte"),
            "evaluated_steps": evaluations.step,
            "train_losses": [losses.get(step) for step in evaluations.step],
            "val_losses": evaluations.loss,
        },
        "generated_samples": [
            {"step": sample.step, "prompt": sample.prompt, "text": sample.text}
            for sample in curves.samples
            if sample.step == info.step
        ],
    }


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which are not JSON, with null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw(curves: Curves, path: Path, title: str) -> None:
    """Plot training and validation loss against steps as a PNG.

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
    axes.plot(curves.steps.step, curves.steps.loss, color="tab:green", alpha=0.6, label="train")
    axes.plot(
        curves.evaluations.step, curves.evaluations.loss, "o-", color="tab:red", label="validation"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    safe_files.write_atomically(path, picture.getvalue(), parents=False)
