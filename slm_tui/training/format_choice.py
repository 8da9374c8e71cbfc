"""Which number format is faster for a model on this CPU: measured once, then always the same.

Processors with native bf16 multiply large matrices several times faster in it, but convert all
activations, so that small models are faster in fp32. Where the border lies depends on the
processor. The result is kept in the cache per processor and shape, and in the state of a run, so
that a preset trains the same way each time.
"""

import contextlib
import json
import time
from pathlib import Path

import numpy as np
import torch

from slm_tui import paths, safe_files
from slm_tui.config.estimate import step_flops
from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch
from slm_tui.corpus.parallel import cores
from slm_tui.models.build import build
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.precision import Format, choose_format, has_native_bf16
from slm_tui.training.stepper import Stepper

# bf16 must be faster by this factor: fp32 is more exact.
_WORTH = 1.05
# Larger steps take long to measure, and are faster in bf16 wherever it is native.
_MOST_FLOPS = 3e10
_ROUNDS, _SECONDS = 5, 0.5
# Maximum size of the file of results in bytes.
_MOST = 1 << 20


def faster_format(preset: Preset, n_vocab: int, device: torch.device, before: str = "") -> Format:
    """The format that `training.precision` means on `device`; for `auto`, the one in which the run
    was trained `before`, if the device computes in it as well, else the faster one.

    Raises:
        TrainingError: the device does not support the requested format.
    """
    chosen = choose_format(preset, device)
    if preset.training.precision == "auto":
        if before == "fp32":
            return "fp32"
        if before == "bf16" and has_native_bf16(device):
            return "bf16"
    is_open = preset.training.precision == "auto" and device.type == "cpu" and chosen == "bf16"
    if not is_open or step_flops(preset, n_vocab) > _MOST_FLOPS:
        return chosen
    key = _key(preset, n_vocab)
    known = _stored()
    if known.get(key) in ("fp32", "bf16"):
        return "fp32" if known[key] == "fp32" else "bf16"
    chosen = _measured(preset, n_vocab, device)
    with contextlib.suppress(OSError):
        text = json.dumps({**known, key: chosen}, indent=1)
        safe_files.write_atomically(_file(), text, durable=False)
    return chosen


def _measured(preset: Preset, n_vocab: int, device: torch.device) -> Format:
    """Steps in both formats take turns; the shortest of each count: other load only adds."""
    block, sequences = preset.model.block_size, preset.tokens_per_step // preset.model.block_size
    ids = np.random.default_rng(0).integers(0, n_vocab, (sequences, block + 1))
    batch = Batch(ids[:, :-1], ids[:, 1:])
    formats: tuple[Format, Format] = ("fp32", "bf16")
    steppers = {one: _stepper(preset, n_vocab, device, one) for one in formats}
    times: dict[Format, list[float]] = {one: [] for one in formats}
    began, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS or time.perf_counter() - began < _SECONDS:
        for one, stepper in steppers.items():
            start = time.perf_counter()
            stepper.step(batch, 1e-4, rounds)
            if rounds:  # the first one prepares kernels
                times[one].append(time.perf_counter() - start)
        rounds += 1
    return "bf16" if min(times["fp32"]) > _WORTH * min(times["bf16"]) else "fp32"


def _stepper(preset: Preset, n_vocab: int, device: torch.device, chosen: Format) -> Stepper:
    model = build(preset.model, n_vocab, device, 0).train()
    changed = preset.model_copy(
        update={"training": preset.training.model_copy(update={"compile": "off"})}
    )
    return Stepper(model, FlatOptimizer(model, preset.optimizer), changed, device, chosen)


def _key(preset: Preset, n_vocab: int) -> str:
    """All that decides how fast a step is."""
    training = preset.training
    shape = json.dumps(preset.model.model_dump(mode="json"), sort_keys=True)
    capability = torch.backends.cpu.get_cpu_capability()
    batch = f"{training.micro_batch} x {training.accumulation}, {training.threads} threads"
    where = f"{capability}, {cores()} cores, torch {torch.__version__}"
    return f"{where}, {batch}, {preset.optimizer.kind}, {n_vocab} tokens, {shape}"


def _stored() -> dict[str, str]:
    try:
        values = safe_files.read_json(_file(), _MOST)
        return {str(key): str(value) for key, value in values.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _file() -> Path:
    return paths.cache_dir() / "precision.json"
