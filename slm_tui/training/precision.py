"""The number format of the forward pass, and loss scaling for fp16."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch

from slm_tui.config.preset import Preset
from slm_tui.errors import TrainingError

Format = Literal["fp32", "bf16", "fp16"]
# Below this width a CPU spends more time converting formats than it saves in products. On two cores
# with AMX, fp32 trains 1.05 times as fast as bf16 at a width of 64, and 0.82 times at 128. It is a
# rule, not a measurement at the start of a run: the same preset gives the same losses in all homes.
_NARROW = 96
_LARGEST_SCALE = 2.0**16
_GROWTH_STEPS = 1000


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device supports bf16 products natively; emulation is many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def choose_format(preset: Preset, device: torch.device, before: str = "") -> Format:
    """The format for `training.precision` on `device`; `auto` depends only on these two, or is the
    format in which a run was trained `before`, if the device computes in it.

    Raises:
        TrainingError: the device does not support the requested format.
    """
    name = preset.training.precision
    if name == "auto" and (before == "fp32" or (before == "bf16" and has_native_bf16(device))):
        return "fp32" if before == "fp32" else "bf16"
    if name == "auto":
        wide = device.type == "cuda" or preset.model.width >= _NARROW
        return "bf16" if wide and has_native_bf16(device) else "fp32"
    if name == "fp16" and device.type == "mps":
        raise TrainingError(
            "fp16 training is not supported on mps", "", "set training.precision to auto"
        )
    return name


def autocast(format: Format, device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass in `format`."""
    if format == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if format == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


@dataclass
class LossScale:
    """The factor on an fp16 loss: halved when gradients overflow, doubled after many good steps.

    Source: Micikevicius et al. 2018 (arXiv:1710.03740), section 3.2. For other formats it is
    always 1.
    """

    value: float = 1.0
    calm: int = 0
    moves: bool = False

    @classmethod
    def of(cls, format: Format) -> "LossScale":
        return cls(_LARGEST_SCALE, moves=True) if format == "fp16" else cls()

    def overflowed(self) -> bool:
        """A gradient was not finite. Returns whether a smaller scale may help."""
        if self.value <= 1.0:
            return False
        self.value, self.calm = max(1.0, self.value / 2), 0
        return True

    def succeeded(self) -> None:
        """A gradient was finite."""
        if not self.moves:
            return
        self.calm += 1
        if self.calm >= _GROWTH_STEPS:
            self.value, self.calm = min(_LARGEST_SCALE, self.value * 2), 0
