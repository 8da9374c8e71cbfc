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
    a time; a second derivative is not defined then.

    Args:
        hidden: `(rows, n_embd)`.
        weight: `(n_vocab, n_embd)`.
        targets: int64, `(rows,)`.
    """
    in_parts = len(weight) >= _LARGE_VOCABULARY and torch.is_grad_enabled()
    if in_parts and not torch.is_autocast_enabled(hidden.device.type):
        loss: Tensor = _LossInParts.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(F.linear(hidden, weight), targets)


class _LossInParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        total = hidden.new_zeros(())
        for at in range(0, len(hidden), _ROWS):
            part, wanted = hidden[at : at + _ROWS], targets[at : at + _ROWS, None]
            logits = F.linear(part, weight)
            gradient = torch.softmax(logits, dim=-1)
            # log p = logit - largest logit + log of the largest p, which cannot underflow
            logs = logits.gather(1, wanted) - logits.amax(1, keepdim=True)
            total -= (logs + gradient.amax(1, keepdim=True).log()).sum()
            # softmax - one-hot: len(hidden) times the gradient with respect to the logits
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
            torch.mm(gradient, weight, out=of_hidden[at : at + _ROWS])
            of_weight.addmm_(gradient.t(), part)
        ctx.save_for_backward(of_hidden, of_weight)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_hidden, of_weight = ctx.saved_tensors
        scale = gradient / len(of_hidden)
        return of_hidden * scale, of_weight * scale, None
