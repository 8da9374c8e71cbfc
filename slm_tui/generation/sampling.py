"""Choosing the next token from logits."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from slm_tui.config.training import Sampling

# Below this the likeliest token is as good as certain.
_COLDEST = 1e-6


@dataclass(frozen=True)
class SamplingSettings:
    """How to draw. `temperature` 0 is greedy; `None` switches a filter off."""

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 7
    max_tokens: int = 200

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
        )

    def with_(self, **changes: object) -> "SamplingSettings":
        """A copy with some settings changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def filtered(logits: Tensor, settings: SamplingSettings, history: Tensor | None = None) -> Tensor:
    """Logits after penalty, temperature, top-k and top-p, in this order.

    Args:
        logits: `(n_vocab,)`; any floating type, computed in float32.
        history: ids that the repetition penalty lowers, `(length,)`.

    Returns:
        `(n_vocab,)`; what cannot be drawn is `-inf`.

    Sources: top-k Fan et al. 2018 (arXiv:1805.04833), top-p Holtzman et al. 2019
    (arXiv:1904.09751), repetition penalty Keskar et al. 2019 (arXiv:1909.05858).
    """
    logits = logits.float()
    if settings.repetition_penalty != 1.0 and history is not None and len(history):
        seen = torch.unique(history)
        values = logits[seen]
        penalty = settings.repetition_penalty
        logits = logits.clone()
        logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if settings.temperature > 0:
        # The highest becomes 0, so that a small temperature cannot push it beyond float32.
        logits = (logits - logits.max()) / max(settings.temperature, _COLDEST)
    if settings.top_k is not None and settings.top_k < logits.numel():
        # Exactly k survive, also where several share the k-th value.
        kept = torch.topk(logits, settings.top_k)
        logits = torch.full_like(logits, -torch.inf).scatter(0, kept.indices, kept.values)
    if settings.top_p is not None and settings.top_p < 1.0:
        ordered, order = torch.sort(logits, descending=True)
        mass = torch.softmax(ordered, 0).cumsum(0)
        # The token that crosses the line stays, so at least one does.
        outside = torch.cat((torch.zeros_like(mass[:1]), mass[:-1])) >= settings.top_p
        logits = logits.masked_fill(
            torch.zeros_like(outside).scatter(0, order, outside), -torch.inf
        )
    return logits


def draw(
    logits: Tensor,
    settings: SamplingSettings,
    generator: torch.Generator,
    history: Tensor | None = None,
) -> int:
    """Draw one token. `generator` must live on the CPU: the same seed draws the same on any device.

    Non-finite logits count as impossible; if nothing is possible, token 0 is drawn.
    """
    logits = torch.nan_to_num(logits.detach().cpu().float(), nan=-torch.inf, posinf=1e30)
    if settings.temperature == 0:
        return int(filtered(logits, settings, history).argmax())
    chances = torch.softmax(filtered(logits, settings, history), 0)
    if not bool(torch.isfinite(chances).all()):
        return 0
    return int(torch.multinomial(chances, 1, generator=generator))
