"""Cross-entropy of a linear head; for large vocabularies without holding all logits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Above this size chunks are faster than torch, and the logits of a batch take much memory.
_LARGE_VOCABULARY = 2048
_ROWS = 512  # rows whose logits are held at a time
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
        rows, matrix = hidden.to(dtype), weight.to(dtype)
        of_hidden, of_weight = torch.empty_like(hidden), torch.empty_like(weight)
        total = hidden.new_zeros(())
        scale = 1 / len(hidden)
        for at in range(0, len(hidden), _ROWS):
            part, wanted = rows[at : at + _ROWS], targets[at : at + _ROWS, None]
            logits = F.linear(part, matrix)
            gradient = torch.softmax(logits, dim=-1, dtype=torch.float32)
            total -= _logs(gradient, logits, wanted).sum()
            # softmax - one-hot: len(hidden) times the gradient with respect to the logits
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
            gradient = gradient.to(dtype)
            into, first = of_hidden[at : at + _ROWS], at == 0
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
        ctx.save_for_backward(of_hidden, of_weight)
        return total * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_hidden, of_weight = ctx.saved_tensors
        # On a GPU, reading the value would synchronize.
        if gradient.is_cpu and float(gradient) == 1:
            return of_hidden, of_weight, None, None
        return of_hidden * gradient, of_weight * gradient, None, None


def _logs(probabilities: Tensor, logits: Tensor, wanted: Tensor) -> Tensor:
    """Log-probabilities of `wanted`, `(rows, 1)`, even if the probabilities underflowed."""
    chosen = probabilities.gather(1, wanted)
    if chosen.is_cpu and float(chosen.min()) > _TINY:
        return chosen.log()
    # log p = logit - largest logit + log of the largest p, which cannot underflow
    logs = (logits.gather(1, wanted) - logits.amax(1, keepdim=True)).float()
    return logs + probabilities.amax(1, keepdim=True).log()
