"""Cross-entropy of a linear head; for large vocabularies without holding all logits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Above this size chunks are faster than torch, and the logits of a batch take much memory.
_LARGE_VOCABULARY = 2048
_ROWS = 512  # rows whose logits are held at a time on a CPU
# A GPU needs large products. Logits in one part on a GPU: about 2 GiB with their gradients.
_GPU_LOGITS = 2**28
# Matrix products of a GPU are several times slower if a matrix does not have a multiple of 8 rows;
# they are fastest with a multiple of 64.
_GPU_ROWS_OF_WEIGHT = 64
_TINY = 1e-30


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(`hidden` @ `weight`ᵀ) at `targets`, in nats.

    With a large vocabulary the gradients are computed in the forward pass, for some rows at a
    time; second derivatives are then not defined. Under autocast the products are computed in its
    format and everything else in fp32.

    Args:
        hidden: `(rows, n_embd)`.
        weight: `(n_vocab, n_embd)`.
        targets: int64, `(rows,)`.
    """
    device = hidden.device.type
    if len(weight) < _LARGE_VOCABULARY or not torch.is_grad_enabled():
        return F.cross_entropy(F.linear(hidden, weight), targets)
    low = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if low else torch.float32
    with torch.autocast(device, enabled=False):
        loss: Tensor = _LossInParts.apply(  # type: ignore[no-untyped-call]
            hidden.float(), weight, targets, dtype
        )
    return loss


class _LossInParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        rows, matrix = hidden.to(dtype), _padded(weight, dtype)
        n_vocab, at_once = len(weight), _rows_at_once(hidden, len(matrix))
        of_hidden, of_weight = torch.empty_like(hidden), weight.new_empty(matrix.shape)
        total = hidden.new_zeros(())
        scale = 1 / len(hidden)
        for at in range(0, len(hidden), at_once):
            part, wanted = rows[at : at + at_once], targets[at : at + at_once, None]
            logits = F.linear(part, matrix)
            if len(matrix) > n_vocab:
                logits[:, n_vocab:] = -torch.inf
            gradient = torch.softmax(logits, dim=-1, dtype=torch.float32)
            total -= _logs(gradient, logits, wanted).sum()
            # softmax - one-hot: len(hidden) times the gradient with respect to the logits
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
            gradient = gradient.to(dtype)
            into, first = of_hidden[at : at + at_once], at == 0
            if dtype == torch.float32:
                torch.addmm(into, gradient, matrix, beta=0, alpha=scale, out=into)
                torch.addmm(
                    of_weight, gradient.t(), part, beta=int(not first), alpha=scale, out=of_weight
                )
            else:
                torch.mul(gradient @ matrix, scale, out=into)
                added = gradient.t() @ part
                if first:
                    torch.mul(added, scale, out=of_weight)
                else:
                    of_weight.add_(added, alpha=scale)
        ctx.save_for_backward(of_hidden, of_weight[:n_vocab])
        return total * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_hidden, of_weight = ctx.saved_tensors
        # On a GPU, reading the value would synchronize.
        if gradient.is_cpu and float(gradient) == 1:
            return of_hidden, of_weight, None, None
        return of_hidden * gradient, of_weight * gradient, None, None


def _padded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """`weight` in `dtype`, on a GPU with rows of zeros up to a size that it multiplies fast."""
    missing = -len(weight) % _GPU_ROWS_OF_WEIGHT if weight.is_cuda else 0
    if not missing:
        return weight.to(dtype)
    padded = weight.new_zeros(len(weight) + missing, weight.shape[1], dtype=dtype)
    padded[: len(weight)] = weight
    return padded


def _rows_at_once(hidden: Tensor, n_vocab: int) -> int:
    """How many rows of logits are held at a time; parts of equal size on a GPU."""
    if not hidden.is_cuda:
        return _ROWS
    parts = -(-len(hidden) * n_vocab // _GPU_LOGITS)
    return -(-len(hidden) // parts)


def _logs(probabilities: Tensor, logits: Tensor, wanted: Tensor) -> Tensor:
    """Log-probabilities of `wanted`, `(rows, 1)`, even if the probabilities underflowed."""
    chosen = probabilities.gather(1, wanted)
    if chosen.is_cpu and float(chosen.min()) > _TINY:
        return chosen.log()
    # log p = logit - largest logit + log of the largest p, which cannot underflow
    logs = (logits.gather(1, wanted) - logits.amax(1, keepdim=True)).float()
    return logs + probabilities.amax(1, keepdim=True).log()
