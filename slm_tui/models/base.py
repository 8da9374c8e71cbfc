"""The contract of every model family, and the parts of a loss."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Loss:
    """The loss of a batch, in nats per target.

    `total` is minimised: `cross_entropy` plus any terms that the model adds. `metrics` are figures
    to monitor, by the names that the model declares: they go to the log and to every sink. All
    are 0-dimensional tensors on the device of the model.
    """

    total: Tensor
    cross_entropy: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


Role = Literal["hidden", "embedding", "routing", "vector"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that the optimizer treats alike."""

    parameters: list[tuple[str, nn.Parameter]]
    role: Role
    learning_rate_multiplier: float = 1.0


class State(Protocol):
    """A model's state for several texts in generation: a cache or a recurrent state."""

    @property
    def nbytes(self) -> int:
        """Its memory in bytes."""
        ...

    def take(self, texts: Sequence[int]) -> Self:
        """A copy of the texts at these indices, in this order; repeats are allowed."""
        ...

    def joined(self, other: Self) -> Self:
        """The texts of both, those of `self` first."""
        ...


class LanguageModel(nn.Module):
    """A next-token model. `ids` are int64, `(batch, time)`."""

    n_vocab: int
    block_size: int
    metrics: tuple[str, ...] = ()
    """The names of the metrics in every `loss`."""

    @property
    def context(self) -> int | None:
        """How many tokens a state holds; `None` for a recurrence, which has no limit."""
        return self.block_size

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position: `(batch, time, n_vocab)`."""

    @abstractmethod
    def loss(self, ids: Tensor, targets: Tensor) -> Loss:
        """Mean loss over all targets; `targets[b, t]` is the token that follows `ids[b, :t+1]`."""

    @abstractmethod
    def start(self, batch: int) -> Any:
        """An empty `State` for generating `batch` texts."""

    @abstractmethod
    def step(self, ids: Tensor, state: Any, lengths: Sequence[int] | None = None) -> Tensor:
        """Append `ids` `(batch, time)` to the texts of `state`, which is changed in place.

        Args:
            ids: the next tokens of each text.
            state: from `start` or an earlier step.
            lengths: how many of `ids` belong to each text, at least 1; the rest is padding and
                has no effect. `None` means all of them.

        Returns:
            Logits of the next token after the last one of each text: `(batch, n_vocab)`.
        """

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """Initialize the weights; they depend only on `generator`."""

    def part_of(self, name: str) -> str:
        """The part of the model that a parameter belongs to, for figures by part: `block1`, or
        `rest` for what is outside of all blocks."""
        words = name.split(".")
        if "blocks" not in words:
            return "rest"
        return f"block{int(words[words.index('blocks') + 1]) + 1}"

    @property
    def stages_that_cut(self) -> int:
        """How many stages cut the text into chunks."""
        return 0

    def boundaries(self, ids: Tensor) -> list[Tensor]:
        """For each stage that cuts, outermost first: the probability that a chunk begins at each
        of `ids` `(batch, time)`, in their shape. It is NaN where the stage sees nothing."""
        return []

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
