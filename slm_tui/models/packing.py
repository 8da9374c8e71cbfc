"""Ternary weights in two bits each: how they are stored, and how a model gets them back.

Stored are the values of -1, 0 and 1 and their scale. Weights made of them again would have another
scale, since the mean magnitude counts the zeros: so a model keeps the stored ones for inference.
"""

from typing import Any

import torch
from torch import Tensor

from slm_tui.models.base import LanguageModel
from slm_tui.models.bitlinear import BitLinear, Trits

TRITS, SCALE = ".trits", ".scale"
_PER_BYTE = 4
_BITS = (0, 2, 4, 6)


def pack(values: Tensor) -> Tensor:
    """Four values of -1, 0 and 1 per byte: `(outputs, inputs)` to uint8 `(outputs, inputs / 4)`,
    the last byte of a row filled with zeros."""
    outputs, inputs = values.shape
    padded = torch.zeros(outputs, -(-inputs // _PER_BYTE) * _PER_BYTE, dtype=torch.uint8)
    padded[:, :inputs] = (values + 1).to(torch.uint8)
    parts = padded.view(outputs, -1, _PER_BYTE).unbind(2)
    packed = torch.zeros_like(parts[0])
    for part, bits in zip(parts, _BITS, strict=True):
        packed |= part << bits
    return packed


def unpack(packed: Tensor, inputs: int) -> Tensor:
    """The values that `pack` stored, in fp32: `(outputs, inputs)`.

    Raises:
        ValueError: `packed` has another shape, or holds something else.
    """
    if packed.dtype != torch.uint8 or packed.dim() != 2:
        raise ValueError("packed weights are not two-dimensional bytes")
    if packed.shape[1] != -(-inputs // _PER_BYTE):
        raise ValueError(f"{packed.shape[1]} bytes do not hold {inputs} weights")
    parts = torch.stack([(packed >> bits) & 3 for bits in _BITS], 2)
    values = parts.view(len(packed), -1)[:, :inputs].float() - 1
    if bool((values > 1).any()):
        raise ValueError("packed weights hold a value other than -1, 0 and 1")
    return values


def packed_weights(model: LanguageModel) -> dict[str, Tensor]:
    """The weights of `model` for storing: ternary ones as `NAME.trits` and `NAME.scale`, others
    unchanged, all on the CPU."""
    layers = ternary_layers(model)
    stored: dict[str, Tensor] = {}
    for name, value in model.named_parameters():
        if name in layers:
            trits = layers[name].trits()
            stored[name + TRITS] = pack(trits.values.cpu())
            stored[name + SCALE] = trits.scale.detach().to("cpu", torch.float64)
        else:
            stored[name] = value.detach().to("cpu", copy=True).contiguous()
    return stored


def ternary_layers(model: LanguageModel) -> dict[str, BitLinear]:
    """The ternary layers by the name of their weight; a layer tied to an embedding has none."""
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, BitLinear) and module.ternary and hasattr(module, "weight")
    }


def is_packed(weights: dict[str, Tensor]) -> bool:
    """Whether `weights` hold ternary ones in two bits."""
    return any(name.endswith(TRITS) for name in weights)


def unpacked(model: LanguageModel, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Full-precision weights that round to the stored ternary ones, for `model`.

    Args:
        model: tells the shapes; may be on the meta device.

    Raises:
        ValueError: a stored weight does not fit.
    """
    weights = {name: value for name, value in stored.items() if not name.endswith((TRITS, SCALE))}
    for name, trits in _trits(model, stored).items():
        # The mean magnitude must be the scale, and the zeros add nothing to it.
        share = trits.values.abs().mean().clamp(min=1e-6)
        weights[name] = (trits.values * (trits.scale / share)).float()
    return weights


def keep_stored(model: LanguageModel, stored: dict[str, Tensor]) -> None:
    """Make the ternary layers of `model` use the stored weights until they are trained."""
    layers = ternary_layers(model)
    for name, trits in _trits(model, stored).items():
        layers[name].use(trits)


def _trits(model: LanguageModel, stored: dict[str, Tensor]) -> dict[str, Trits]:
    layers: dict[str, Any] = ternary_layers(model)
    by_name = {}
    for key, packed in stored.items():
        name = key.removesuffix(TRITS)
        if name == key:
            continue
        if name not in layers:
            raise ValueError(f"{name} is not a ternary weight of this model")
        scale = stored.get(name + SCALE)
        if scale is None or scale.dim() or not bool(torch.isfinite(scale)) or float(scale) <= 0:
            raise ValueError(f"{name} has no scale")
        outputs, inputs = layers[name].weight.shape
        values = unpack(packed, inputs)
        if len(values) != outputs:
            raise ValueError(f"{name} has {len(values)} rows, not {outputs}")
        by_name[name] = Trits(values, scale)
    return by_name
