"""The contract of every model family, and what a loss is made of."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

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


Role = Literal["hidden", "embedding", "vector"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a treatment by the optimizer."""

    parameters: list[tuple[str, nn.Parameter]]
    role: Role
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
        """Hidden matrices; embeddings and the output layer; norms and biases."""
        groups: dict[Role, list[tuple[str, nn.Parameter]]]
        groups = {"hidden": [], "embedding": [], "vector": []}
        for name, value in self.named_parameters():
            role: Role = "hidden" if value.dim() >= 2 else "vector"
            if role == "hidden" and ("embedding" in name or name.startswith("head.")):
                role = "embedding"
            groups[role].append((name, value))
        return [ParameterGroup(named, role) for role, named in groups.items()]
