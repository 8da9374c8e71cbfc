"""Norms and gates that act on each position by itself, with their gradients written out.

On a CPU such an operation takes as long as its data takes from memory, and autograd makes one pass
over it for each step of a formula. Here a formula is computed for some rows at a time, which stay
in the cache from its first step to its last.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Elements of a block on a CPU: 256 kB in fp32.
_BLOCK = 65_536
_AS_IT_IS = nullcontext()


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Operations in the format of their arguments on the device of `x`.

    Switching autocast off takes longer than the arithmetic of a single position, so that is left
    out where it is off.
    """
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else _AS_IT_IS


def blocks(x: Tensor, width: int = 0) -> Iterator[slice]:
    """Slices of the rows of `x` `(rows, inputs)`; on a GPU all at once.

    Args:
        width: the elements of a row of the result, if more than `inputs`.
    """
    rows = len(x)
    length = max(1, _BLOCK // max(1, width, x.shape[1])) if x.is_cpu else max(1, rows)
    return (slice(at, at + length) for at in range(0, rows, length))


def at_least_fp32(x: Tensor) -> Tensor:
    """`x` in fp32 if its format is a shorter one."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def inverse_rms(x: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(mean of squares + epsilon) over the last axis, `(..., 1)`."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()


def rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """RMSNorm of the last axis of `x`, `(..., width)`, at least in fp32."""
    with without_autocast(x):
        rows = at_least_fp32(x).reshape(-1, x.shape[-1])
        if not torch.is_grad_enabled():
            return F.rms_norm(rows, gain.shape, gain, epsilon).view(x.shape)
        y: Tensor = _RmsNorm.apply(rows, gain, epsilon)  # type: ignore[no-untyped-call]
    return y.view(x.shape)


def swiglu(x: Tensor) -> Tensor:
    """silu(u) * v for the halves u and v of the last axis of `x`: `(..., width / 2)`."""
    with without_autocast(x):
        rows = x.reshape(-1, x.shape[-1])
        if not torch.is_grad_enabled():
            return _gated(rows).view(*x.shape[:-1], -1)
        y: Tensor = _SwiGlu.apply(rows)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        y, root = torch.empty_like(x), x.new_empty(len(x), 1)
        for rows in blocks(x):
            root[rows] = inverse_rms(x[rows], epsilon)
            torch.mul(x[rows], root[rows], out=y[rows]).mul_(gain)
        ctx.save_for_backward(x, gain, root)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, root = ctx.saved_tensors
        of_x, of_gain = torch.empty_like(x), torch.zeros_like(gain)
        for rows in blocks(x):
            r = root[rows]
            product = gradient[rows] * x[rows]
            of_gain += (r.t() @ product)[0]
            # x * root^2 * mean(gradient * gain * x * root)
            along = (product @ gain)[:, None] * r.pow(3) / x.shape[1]
            out = torch.mul(gradient[rows], r, out=of_x[rows]).mul_(gain)
            out.addcmul_(x[rows], along, value=-1)
        return of_x, of_gain, None


def _gated(x: Tensor) -> Tensor:
    half = x.shape[1] // 2
    y = x.new_empty(len(x), half)
    for rows in blocks(x):
        torch.mul(F.silu(x[rows, :half]), x[rows, half:], out=y[rows])
    return y


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _gated(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        half = x.shape[1] // 2
        of_x = torch.empty_like(x)
        for rows in blocks(x):
            u, v = x[rows, :half], x[rows, half:]
            chance = torch.sigmoid(u)
            silu = u * chance
            torch.mul(gradient[rows], silu, out=of_x[rows, half:])
            # The derivative of silu: s + u * s * (1 - s)
            slope = chance.addcmul_(silu, 1 - chance)
            torch.mul(slope.mul_(v), gradient[rows], out=of_x[rows, :half])
        return of_x


def _gates(forget: Tensor, given: Tensor, lowest: Tensor | None) -> tuple[Tensor, Tensor]:
    f, x = torch.empty_like(forget), torch.empty_like(forget)
    for rows in blocks(forget):
        closing = torch.sigmoid(-forget[rows])
        if lowest is not None:
            closing.mul_(1 - lowest)
        torch.sub(1, closing, out=f[rows])
        torch.mul(F.silu(given[rows]), closing, out=x[rows])
    return f, x


class _Gates(torch.autograd.Function):
    """`(forget, input) -> (f, x)` of the recurrence: f = sigmoid(forget), raised to a lower bound;
    x = (1 - f) * silu(input). All `(rows, channels)`; the bound is `(channels,)` or `None`."""

    @staticmethod
    def forward(
        ctx: Any, forget: Tensor, given: Tensor, lowest: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(forget, given, lowest)
        return _gates(forget, given, lowest)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_f: Tensor, of_x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        forget, given, lowest = ctx.saved_tensors
        of_forget, of_given = torch.empty_like(forget), torch.empty_like(forget)
        of_lowest = None if lowest is None else torch.zeros_like(lowest)
        for rows in blocks(forget):
            chance = torch.sigmoid(given[rows])
            silu = given[rows] * chance
            closed = torch.sigmoid(-forget[rows])
            closing = closed if lowest is None else closed * (1 - lowest)
            slope = chance.addcmul_(silu, 1 - chance)
            torch.mul(slope.mul_(closing), of_x[rows], out=of_given[rows])
            # With respect to `closing`, negated.
            change = torch.addcmul(of_f[rows], of_x[rows], silu, value=-1)
            if of_lowest is not None and lowest is not None:
                of_lowest += (change * closed).sum(0)
                change.mul_(1 - lowest)
            # d closed / d forget = -closed * (1 - closed)
            torch.mul(change.mul_(closed), 1 - closed, out=of_forget[rows])
        return of_forget, of_given, of_lowest


def recurrence_gates(forget: Tensor, given: Tensor, lowest: Tensor | None) -> tuple[Tensor, Tensor]:
    """The gates and the inputs of the recurrence, `(batch, time, channels)` like both arguments."""
    width = forget.shape[-1]
    with without_autocast(forget):
        rows = forget.reshape(-1, width), given.reshape(-1, width), lowest
        if torch.is_grad_enabled():
            f, x = _Gates.apply(*rows)  # type: ignore[no-untyped-call]
        else:
            f, x = _gates(*rows)
    return f.view(forget.shape), x.view(forget.shape)


class _GatedNorm(torch.autograd.Function):
    """RMSNorm(normed) * silu(gate)."""

    @staticmethod
    def forward(ctx: Any, normed: Tensor, gate: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        y, root = torch.empty_like(normed), normed.new_empty(len(normed), 1)
        for rows in blocks(normed):
            root[rows] = inverse_rms(normed[rows], epsilon)
            silu = F.silu(gate[rows]).mul_(gain)
            torch.mul(normed[rows], root[rows], out=y[rows]).mul_(silu)
        ctx.save_for_backward(normed, gate, gain, root)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        normed, gate, gain, root = ctx.saved_tensors
        of_normed, of_gate = torch.empty_like(normed), torch.empty_like(gate)
        of_gain = torch.zeros_like(gain)
        for rows in blocks(normed):
            x, g, r = normed[rows], gate[rows], root[rows]
            chance = torch.sigmoid(g)
            silu = g * chance
            product = gradient[rows] * x
            # As in the norm, for the gradient times silu.
            within = product * silu
            of_gain += (r.t() @ within)[0]
            along = (within @ gain)[:, None] * r.pow(3) / x.shape[1]
            slope = chance.addcmul_(silu, 1 - chance)
            torch.mul(slope.mul_(product), r, out=of_gate[rows]).mul_(gain)
            out = torch.mul(gradient[rows], silu, out=of_normed[rows]).mul_(gain).mul_(r)
            out.addcmul_(x, along, value=-1)
        return of_normed, of_gate, of_gain, None


def gated_norm(normed: Tensor, gate: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """RMSNorm(`normed`) * silu(`gate`), all `(..., channels)`."""
    width = normed.shape[-1]
    with without_autocast(normed):
        rows = normed.reshape(-1, width), gate.reshape(-1, width), gain, epsilon
        y: Tensor
        if torch.is_grad_enabled():
            y = _GatedNorm.apply(*rows)  # type: ignore[no-untyped-call]
        else:
            y = F.rms_norm(rows[0], gain.shape, gain, epsilon).mul_(F.silu(rows[1]))
    return y.view(normed.shape)
