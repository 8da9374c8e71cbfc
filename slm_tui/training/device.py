"""Where training runs: the device, its number format, CPU threads, the allocator."""

import platform

import torch

from slm_tui.corpus.parallel import cores
from slm_tui.errors import TrainingError


def choose_device(wanted: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        TrainingError: the device is unknown or does not exist.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise TrainingError(
            f"{wanted!r} is not a device", "", "set training.device to auto, cpu, cuda or mps"
        ) from None
    missing = (device.type == "cuda" and not torch.cuda.is_available()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise TrainingError(
            f"there is no {device.type} device",
            f"torch {torch.__version__} finds none",
            "set training.device to auto, or see `slm-tui doctor`",
        )
    return device


def describe_device(device: torch.device) -> str:
    """A readable name of the device."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} CPU" if device.type == "cpu" else device.type


def choose_threads(wanted: int) -> int:
    """CPU threads as requested, or one per core up to 16."""
    return wanted or min(cores(), 16)
