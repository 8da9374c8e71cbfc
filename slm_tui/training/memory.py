"""Running out of memory: recognising it, and choosing the size of a pass."""

from collections.abc import Callable
from typing import TypeVar

import torch

from slm_tui.config.estimate import activation_bytes
from slm_tui.config.preset import Preset
from slm_tui.errors import TrainingError, in_words
from slm_tui.training.allocator import give_back_free_blocks

T = TypeVar("T")

_ONEDNN = "could not create a primitive"
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    # Messages of oneDNN, under torch on CPUs, when it got no memory for its code or buffers.
    _ONEDNN,
    "could not create a memory",
    "could not execute a primitive",
)
# Micro-batches of a step are merged up to these limits. They are constants, independent of free
# memory: the same preset must give the same losses. On a CPU more tokens at once gain nothing.
_CPU_BYTES = 2**30
_CPU_TOKENS = 4096
_GPU_PART = 0.25


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on the CPU or on a GPU."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        sign in text for sign in _SIGNS
    )


def release(device: torch.device, reason: str) -> None:
    """Free cached memory of the allocators, after memory ran out and the tensors are gone.

    Args:
        reason: the error message.
    """
    give_back_free_blocks()
    if _ONEDNN in reason:
        # Once oneDNN got no memory for code, it creates no more in that thread, even if memory
        # becomes free. Without it torch uses other kernels with the same result.
        torch.backends.mkldnn.set_flags(False)  # type: ignore[no-untyped-call]
    if device.type == "cuda":
        torch.cuda.empty_cache()


def with_retry(make: Callable[[], T], device: torch.device) -> T:
    """Call `make()`; if memory runs out, release caches and try once more."""
    try:
        return make()
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = first_line(error)
    release(device, reason)
    return make()


def failure(error: Exception) -> str:
    """What to tell the user about an error that ended a run."""
    if out_of_memory(error) and not isinstance(error, TrainingError):
        return f"memory ran out: {first_line(error)}; close other programs, then resume the run"
    return in_words(error)


def first_line(error: BaseException) -> str:
    """The error message in one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def sequences_at_once(preset: Preset, n_vocab: int, device: torch.device) -> int:
    """Sequences in one forward pass: as many micro-batches of a step as fit together.

    The gradient of a step is over all its sequences; fewer, larger passes are cheaper.
    """
    training = preset.training
    room = _CPU_BYTES
    if device.type == "cuda":
        room = int(_GPU_PART * torch.cuda.get_device_properties(device).total_memory)
    one = activation_bytes(preset, n_vocab, training.micro_batch)
    together = min(training.accumulation, room // max(1, one))
    if device.type == "cpu":
        together = min(together, _CPU_TOKENS // (training.micro_batch * preset.model.block_size))
    together = max(1, together)
    # Make passes equally large, if that does not take more of them.
    passes = -(-training.accumulation // together)
    return training.micro_batch * -(-training.accumulation // passes)
