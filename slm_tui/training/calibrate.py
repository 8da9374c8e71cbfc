"""How fast this machine trains, from two short measurements, to estimate training times."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slm_tui import paths, safe_files
from slm_tui.config.estimate import Calibration, step_flops, step_seconds
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.batches import Batch
from slm_tui.models.build import build
from slm_tui.training.cpu_load import OtherLoad
from slm_tui.training.device import choose_device, choose_threads, describe_device
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.stepper import Stepper

_N_VOCAB = 512
_SECONDS = 0.4
# How long a measurement is used; and if other programs took more than this many cores meanwhile.
_VALID_SECONDS, _BUSY_SECONDS, _BUSY_CORES = 86_400.0, 600.0, 0.5
# An estimate that is wrong by this factor is no estimate.
_WRONG_FACTOR = 2.5
# Maximum size of the measurements file in bytes.
_MOST = 1 << 16
# One model dominated by overhead between operations, one dominated by the operations.
_SHAPES = (
    {"n_layer": 2, "n_embd": 32, "n_head": 1, "block_size": 16},
    {"n_layer": 2, "n_embd": 128, "n_head": 4, "block_size": 64},
)


def calibration(*, busy: Callable[[], bool] = lambda: False) -> Calibration | None:
    """The speed of the device that `auto` selects: from the cache, or measured in a second.

    A measurement is used for a day, or for ten minutes if other programs were busy meanwhile.

    Returns `None` if other training started meanwhile (`busy`): the measurement would be wrong
    and slow it down.
    """
    device = choose_device("auto")
    key = f"{describe_device(device)}, {choose_threads(0)} threads, torch {torch.__version__}"
    cached = _read(key)
    if cached is not None:
        return cached
    threads, load = torch.get_num_threads(), OtherLoad()
    torch.set_num_threads(choose_threads(0))
    try:
        times = _times(device, busy)
    finally:
        torch.set_num_threads(threads)
    if times is None or busy() or times[1] < 2 * times[0]:
        # The large model has 45 times the work: other load disturbed the measurement.
        return None
    measured = _solve(key, times)
    _write(measured, _BUSY_SECONDS if (load.foreign() or 0.0) > _BUSY_CORES else _VALID_SECONDS)
    return measured


def _times(device: torch.device, busy: Callable[[], bool]) -> list[float] | None:
    """Seconds of one step of both shapes; `None` if other training started meanwhile."""
    times = []
    for shape in _SHAPES:
        if busy():
            return None
        times.append(_step_seconds(_preset(shape), device))
    return times


def stored() -> Calibration | None:
    """The last measurement, without measuring; `None` if there is none, or it has expired."""
    return _read(None)


def forget_if_wrong(preset: Preset, facts: Mapping[str, Any], tokens_per_second: float) -> None:
    """Drop the measurement if a run of `preset` needed a very different time for its steps.

    Args:
        facts: those of the run: `n_vocab` and `tokens_per_step`. A run on several devices says
            nothing about one.
        tokens_per_second: its speed, without evaluations and checkpoints.
    """
    speed, tokens = stored(), float(facts.get("tokens_per_step") or 0)
    if speed is None or not tokens or tokens_per_second <= 0 or "processes" in facts:
        return
    if preset.training.device not in ("auto", "cpu"):
        return
    expected = step_seconds(preset, speed, int(facts.get("n_vocab") or 1))
    ratio = expected * tokens_per_second / tokens
    if not 1 / _WRONG_FACTOR < ratio < _WRONG_FACTOR:
        with contextlib.suppress(OSError):
            _file().unlink()


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
    return Calibration(key, speed, fixed, _devices())


def _devices() -> int:
    """How many devices `training.devices` may use."""
    return torch.cuda.device_count() if choose_device("auto").type == "cuda" else 1


def _file() -> Path:
    return paths.cache_dir() / "calibration.json"


def _read(key: str | None) -> Calibration | None:
    """The stored measurement of the device `key`, or of any; `None` if there is none, or it has
    expired."""
    try:
        values = safe_files.read_json(_file(), _MOST)
        result = Calibration(
            str(values["device"]),
            values["flops"],
            values["seconds_per_layer"],
            max(1, int(values.get("devices", 1))),
        )
        if not values["measured"] <= time.time() < values["expires"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return result if key in (None, result.device) and result.flops > 0 else None


def _write(result: Calibration, valid_seconds: float) -> None:
    now = time.time()
    values = asdict(result) | {"measured": now, "expires": now + valid_seconds}
    with contextlib.suppress(OSError):
        safe_files.write_atomically(_file(), json.dumps(values), durable=False)
