"""Dynamic chunking: where to cut a sequence, and the way into the chunks and back.

Source: Hwang et al. 2025 (H-Net, arXiv:2507.07955).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slm_tui.models.rowwise import at_least_fp32
from slm_tui.models.scan import linear_scan


@dataclass(frozen=True)
class Cuts:
    """The boundaries of one stage.

    `probability` is `(batch, time)`, fp32 or wider; `boundary` is bool `(batch, time)`: whether a
    chunk begins there. Padding has no boundaries.
    """

    probability: Tensor
    boundary: Tensor

    @property
    def counts(self) -> Tensor:
        """The number of chunks of each text, `(batch,)`."""
        return self.boundary.sum(1)

    @property
    def confidence(self) -> Tensor:
        """The probability of what was decided at each position: `(batch, time)`."""
        return torch.where(self.boundary, self.probability, 1 - self.probability)


class Router(nn.Module):
    """Cuts where neighbouring positions differ: p = (1 - cos(q(h[t-1]), k(h[t]))) / 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, h: Tensor, before: Tensor, begun: Tensor, valid: Tensor | None) -> Cuts:
        """The cuts of `h` `(batch, time, width)`, which follows `before` `(batch, width)`.

        Args:
            begun: bool `(batch,)`; the first position of a text that has not begun is a boundary.
            valid: bool `(batch, time)`: which positions are not padding; `None` means all.
        """
        with torch.autocast(h.device.type, enabled=False):
            h = at_least_fp32(h)
            earlier = torch.cat((before[:, None].to(h.dtype), h[:, :-1]), 1)
            cosine = F.cosine_similarity(self.query(earlier), self.key(h), dim=-1)
            probability = ((1 - cosine) / 2).clamp(0, 1)
            first = torch.where(begun, probability[:, 0], 1.0)[:, None]
            probability = torch.cat((first, probability[:, 1:]), 1)
            boundary = probability > 0.5
        return Cuts(probability, boundary if valid is None else boundary & valid)


def chunk(x: Tensor, cuts: Cuts, length: int) -> Tensor:
    """The first position of each chunk, in order.

    Args:
        x: `(batch, time, width)`.
        length: the number of chunks to keep room for: `(batch, length, width)`; what lies beyond
            the chunks of a text is padding of no meaning.
    """
    # A stable sort by "is no boundary" puts the boundaries first and keeps their order.
    order = torch.argsort(cuts.boundary.logical_not().to(torch.uint8), dim=1, stable=True)
    first = order[:, :length]
    return x.gather(1, first[:, :, None].expand(-1, -1, x.shape[2]))


def dechunk(y: Tensor, cuts: Cuts, smoothed: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Spread the chunks over their positions, smoothed: z[j] = P[j] * y[j] + (1 - P[j]) * z[j-1].

    Args:
        y: the chunks, `(batch, length, width)`.
        smoothed: the smoothed value of the chunk before, `(batch, width)`.
        valid: bool `(batch, length)`: which chunks are not padding.

    Returns:
        `(batch, time, width)`, and the smoothed value of the last chunk of each text.
    """
    chances = chunk(cuts.probability[:, :, None], cuts, y.shape[1])
    gates = torch.where(valid[:, :, None], 1 - chances, 1.0)
    inputs = torch.where(valid[:, :, None], chances * at_least_fp32(y), 0.0)
    states = linear_scan(gates.expand_as(inputs), inputs, smoothed.to(inputs.dtype))
    spread = torch.cat((smoothed[:, None].to(states.dtype), states), 1)
    at = cuts.boundary.cumsum(1)
    return spread.gather(1, at[:, :, None].expand(-1, -1, y.shape[2])), states[:, -1]


def straight_through_one(x: Tensor) -> Tensor:
    """Exactly 1, with the gradient of `x`."""
    return 1 + (x - x.detach())


def ratio_loss(cuts: Cuts, valid: Tensor | None, target: float) -> Tensor:
    """The loss that holds the share of boundaries near 1 / `target`: 1 on target.

    `N / (N - 1) * ((N - 1) * F * G + (1 - F) * (1 - G))` with the share of boundaries F, the mean
    probability G and the target N; 0-dimensional.
    """
    share, mean = share_and_mean(cuts, valid)
    return target / (target - 1) * ((target - 1) * share * mean + (1 - share) * (1 - mean))


def share_and_mean(cuts: Cuts, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """The share of boundaries and the mean probability, both over the valid positions."""
    if valid is None:
        return cuts.boundary.to(cuts.probability.dtype).mean(), cuts.probability.mean()
    number = valid.sum().clamp(min=1)
    return cuts.boundary.sum() / number, (cuts.probability * valid).sum() / number
