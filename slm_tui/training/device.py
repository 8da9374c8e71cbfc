"""Where training runs: the device, its number format, CPU threads, the allocator."""

import platform

import torch

from slm_tui.config.estimate import DAY, least_seconds_on_cpu
from slm_tui.config.preset import Preset
from slm_tui.corpus.parallel import cores
from slm_tui.errors import TrainingError
from slm_tui.formatting import duration


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


def process_count(preset: Preset) -> int:
    """How many processes train `preset` on this machine: one per device of `training.devices`.

    Raises:
        TrainingError: there are fewer devices.
    """
    training = preset.training
    if training.devices == 1:
        return 1
    device = choose_device(training.device)
    if device.type == "cpu":
        return training.devices or 1
    there = torch.cuda.device_count() if str(device) == "cuda" else 1
    if training.devices > there:
        raise TrainingError(
            f"training.devices is {training.devices}",
            f"training.device={training.device} means {there} here",
            f"set training.devices to {there}" + " or training.device to cuda" * (there == 1),
        )
    return training.devices or min(there, training.micro_batch * training.accumulation)


def describe_device(device: torch.device) -> str:
    """A readable name of the device."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} CPU" if device.type == "cpu" else device.type


def slot_of(device: torch.device) -> str:
    """The name of the processor that `device` means: `cpu`, `mps`, `cuda:0`, `cuda:1`."""
    if device.type != "cuda":
        return device.type
    return f"cuda:{device.index if device.index is not None else torch.cuda.current_device()}"


def slots() -> list[str]:
    """The names of all processors that can train: GPUs first, the CPU last."""
    names = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [*names, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def choose_threads(wanted: int) -> int:
    """CPU threads as requested, or one per core up to 16."""
    return wanted or min(cores(), 16)


def long_on_cpu(preset: Preset, steps: int) -> str:
    """A notice if a CPU takes more than a day for `steps` of this preset; otherwise empty.

    Raises:
        TrainingError: the preset's device is unknown or does not exist.
    """
    training = preset.training
    seconds = least_seconds_on_cpu(preset, training.threads or cores(), steps=steps)
    if seconds <= DAY or choose_device(training.device).type != "cpu":
        return ""
    return f"this run takes at least {duration(seconds)} on this CPU; it is meant for a GPU"
