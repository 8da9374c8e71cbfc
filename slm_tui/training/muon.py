"""Muon: momentum whose matrices are orthogonalized before they are applied.

Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon). The update is scaled as in Liu
et al. 2025 (arXiv:2502.16982), so that its size matches AdamW and both can share a learning rate
and a weight decay.
"""

import itertools
import math

import torch
from torch import Tensor

from slm_tui.config.training import Optimizer as OptimizerConfig
from slm_tui.training import precision

# The quintic of Jordan et al.: five iterations bring all singular values near one.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
_RMS_OF_ADAMW = 0.2


class Muon:
    """Updates a range of flat buffers that holds matrices of one shape.

    Args:
        weights, gradients, momentum: flat, of equal length.
        shapes: name and shape of each matrix, in order; `(rows, columns)`.
        decay: weight decay, per unit of learning rate.
        rate_multiplier: their learning rate relative to that of the model.
    """

    def __init__(
        self,
        weights: Tensor,
        gradients: Tensor,
        momentum: Tensor,
        shapes: list[tuple[str, torch.Size]],
        config: OptimizerConfig,
        decay: float,
        rate_multiplier: float = 1.0,
    ) -> None:
        self.size = weights.numel()
        self._beta, self._decay = config.muon_momentum, decay
        self._rate_multiplier = rate_multiplier
        self._weights, self._gradients, self._momentum = weights, gradients, momentum
        self._dtype = torch.bfloat16 if precision.has_native_bf16(weights.device) else torch.float32
        self._stacks: list[tuple[slice, torch.Size]] = []
        start = 0
        cut = [_one_matrix(name, shape) for name, shape in shapes]
        for shape, alike in itertools.groupby(cut, key=lambda one: one[1:]):
            number = sum(one[0] for one in alike)
            end = start + number * shape.numel()
            self._stacks.append((slice(start, end), torch.Size((number, *shape))))
            start = end

    @torch.no_grad()
    def update(self, learning_rate: float) -> None:
        """One update of all matrices."""
        learning_rate *= self._rate_multiplier
        self._momentum.lerp_(self._gradients, 1 - self._beta)
        # Nesterov momentum: look one step ahead.
        ahead = self._gradients.lerp(self._momentum, self._beta)
        if self._decay:
            self._weights.mul_(1 - learning_rate * self._decay)
        for inside, shape in self._stacks:
            stack = ahead[inside].view(shape)
            scale = _RMS_OF_ADAMW * math.sqrt(max(shape[1:]))
            flat = orthogonalize(stack, self._dtype).reshape(-1)
            self._weights[inside].add_(flat, alpha=-learning_rate * scale)

    @torch.no_grad()
    def update_on_device(self, learning_rate: Tensor, finite: Tensor) -> None:
        """`update` with a rate that only the device knows; nothing changes unless `finite`."""
        rate = learning_rate * self._rate_multiplier * finite
        # A gradient that is not finite would remain so when multiplied with zero.
        gradients = torch.where(finite, self._gradients, self._momentum)
        self._momentum.lerp_(gradients, 1 - self._beta)
        ahead = gradients.lerp_(self._momentum, self._beta)
        if self._decay:
            self._weights.mul_(1 - rate * self._decay)
        for inside, shape in self._stacks:
            scale = _RMS_OF_ADAMW * math.sqrt(max(shape[1:]))
            flat = orthogonalize(ahead[inside].view(shape), self._dtype).reshape(-1)
            self._weights[inside].sub_(flat * (rate * scale))


def _one_matrix(name: str, shape: torch.Size) -> torch.Size:
    """`(matrices, rows, columns)`: queries, keys and values count as three matrices."""
    if ".qkv." in name and shape[0] == 3 * shape[1]:
        return torch.Size((3, shape[0] // 3, shape[1]))
    return torch.Size((1, *shape))


def orthogonalize(stack: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Approximate nearest semi-orthogonal matrices, with singular values near one.

    Args:
        stack: `(matrices, rows, columns)`.
        dtype: what the products are computed in.

    Returns:
        fp32, of the same shape.
    """
    a, b, c = _COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    x = (stack.mT if tall else stack).to(dtype)
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if tall else x).float()
