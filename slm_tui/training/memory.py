"""Running out of memory: how it is told from other errors, and how large a pass may be."""

import torch

from slm_tui.config.estimate import activation_bytes
from slm_tui.config.preset import Preset

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
# Passes of a step are done together up to these limits. Constants, not what happens to be free:
# the same preset must give the same losses. On a CPU more tokens at once gain nothing.
_CPU_BYTES = 2**30
_CPU_TOKENS = 4096
_GPU_PART = 0.25


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on the CPU or on a GPU."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        sign in text for sign in _SIGNS
    )


def sequences_at_once(preset: Preset, n_vocab: int, device: torch.device) -> int:
    """Sequences in one forward pass: as many micro-batches of a step as fit together.

    The gradient of a step is that of all its sequences; in fewer, larger passes it costs less.
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
    # Passes of one size, where that takes no more of them.
    passes = -(-training.accumulation // together)
    return training.micro_batch * -(-training.accumulation // passes)
