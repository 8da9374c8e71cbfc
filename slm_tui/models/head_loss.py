"""Cross-entropy of a linear head; of a large vocabulary, without ever holding all logits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# From here on the logits of a batch take hundreds of megabytes. Below, torch's own is as fast.
_LARGE_VOCABULARY = 8192
_ROWS = 512  # whose logits are held at a time


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(`hidden` @ `weight`ᵀ) at `targets`, in nats.

    With a large vocabulary the gradients are worked out on the way, from a part of the rows at
    a time; a second derivative is not defined then. Under autocast the products are computed in
    its format and all else in fp32.

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
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        total = hidden.new_zeros(())
        for at in range(0, len(hidden), _ROWS):
            part, wanted = rows[at : at + _ROWS], targets[at : at + _ROWS, None]
            logits = F.linear(part, matrix)
            gradient = torch.softmax(logits, dim=-1, dtype=torch.float32)
            # log p = logit - largest logit + log of the largest p, which cannot underflow
            logs = (logits.gather(1, wanted) - logits.amax(1, keepdim=True)).float()
            total -= (logs + gradient.amax(1, keepdim=True).log()).sum()
            # softmax - one-hot: len(hidden) times the gradient with respect to the logits
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
            if dtype == torch.float32:
                torch.mm(gradient, matrix, out=of_hidden[at : at + _ROWS])
                of_weight.addmm_(gradient.t(), part)
            else:
                gradient = gradient.to(dtype)
                of_hidden[at : at + _ROWS] = gradient @ matrix
                of_weight += gradient.t() @ part
        ctx.save_for_backward(of_hidden, of_weight)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_hidden, of_weight = ctx.saved_tensors
        scale = gradient / len(of_hidden)
        return of_hidden * scale, of_weight * scale, None, None
