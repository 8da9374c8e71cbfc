"""torch.compile of the loss: on demand, or if it makes the whole run shorter.

Belongs to the training thread: the compiler's settings are per thread.
"""

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slm_tui import paths, safe_files
from slm_tui.config.preset import Preset
from slm_tui.models.base import LanguageModel, Loss
from slm_tui.training.device import describe_device

# Maximum size of the file of results in bytes.
_MOST = 1 << 20
# Assumed cost in seconds of compiling a shape for the first time.
_USUAL_COST = 45.0
# `auto` may lose at most this share of the remaining time if compiling gains nothing.
_MOST_TO_LOSE = 0.01
_WORTH = 0.97
_STEPS_MEASURED = 12
_WARM_STEPS = 5


class Forward:
    """Calls the loss of a model, compiled or not.

    `auto` measures uncompiled steps, compiles if many steps are left, measures again, and keeps
    the faster variant. Results are cached per device, model and batch.
    """

    def __init__(self, model: LanguageModel, preset: Preset, device: torch.device) -> None:
        self._model = model
        self._compiled: Callable[[Tensor, Tensor], Loss] | None = None
        self._mode = preset.training.compile
        self._device = device
        training = preset.training
        shape = f"{training.micro_batch} x {training.accumulation}, {training.precision}"
        model_shape = json.dumps(preset.model.model_dump(), sort_keys=True)
        where = f"{describe_device(device)}, torch {torch.__version__}"
        self._key = f"{where}, {shape}, {model_shape}"
        self._times: list[float] = []
        self._eager = 0.0
        self._cost = 0.0
        self.notices: list[str] = []
        if self._mode == "on":
            self._compile()

    @property
    def is_compiled(self) -> bool:
        return self._compiled is not None

    @property
    def is_measuring(self) -> bool:
        """Whether it must be told the time of each single step."""
        return self._mode == "auto"

    def __call__(self, ids: Tensor, targets: Tensor) -> Loss:
        """The loss of `ids` and `targets`, both int64 `(batch, time)`."""
        if self._compiled is None:
            return self._model.loss(ids, targets)
        try:
            return self._compiled(ids, targets)
        except Exception as error:
            if _is_memory(error):
                raise
            self._cannot(error)
            return self._model.loss(ids, targets)

    def stepped(self, seconds: float, steps_left: int) -> None:
        """Call this after every step with its duration."""
        if not self.is_measuring:
            return
        self._times.append(seconds)
        if len(self._times) < _WARM_STEPS + _STEPS_MEASURED:
            return
        measured = sorted(self._times[_WARM_STEPS:])[_STEPS_MEASURED // 2]
        if self._compiled is None:
            self._eager = measured
            self._decide(steps_left)
        else:
            # The first compiled step.
            self._cost = max(0.0, self._times[0] - measured)
            self._judge(measured)

    def _decide(self, steps_left: int) -> None:
        result = _remembered().get(self._key)
        left = self._eager * steps_left
        if result is not None:
            gains = left * (1 - result["ratio"]) > result["cost"]
        else:
            gains = left * _MOST_TO_LOSE > _USUAL_COST
        self._times = []
        if gains:
            self._compile()
        if self._compiled is None:
            self._mode = "off"

    def _judge(self, compiled: float) -> None:
        ratio = compiled / self._eager
        _remember(self._key, {"ratio": ratio, "cost": self._cost})
        self._mode = "off"
        if ratio > _WORTH:
            self._give_up(
                f"compiling gains nothing here (× {1 / ratio:.2f}): continuing without it"
            )
        else:
            self.notices.append(
                f"compiled in {self._cost:.0f} s: steps are {1 / ratio:.2f}× faster"
            )

    def _compile(self) -> None:
        missing = missing_compiler(self._device)
        if missing:
            self._give_up(f"not compiled: {missing}")
            return
        import torch._inductor.config as settings

        # One process: a pool of compilers would take cores from training.
        settings.compile_threads = 1
        try:
            compiled: Any = torch.compile(self._model.loss, dynamic=False)
        except Exception as error:  # noqa: BLE001 - it fails in many ways and is optional
            self._cannot(error)
            return
        self._compiled = compiled

    def _cannot(self, error: Exception) -> None:
        self._give_up(f"compiling failed ({_first_line(error)}): training continues without it")

    def _give_up(self, why: str) -> None:
        self._compiled, self._mode = None, "off"
        self.notices.append(why)


def missing_compiler(device: torch.device) -> str:
    """Why compiling for `device` is impossible here; empty if it is possible."""
    import importlib.util

    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device.type == "mps":
        return "not supported on mps"
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl")):
        return "no C++ compiler found (such as g++)"
    return ""


def _is_memory(error: BaseException) -> bool:
    from slm_tui.training.memory import out_of_memory

    return out_of_memory(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__


def _remembered() -> dict[str, dict[str, float]]:
    try:
        results = safe_files.read_json(paths.cache_dir() / "compiled.json", _MOST)
        return {str(key): dict(value) for key, value in results.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remember(key: str, values: dict[str, float]) -> None:
    results = {**_remembered(), key: {**values, "when": time.time()}}
    try:
        path = paths.cache_dir() / "compiled.json"
        safe_files.write_atomically(path, json.dumps(results), durable=False)
    except OSError:
        return
