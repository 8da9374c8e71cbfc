"""How fast this machine trains, from two short measurements, to estimate training times."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch

from slm_tui import paths, safe_files
from slm_tui.config.estimate import Calibration, step_flops
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.batches import Batch
from slm_tui.models.build import build
from slm_tui.training.device import choose_device, choose_threads, describe_device
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.stepper import Stepper

_N_VOCAB = 512
_SECONDS = 0.4
# Maximum size of the measurements file in bytes.
_MOST = 1 << 16
# One model dominated by overhead between operations, one dominated by the operations.
_SHAPES = (
    {"n_layer": 2, "n_embd": 32, "n_head": 1, "block_size": 16},
    {"n_layer": 2, "n_embd": 128, "n_head": 4, "block_size": 64},
)


def calibration(*, busy: Callable[[], bool] = lambda: False) -> Calibration | None:
    """The speed of the device that `auto` selects: from the cache, or measured in a second.

    Returns `None` if other training started meanwhile (`busy`): the measurement would be wrong
    and slow it down.
    """
    device = choose_device("auto")
    key = f"{describe_device(device)}, {choose_threads(0)} threads, torch {torch.__version__}"
    cached = _read(key)
    if cached is not None:
        return cached
    torch.set_num_threads(choose_threads(0))
    times = []
    for shape in _SHAPES:
        if busy():
            return None
        times.append(_step_seconds(_preset(shape), device))
    if busy() or times[1] < 2 * times[0]:
        # The large model has 45 times the work: other load disturbed the measurement.
        return None
    measured = _solve(key, times)
    _write(measured)
    return measured


def _preset(shape: dict[str, int]) -> Preset:
    values = {"name": "calibration", "model": shape, "training": {"micro_batch": 8}}
    return parse(values, "the calibration")


def _step_seconds(preset: Preset, device: torch.device) -> float:
    """Shortest time of one step: other load on the machine can only add to it."""
    model = build(preset.model, _N_VOCAB, device, 0).train()
    stepper = Stepper(model, FlatOptimizer(model, preset.optimizer), preset, device)
    ids = np.random.default_rng(0).integers(0, _N_VOCAB, (8, preset.model.block_size + 1))
    batch = Batch(ids[:, :-1], ids[:, 1:])
    stepper.step(batch, 1e-4, 0)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        stepper.step(batch, 1e-4, len(times))
        times.append(time.perf_counter() - start)
    return min(times)


def _solve(key: str, times: list[float]) -> Calibration:
    """Solve time = layers x fixed cost + operations / speed for two shapes."""
    small, large = (step_flops(_preset(shape), _N_VOCAB) for shape in _SHAPES)
    speed = (large - small) / max(times[1] - times[0], 1e-6)
    fixed = max(0.0, times[0] - small / speed) / (_preset(_SHAPES[0]).model.layers + 1)
    return Calibration(key, speed, fixed)


def _read(key: str) -> Calibration | None:
    try:
        values = safe_files.read_json(paths.cache_dir() / "calibration.json", _MOST)
        result = Calibration(str(values["device"]), values["flops"], values["seconds_per_layer"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if result.device == key and result.flops > 0 else None


def _write(result: Calibration) -> None:
    try:
        safe_files.write_atomically(
            paths.cache_dir() / "calibration.json", json.dumps(asdict(result)), durable=False
        )
    except OSError:
        return
