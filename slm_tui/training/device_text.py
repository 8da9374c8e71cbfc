"""The text of a run in the memory of its GPU, which cuts the windows of each step itself.

Copying the first token's position of each window instead of all tokens leaves the host little to
do, and the whole step, from its windows to its update, can be one CUDA graph.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slm_tui.corpus.batches import Tokens
from slm_tui.training.memory import out_of_memory

# Of the free memory of the device.
_PART = 0.125
# Tokens copied at a time.
_AT_ONCE = 1 << 24
# torch has few operations for unsigned integers: larger ones are kept as signed ones, by bytes.
_KEPT_AS: dict[int, type] = {1: np.uint8, 2: np.int16, 4: np.int32}


class DeviceText:
    """Tokens on a device.

    Args:
        tokens: unsigned integers of one, two or four bytes, `(length,)`.
        block_size: tokens per window.
    """

    def __init__(self, tokens: Tokens, block_size: int, device: torch.device) -> None:
        size = tokens.dtype.itemsize
        kept: NDArray[Any] = tokens.view(_KEPT_AS[size])
        dtype = torch.from_numpy(np.empty(0, kept.dtype)).dtype
        self._tokens = torch.empty(len(kept), dtype=dtype, device=device)
        for at in range(0, len(kept), _AT_ONCE):
            # A copy: the text is a memory map, which torch would take for one to write to.
            part = torch.from_numpy(np.array(kept[at : at + _AT_ONCE]))
            self._tokens[at : at + len(part)] = part
        self._mask = (1 << 8 * size) - 1
        self._offsets = torch.arange(block_size + 1, device=device)

    @classmethod
    def of(cls, tokens: Tokens, block_size: int, device: torch.device) -> "DeviceText | None":
        """`None` if it would take more than an eighth of the free memory of a GPU."""
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if tokens.nbytes > _PART * free:
                return None
        try:
            return cls(tokens, block_size, device)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return None

    @property
    def nbytes(self) -> int:
        """Memory it takes on the device, in bytes."""
        return self._tokens.nbytes

    def windows(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Windows and their targets, one token later: both int64 `(sequences, block_size)`.

        Args:
            starts: int64 `(sequences,)`.
        """
        found = self._tokens[starts[:, None] + self._offsets].long()
        if self._tokens.is_signed():
            found = found & self._mask
        return found[:, :-1], found[:, 1:]
