"""Exact products of whole numbers up to 8 bits on a CPU, from weights that take a byte each.

Products of one or a few rows take as long as the weights take from memory, so weights of one byte
are several times faster than weights of four. The integer kernels of torch are used where they
exist and prove exact; otherwise there is no such product, and fp32 gives the same numbers.
"""

import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

# The unsigned kernels read a code of 0 as 128.
_ZERO = 128
_ENGINE = "fbgemm"
_packing = threading.Lock()


class IntegerWeight:
    """A matrix `(outputs, inputs)` of whole numbers from -1 to 1, packed for products."""

    def __init__(self, packed: Any, product: Callable[..., Tensor]) -> None:
        self._packed = packed
        self._product = product

    @classmethod
    def of(cls, values: Tensor) -> "IntegerWeight | None":
        """Pack `values`, fp32 on a CPU; `None` if this processor or torch has no exact kernel."""
        return _packed(values) if values.is_cpu and _is_exact() else None

    def product(self, codes: Tensor) -> Tensor:
        """`codes @ values.T` of whole numbers from -128 to 127 in fp32, `(rows, inputs)`."""
        return self._product(codes, 1.0, _ZERO, self._packed)


def _packed(values: Tensor) -> IntegerWeight:
    operations = torch.ops.quantized
    # The engine, a setting of the process, decides for which kernels the weights are packed.
    with _packing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = torch.backends.quantized.engine
        torch.backends.quantized.engine = _ENGINE
        try:
            tensor = torch._make_per_tensor_quantized_tensor(values.to(torch.int8), 1.0, 0)
            packed = operations.linear_prepack(tensor, None)
        finally:
            torch.backends.quantized.engine = engine
    product = operations.linear_with_input_q_dq_qweight_dq_output_fp32
    return IntegerWeight(packed, product.default)


@cache
def _is_exact() -> bool:
    """Whether the kernels exist and are exact, also for sums of the largest codes."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-1, 2, (70, 530), generator=generator).float()
    codes = torch.randint(-128, 128, (5, 530), generator=generator).float()
    values[:2], codes[:2] = 1.0, 127.0
    values[1], codes[1] = -1.0, -128.0
    try:
        return torch.equal(_packed(values).product(codes), codes @ values.t())
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
