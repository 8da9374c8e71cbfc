"""Writes tensors in the safetensors format, without the library.

The library ends the whole process if it finds no memory for its buffer; here that is an error like
any other. Files are read with the library.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write `tensors`, on the CPU, to the new file `path`.

    Raises:
        OSError: it exists, or cannot be written.
        MemoryError: there is no memory for the header.
        RuntimeError: there is no memory for a tensor that is not contiguous.
        KeyError: a tensor has a format that the file cannot hold.
    """
    # Larger elements first, as the library orders them: each is then aligned to its size.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {}
    at = 0
    for name in names:
        one = tensors[name]
        end = at + one.numel() * one.element_size()
        header[name] = {
            "dtype": _NAMES[one.dtype],
            "shape": list(one.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in names:
            flat = tensors[name].detach().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)
