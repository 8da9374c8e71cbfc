"""The contract of every model family, and what a loss is made of."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Loss:
    """The loss of a batch, in nats per target.

    `total` is what is minimised: `cross_entropy` plus the weighted `auxiliary` terms.
    All are 0-dimensional tensors on the device of the model.
    """

    total: Tensor
    cross_entropy: Tensor
    auxiliary: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a treatment by the optimizer."""

    parameters: list[tuple[str, nn.Parameter]]
    weight_decay: bool
    learning_rate_multiplier: float = 1.0


class LanguageModel(nn.Module):
    """A model of the next token. `ids` are int64, `(batch, time)`."""

    n_vocab: int
    block_size: int

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position: `(batch, time, n_vocab)`."""

    @abstractmethod
    def loss(self, ids: Tensor, targets: Tensor) -> Loss:
        """Mean loss over all targets; `targets[b, t]` is the token that follows `ids[b, :t+1]`."""

    @abstractmethod
    def start(self, batch: int) -> Any:
        """An empty state for generating `batch` texts."""

    @abstractmethod
    def step(self, ids: Tensor, state: Any) -> Tensor:
        """Append `ids` `(batch, time)` to the texts of `state`, which is changed in place.

        Returns:
            Logits of the next token after the last one: `(batch, n_vocab)`.
        """

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """Draw fresh weights; nothing but `generator` decides them."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Matrices, which decay, and everything else (norms, biases), which does not."""
        named = list(self.named_parameters())
        matrices = [(name, value) for name, value in named if value.dim() >= 2]
        vectors = [(name, value) for name, value in named if value.dim() < 2]
        return [ParameterGroup(matrices, True), ParameterGroup(vectors, False)]
