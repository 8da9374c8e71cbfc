"""HGRN-bit's settings, and those of its blocks, which H-Net is also made of."""

from typing import Literal

from slm_tui.config.fields import setting
from slm_tui.config.models.settings import ModelSettings


class BlockSettings(ModelSettings):
    """What all blocks of a model share, whatever their width."""

    hidden_ratio: int = setting(
        4,
        ge=1,
        le=16,
        help="Feed-forward width as a multiple of network width; typical: 4",
        nudge="+1",
    )
    expand_ratio: int = setting(
        1,
        ge=1,
        le=8,
        help="Recurrent width as a multiple of network width; typical: 1 or 2",
        nudge="+1",
        advanced=True,
    )
    conv_size: int = setting(
        0,
        ge=0,
        le=16,
        help="Width of the short convolution before the recurrence; 0: none, typical: 4",
        unit="tokens",
        advanced=True,
        nudge="+1",
    )
    ternary: bool = setting(
        True, help="Round weights to -1, 0, 1 and activations to 8 bits", advanced=True
    )
    lower_bound: bool = setting(
        False, help="Learn a lower bound of the forget gates that grows with depth", advanced=True
    )
    gate_order: Literal["hidden", "gate"] = setting(
        "hidden",
        help="What the output norm acts on: the recurrent state, or the gate (MatMul-free LM)",
        advanced=True,
    )

    @property
    def is_ternary(self) -> bool:
        """See `ModelSettings.is_ternary`."""
        return self.ternary

    def block_parameters(self, width: int) -> int:
        """Weights of one block, the norms of its ternary layers included."""
        recurrent, inner = width * self.expand_ratio, inner_width(width, self.hidden_ratio)
        matrices = 4 * width * recurrent + 3 * width * inner
        norms = 2 * width + 3 * width + recurrent + recurrent + width + inner
        bounds = recurrent if self.lower_bound else 0
        return matrices + norms + self.conv_size * width + bounds

    def block_activations(self, width: int) -> int:
        """Estimated number of values that one block keeps per token for its backward pass."""
        recurrent, inner = width * self.expand_ratio, inner_width(width, self.hidden_ratio)
        # Codes of 8-bit activations count as a quarter.
        codes = (4 * width + recurrent + inner) // 4 if self.ternary else 4 * width + inner
        mixer = (3 + 2 * bool(self.conv_size)) * width + 12 * recurrent
        return mixer + 3 * width + 6 * inner + codes


class HgrnModel(BlockSettings):
    """A flat byte-level model of gated linear recurrences with ternary weights."""

    kind: Literal["hgrn"] = setting("hgrn", help="Model family")
    n_layer: int = setting(4, ge=1, le=96, help="Recurrent blocks", unit="layers", nudge="+1")
    n_embd: int = setting(
        128, ge=8, le=8192, help="Width of the network", unit="channels", nudge="+32"
    )
    block_size: int = setting(
        512, ge=4, le=16_384, help="Length of a training sequence", unit="tokens", nudge="x2"
    )
    tie_weights: bool = setting(False, help="Share the token embedding with the output layer")

    @property
    def width(self) -> int:
        """See `ModelSettings.width`."""
        return self.n_embd

    @property
    def layers(self) -> int:
        """See `ModelSettings.layers`."""
        return self.n_layer

    def parameters(self, n_vocab: int) -> tuple[int, int]:
        """See `ModelSettings.parameters`."""
        embedding = n_vocab * self.n_embd * (1 if self.tie_weights else 2)
        norms = 2 * self.n_embd  # after the stack, and of the output layer
        return embedding + norms + self.n_layer * self.block_parameters(self.n_embd), embedding

    def activations(self, n_vocab: int) -> int:
        """See `ModelSettings.activations`."""
        return self.n_layer * self.block_activations(self.n_embd) + 3 * n_vocab


def inner_width(width: int, hidden_ratio: int) -> int:
    """Inner width of the feed-forward layer: 2/3 of `width * hidden_ratio`, a multiple of 256."""
    return 256 * -(-int(width * hidden_ratio * 2 / 3) // 256)
