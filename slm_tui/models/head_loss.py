"""Cross-entropy of a linear head, without ever holding all logits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows whose logits are held at a time: fewer for a large vocabulary, where they fill memory.
_ROWS, _ROWS_OF_LARGE = 1024, 512
_LARGE_VOCABULARY = 8192


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(`hidden` @ `weight`ᵀ) at `targets`, in nats.

    While gradients are on, they are worked out on the way, a thousand rows at a time, from the
    logits in place; a second derivative is not defined. The lower formats of autocast, and
    evaluation, take torch's own way.

    Args:
        hidden: `(rows, n_embd)`.
        weight: `(n_vocab, n_embd)`.
        targets: int64, `(rows,)`.
    """
    if torch.is_grad_enabled() and not torch.is_autocast_enabled(hidden.device.type):
        loss: Tensor = _HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(F.linear(hidden, weight), targets)


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        rows = len(hidden)
        chunk = _ROWS if len(weight) < _LARGE_VOCABULARY else _ROWS_OF_LARGE
        of_hidden = torch.empty_like(hidden)
        of_weight: Tensor | None = None
        total = hidden.new_zeros(())
        for at in range(0, rows, chunk):
            part, wanted = hidden[at : at + chunk], targets[at : at + chunk, None]
            logs = F.log_softmax(F.linear(part, weight), dim=-1)
            total -= logs.gather(1, wanted).sum()
            # softmax - one-hot, which over `rows` is the gradient with respect to the logits
            gradient = logs.exp_()
            gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, -1.0))
            torch.mm(gradient, weight, out=of_hidden[at : at + chunk])
            if of_weight is None:
                of_weight = gradient.t() @ part
            else:
                of_weight.addmm_(gradient.t(), part)
        ctx.save_for_backward(of_hidden, of_weight)
        ctx.rows = rows
        return total / rows

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_hidden, of_weight = ctx.saved_tensors
        scale = gradient / ctx.rows
        return of_hidden * scale, of_weight * scale, None
