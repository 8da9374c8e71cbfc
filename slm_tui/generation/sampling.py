"""Samples the next token of each of several texts from logits.

The noise of a draw is a pure function of the text's seed and the draw's number, so a text is the
same alone, in a batch, after stopping and continuing, and on a CPU or a GPU.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from slm_tui.config.training import Sampling

# Below this the likeliest token is practically certain.
_COLDEST = 1e-6


@dataclass(frozen=True)
class SamplingSettings:
    """Sampling settings. `temperature` 0 is greedy; `None` disables a filter.

    At most `max_tokens` are sampled; a text ends before the first of the strings in `stop`.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 7
    max_tokens: int = 200
    stop: tuple[str, ...] = ()

    @classmethod
    def of(cls, sampling: Sampling) -> Self:
        """The settings of a preset's sampling section."""
        return cls(
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.repetition_penalty,
            sampling.seed,
            sampling.max_tokens,
            sampling.stop,
        )

    def with_(self, **changes: object) -> "SamplingSettings":
        """A copy with some settings changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def noise(seed: int, number: int, count: int = 1) -> list[float]:
    """The uniform numbers in [0, 1) for draw `number` (from 0) of the text `seed` and the draws
    after it; many cost hardly more than one."""
    # Each counter value gives four words; use the first.
    bits = np.random.Philox(key=seed, counter=number).random_raw(4 * count)[::4]
    numbers: list[float] = ((bits >> np.uint64(11)) * 2.0**-53).tolist()
    return numbers


def filtered(logits: Tensor, settings: SamplingSettings, seen: Tensor | None = None) -> Tensor:
    """Logits after penalty, temperature, top-k and top-p, in this order.

    Args:
        logits: `(texts, n_vocab)`; any floating type, computed in float32.
        seen: the tokens that the repetition penalty applies to, bool `(texts, n_vocab)`.

    Returns:
        `(texts, n_vocab)`; excluded tokens are `-inf`.

    Sources: top-k Fan et al. 2018 (arXiv:1805.04833), top-p Holtzman et al. 2019
    (arXiv:1904.09751), repetition penalty Keskar et al. 2019 (arXiv:1909.05858).
    """
    logits = logits.float()
    if settings.repetition_penalty != 1.0 and seen is not None:
        penalty = settings.repetition_penalty
        lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
        logits = torch.where(seen, lowered, logits)
    if settings.temperature > 0:
        # Shift the highest to 0, so that a small temperature cannot overflow float32.
        logits = (logits - logits.amax(1, keepdim=True)) / max(settings.temperature, _COLDEST)
    if settings.top_k is not None and settings.top_k < logits.shape[1]:
        # Exactly k remain, even if several share the k-th value.
        top = torch.topk(logits, settings.top_k)
        logits = torch.full_like(logits, -torch.inf).scatter(1, top.indices, top.values)
    if settings.top_p is not None and settings.top_p < 1.0:
        ordered, order = torch.sort(logits, descending=True)
        mass = torch.softmax(ordered, 1).cumsum(1)
        # The token that crosses the threshold stays, so at least one remains.
        outside = torch.cat((torch.zeros_like(mass[:, :1]), mass[:, :-1]), 1) >= settings.top_p
        logits = logits.masked_fill(
            torch.zeros_like(outside).scatter(1, order, outside), -torch.inf
        )
    return logits


def draw(
    logits: Tensor, settings: SamplingSettings, noises: Tensor, seen: Tensor | None = None
) -> Tensor:
    """`drawn` on the CPU, wherever the logits are: the noises and the result are there."""
    return drawn(logits.detach().cpu(), settings, noises, seen)


def drawn(
    logits: Tensor, settings: SamplingSettings, noises: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Sample one token for each text: int64 `(texts,)`, on the device of the arguments.

    Inverse transform sampling: tokens divide the unit interval by probability, in the order of
    their ids, and the noise selects one. Rounding differences hardly ever change the token.

    Args:
        logits: `(texts, n_vocab)`. Non-finite values count as impossible; if nothing is
            possible, the result is token 0.
        noises: in [0, 1), float64 `(texts,)`.
        seen: see `filtered`.
    """
    logits = torch.nan_to_num(logits.float(), nan=-torch.inf, posinf=1e30)
    logits = filtered(logits, settings, seen)
    if settings.temperature == 0:
        return logits.argmax(1)
    # If nothing is possible, the probabilities are NaN.
    chances = torch.nan_to_num(torch.softmax(logits, 1).double())
    below = chances.cumsum(1)
    total = below[:, -1:]
    # Rounding must not put the noise past the last token.
    places = torch.minimum(noises[:, None] * total, total * (1 - 2.0**-52))
    tokens = torch.searchsorted(below, places, right=True)[:, 0]
    # Without a value from the host, which a CUDA graph could not copy.
    return tokens * (total[:, 0] > 0)
