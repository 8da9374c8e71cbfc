"""What every model family can compute from its settings alone."""

from abc import abstractmethod
from typing import ClassVar

from slm_tui.config.change import Change
from slm_tui.config.fields import Variant


class ModelSettings(Variant):
    """Base of the model families.

    A family also has a field `block_size`: the tokens of one training sequence.
    """

    size_settings: ClassVar[tuple[str, ...]] = ("model.n_embd", "model.n_layer")
    """The settings that determine the size of the network, the most effective one first."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Channels of the network at its widest point."""

    @property
    @abstractmethod
    def layers(self) -> int:
        """Blocks in the network, all stages together."""

    @abstractmethod
    def parameters(self, n_vocab: int) -> tuple[int, int]:
        """`(all parameters, those in embeddings and an untied output layer)`, both exact."""

    def flops(self, n_vocab: int) -> float:
        """Floating-point operations of training, forward and backward, per token.

        Six per parameter and token: two in the forward pass, four in the backward pass. An upper
        bound, since an embedding lookup is not a product. Source: Chowdhery et al. 2022
        (arXiv:2204.02311), appendix B, without its term for attention.
        """
        return 6.0 * self.parameters(n_vocab)[0]

    def activations(self, n_vocab: int) -> int:
        """Estimated number of values kept per token for the backward pass.

        About 22 activations of the width per block (norms, q, k, v, attention, two of 4 x width),
        and the logits with their gradient.
        """
        return 22 * self.width * self.layers + 3 * n_vocab

    @property
    def metric_targets(self) -> dict[str, float]:
        """What training aims at, by the name of the metric: charts show it as a line."""
        return {}

    @property
    def dropout_rate(self) -> float:
        """Fraction of activations dropped in training; 0 if the family has no dropout."""
        return 0.0

    @property
    def is_ternary(self) -> bool:
        """Whether weights are rounded to -1, 0 and 1."""
        return False

    def stronger_routing(self) -> Change | None:
        """A stronger pull of routers to their target length; `None` if the family has none."""
        return None


def twice_the_width(width: int) -> Change:
    """A larger network, for families whose width is the setting `n_embd`."""
    return Change(f"a larger model: {width} → {2 * width} channels", (f"model.n_embd={2 * width}",))


def half_the_layers(layers: int) -> Change | None:
    """A smaller network, for families whose depth is the setting `n_layer`."""
    if layers < 2:
        return None
    half = layers // 2
    return Change(f"a smaller model: {layers} → {half} layers", (f"model.n_layer={half}",))
