"""BitLinear: a linear layer with ternary weights and 8-bit activations.

Each layer normalises its own input. Training keeps full-precision weights and passes gradients
straight through both roundings. Source: Ma et al. 2024 (arXiv:2402.17764) and Zhu et al. 2024
(arXiv:2406.02528).
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slm_tui.models.integer_product import IntegerWeight
from slm_tui.models.rowwise import blocks, inverse_rms, without_autocast
from slm_tui.models.vector_product import vector_product

_EPSILON = 1e-8  # of the norm
_LEAST = 1e-5  # the smallest scale of weights and activations
_FP16_SHIFT = 2.0**-7  # keeps sums of 8-bit codes within the range of fp16


class Trits(NamedTuple):
    """Ternary weights: `values` of -1, 0 and 1, `(outputs, inputs)`, times `scale`."""

    values: Tensor
    scale: Tensor


class KeptTrits(NamedTuple):
    """Ternary weights as inference keeps them; `packed` if there is an exact integer product."""

    values: Tensor
    scale: Tensor
    packed: IntegerWeight | None

    @classmethod
    def of(cls, trits: Trits) -> "KeptTrits":
        """Keep `trits`, which must not change any more."""
        fits = trits.values.dtype == torch.float32
        return cls(*trits, IntegerWeight.of(trits.values) if fits else None)


class Codes(NamedTuple):
    """8-bit activations: `values` are whole numbers, `(rows, inputs)`; `inverse` is what a code
    of 1 stands for in each row, `(rows, 1)`; `root` is the inverse root mean square."""

    values: Tensor
    inverse: Tensor
    root: Tensor


def ternary(weight: Tensor) -> Trits:
    """Round to the nearest of -1, 0 and 1 times the mean magnitude; halves round to even."""
    # In fp64, so that a stored scale equals the one that is computed again.
    scale = weight.abs().mean(dtype=torch.float64).clamp_(min=_LEAST).to(weight.dtype)
    return Trits((weight / scale).round_().clamp_(-1, 1), scale)


def quantize(x: Tensor, gain: Tensor) -> Codes:
    """Normalise the rows of `x` `(rows, inputs)` and round them to whole numbers up to 127."""
    root = inverse_rms(x, _EPSILON)
    scaled = x * gain
    largest = torch.linalg.vector_norm(scaled, torch.inf, dim=-1, keepdim=True)
    inverse = (largest * root).clamp_(min=_LEAST) / 127
    # The norm only scales a row, so that one multiplication makes the codes.
    return Codes(scaled.mul_(root / inverse).round_(), inverse, root)


class BitLinear(nn.Module):
    """`y = RMSNorm(x) @ weight.T` with ternary weights and 8-bit activations, without bias.

    Args:
        ternary: `False` keeps the norm and rounds nothing.
    """

    def __init__(self, inputs: int, outputs: int, ternary: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.gain = nn.Parameter(torch.ones(inputs))
        self.ternary = ternary
        self._trits: tuple[int, torch.device, torch.dtype, KeptTrits] | None = None
        self._stored: Trits | None = None
        # Whether the product with a single row is shared among threads.
        self.is_spread = False

    def forward(self, x: Tensor) -> Tensor:
        """`x` is `(..., inputs)`; the result is `(..., outputs)`, at least in fp32."""
        return self.product(x, self.weight)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer with `weight` in place of its own, for one shared with an embedding."""
        if x.dtype in (torch.bfloat16, torch.float16):
            x = x.float()
        if not self.ternary:
            normed = F.rms_norm(x, self.gain.shape, self.gain, _EPSILON)
            return F.linear(normed, weight).to(x.dtype)
        device = x.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with without_autocast(x):
            rows = x.reshape(-1, x.shape[-1])
            if torch.is_grad_enabled():
                y: Tensor = _BitLinear.apply(rows, self.gain, weight, low)  # type: ignore[no-untyped-call]
            else:
                y = self._inferred(rows, weight, low)
        return y.view(*x.shape[:-1], -1)

    def _inferred(self, rows: Tensor, weight: Tensor, low: torch.dtype) -> Tensor:
        """The product of `rows` `(rows, inputs)` without gradients."""
        kept = KeptTrits(*ternary(weight), None) if self.training else self._kept(weight)
        # As `quantize`, in fewer operations: with a single row each takes longer than its numbers.
        normed = F.rms_norm(rows, self.gain.shape, self.gain, _EPSILON)
        inverse = torch.linalg.vector_norm(normed, torch.inf, dim=-1, keepdim=True)
        inverse.clamp_(min=_LEAST).div_(127)
        codes = normed.div_(inverse).round_()
        if kept.packed is not None:
            made = kept.packed.product(codes)
        elif self.is_spread and low == rows.dtype:
            made = vector_product(codes, kept.values)
        else:
            made = _product(codes, kept.values, low)
        return made.mul_(inverse.mul_(kept.scale))

    def train(self, mode: bool = True) -> "BitLinear":
        """Change the mode; ternary weights kept for inference are dropped."""
        self._trits = None
        if mode:
            self._stored = None
        super().train(mode)
        return self

    def trits(self) -> Trits:
        """The ternary weights."""
        return self._stored or ternary(self.weight.detach())

    def use(self, trits: Trits) -> None:
        """Use these ternary weights for inference, until the layer is trained."""
        self._trits, self._stored = None, trits

    def _kept(self, weight: Tensor) -> KeptTrits:
        kept = self._trits
        facts = weight._version, weight.device, weight.dtype
        if kept is None or kept[:3] != facts:
            if self._stored is not None:
                values, scale = self._stored
                trits = Trits(values.to(weight), scale.to(weight))
            else:
                trits = ternary(weight)
            kept = self._trits = (*facts, KeptTrits.of(trits))
        return kept[3]


@torch.no_grad()
def weight_shares(module: nn.Module) -> dict[str, Tensor]:
    """The shares of -1, 0 and 1 among the ternary weights in `module`: `minus`, `zero`, `plus`."""
    layers = [one for one in module.modules() if isinstance(one, BitLinear)]
    weights = sum(one.weight.numel() for one in layers)
    trits = [one.trits().values for one in layers]
    total = torch.stack([one.sum() for one in trits]).sum() / weights
    nonzero = torch.stack([one.abs().sum() for one in trits]).sum() / weights
    return {
        "minus": (nonzero - total) / 2,
        "zero": 1 - nonzero,
        "plus": (nonzero + total) / 2,
    }


def _product(codes: Tensor, trits: Tensor, dtype: torch.dtype) -> Tensor:
    """`codes @ trits.T` in `dtype`, which holds both exactly; the result has that of `codes`."""
    if dtype == codes.dtype:
        return codes @ trits.t()
    shift = _FP16_SHIFT if dtype == torch.float16 else 1.0
    low = (codes * shift if shift != 1 else codes).to(dtype)
    made = (low @ trits.t().to(dtype)).to(codes.dtype)
    return made.mul_(1 / shift) if shift != 1 else made


class _BitLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        trits = ternary(weight)
        y = x.new_empty(len(x), len(weight))
        stored = torch.empty_like(x, dtype=torch.int8)
        inverse, root = x.new_empty(len(x), 1), x.new_empty(len(x), 1)
        for rows in blocks(x, y.shape[1]):
            codes = quantize(x[rows], gain)
            stored[rows], inverse[rows], root[rows] = codes
            made = _product(codes.values, trits.values, dtype)
            torch.mul(made, codes.inverse * trits.scale, out=y[rows])
        ctx.save_for_backward(x, gain, stored, inverse, root, *trits)
        ctx.dtype = dtype
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gain, codes, inverse, root, trits, scale = ctx.saved_tensors
        dtype: torch.dtype = ctx.dtype
        low = trits.to(dtype)
        of_x, of_gain = torch.empty_like(x), torch.zeros_like(gain)
        of_weight = x.new_zeros(trits.shape, dtype=dtype)
        factor, stored = root * scale, inverse / (root * scale)
        for rows in blocks(x, gradient.shape[1]):
            scaled = (gradient[rows] * factor[rows]).to(dtype)
            # With respect to the normalised input, times the inverse root mean square.
            of_normed = (scaled @ low).to(x.dtype)
            of_weight.addmm_(scaled.t(), (codes[rows] * stored[rows]).to(dtype))
            product = of_normed * x[rows]
            of_gain += product.sum(0)
            # Backward of the norm: d - x * root^2 * mean(d * x), d with respect to the unit row.
            along = (product @ gain)[:, None] * root[rows].square() / x.shape[1]
            torch.addcmul(of_normed.mul_(gain), x[rows], along, value=-1, out=of_x[rows])
        return of_x, of_gain, of_weight.to(x.dtype), None
