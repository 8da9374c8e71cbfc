"""The linear recurrence `h[t] = gates[t] * h[t-1] + inputs[t]`, forward and backward.

Two schedules compute it. The sequential one is a loop over time that writes in place. The
two-level one runs all chunks of a sequence at once and then carries the state from chunk to chunk;
products of gates can only underflow to 0, which is right. Neither takes logarithms, so gates may
be 0.
"""

import math
from typing import Any

import torch
from torch import Tensor

# On a CPU the sequential schedule is faster from this many elements per time step on.
_WIDE = 4096
# Above this many elements torch splits an elementwise operation among threads and waits for all.
_ONE_THREAD = 32_768


def linear_scan(gates: Tensor, inputs: Tensor, initial: Tensor) -> Tensor:
    """All states `h` of the recurrence, `(batch, time, channels)`; differentiable once.

    Args:
        gates: `(batch, time, channels)`, or expanded to it, each between 0 and 1.
        inputs: `(batch, time, channels)`.
        initial: the state before the first step, `(batch, channels)`.
    """
    with torch.autocast(inputs.device.type, enabled=False):
        chunk = _chunk(inputs)
        if not (gates.requires_grad or inputs.requires_grad or initial.requires_grad):
            return _states(gates, inputs, initial, chunk)
        states: Tensor = _Scan.apply(gates, inputs, initial, chunk)  # type: ignore[no-untyped-call]
        return states


def _chunk(inputs: Tensor) -> int:
    """Steps per chunk of the two-level schedule; 0 for the sequential one."""
    batch, time, channels = inputs.shape
    if time < 8 or (inputs.is_cpu and batch * channels >= _WIDE):
        return 0
    return chunk_length(time)


def chunk_length(time: int) -> int:
    """The power of two that makes the fewest operations: `2 * length + time / length`."""
    return int(2 ** max(0, round(math.log2(math.sqrt(time / 2)))))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, inputs: Tensor, initial: Tensor, chunk: int) -> Tensor:
        states = _states(gates, inputs, initial, chunk)
        ctx.save_for_backward(gates, states, initial)
        ctx.chunk = chunk
        return states

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        gates, states, initial = ctx.saved_tensors
        # The gradient of the state: g[t] = gradient[t] + gates[t+1] * g[t+1].
        of_inputs = _states_backward(gates, gradient, ctx.chunk)
        of_gates = torch.empty_like(of_inputs)
        torch.mul(of_inputs[:, 1:], states[:, :-1], out=of_gates[:, 1:])
        torch.mul(of_inputs[:, 0], initial, out=of_gates[:, 0])
        return of_gates, of_inputs, gates[:, 0] * of_inputs[:, 0], None


def _states(gates: Tensor, inputs: Tensor, initial: Tensor, chunk: int) -> Tensor:
    if chunk:
        return _two_level(gates, inputs, initial, chunk)
    out = torch.empty_like(inputs, memory_format=torch.contiguous_format)
    for rows in _slices(inputs):
        # Lists of `(batch, channels)`, one per time step; indexing would cost more than the sums.
        gate, given, made = gates[rows].unbind(1), inputs[rows].unbind(1), out[rows].unbind(1)
        before = initial[rows]
        for now, f, x in zip(made, gate, given, strict=True):
            before = torch.addcmul(x, f, before, out=now)
    return out


def _states_backward(gates: Tensor, gradient: Tensor, chunk: int) -> Tensor:
    if chunk:
        return _two_level_backward(gates, gradient, chunk)
    out = torch.empty_like(gradient, memory_format=torch.contiguous_format)
    for rows in _slices(gradient):
        gate, given, made = gates[rows].unbind(1), gradient[rows].unbind(1), out[rows].unbind(1)
        made[-1].copy_(given[-1])
        for t in range(len(made) - 2, -1, -1):
            torch.addcmul(given[t], gate[t + 1], made[t + 1], out=made[t])
    return out


def _slices(values: Tensor) -> list[slice]:
    """Rows of the batch that one thread computes without waiting for others."""
    batch, _, channels = values.shape
    if not values.is_cpu:
        return [slice(0, batch)]
    rows = max(1, _ONE_THREAD // channels)
    return [slice(at, at + rows) for at in range(0, batch, rows)]


def _two_level(gates: Tensor, inputs: Tensor, initial: Tensor, chunk: int) -> Tensor:
    batch, time, channels = inputs.shape
    missing = -time % chunk
    if missing:
        gates = torch.nn.functional.pad(gates, (0, 0, 0, missing), value=1.0)
        inputs = torch.nn.functional.pad(inputs, (0, 0, 0, missing))
    shape = (batch, -1, chunk, channels)
    f, x = gates.reshape(shape).unbind(2), inputs.reshape(shape).unbind(2)
    states = inputs.new_empty(batch, len(f[0][0]), chunk, channels)
    products = torch.empty_like(states)
    made, product = states.unbind(2), products.unbind(2)
    made[0].copy_(x[0])
    product[0].copy_(f[0])
    for t in range(1, chunk):
        torch.addcmul(x[t], f[t], made[t - 1], out=made[t])
        torch.mul(f[t], product[t - 1], out=product[t])
    # The state before each chunk: (batch, chunks, channels).
    carried = torch.empty_like(states[:, :, 0])
    before, ends, factors = carried.unbind(1), states[:, :, -1].unbind(1), products[:, :, -1]
    factor = factors.unbind(1)
    before[0].copy_(initial)
    for number in range(1, len(before)):
        torch.addcmul(ends[number - 1], factor[number - 1], before[number - 1], out=before[number])
    states.addcmul_(products, carried[:, :, None])
    return states.view(batch, -1, channels)[:, :time]


def _two_level_backward(gates: Tensor, gradient: Tensor, chunk: int) -> Tensor:
    """The same from the last step to the first; step `t` is reached through the gate of `t + 1`."""
    batch, time, channels = gradient.shape
    missing = -time % chunk
    if missing:
        gates = torch.nn.functional.pad(gates, (0, 0, 0, missing))
        gradient = torch.nn.functional.pad(gradient, (0, 0, 0, missing))
    shape = (batch, -1, chunk, channels)
    chunks = gates.reshape(shape)
    f, given = chunks.unbind(2), gradient.reshape(shape).unbind(2)
    # The gate of the first step of the next chunk; there is none after the last one.
    following = torch.nn.functional.pad(chunks[:, 1:, 0], (0, 0, 0, 1))
    states = gradient.new_empty(batch, chunks.shape[1], chunk, channels)
    products = torch.empty_like(states)
    made, product = states.unbind(2), products.unbind(2)
    made[-1].copy_(given[-1])
    product[-1].copy_(following)
    for t in range(chunk - 2, -1, -1):
        torch.addcmul(given[t], f[t + 1], made[t + 1], out=made[t])
        torch.mul(f[t + 1], product[t + 1], out=product[t])
    carried = torch.zeros_like(made[0])
    after, starts, factor = carried.unbind(1), made[0].unbind(1), product[0].unbind(1)
    for number in range(len(after) - 2, -1, -1):
        later = number + 1
        torch.addcmul(starts[later], factor[later], after[later], out=after[number])
    states.addcmul_(products, carried[:, :, None])
    return states.view(batch, -1, channels)[:, :time]
