"""HGRN-bit's settings."""

from typing import ClassVar, Literal

from slm_tui.config.change import Change
from slm_tui.config.fields import setting
from slm_tui.config.models.settings import ModelSettings, half_the_layers, twice_the_width


class HgrnModel(ModelSettings):
    """A flat byte-level model of gated linear recurrences with ternary weights."""

    not_built: ClassVar[str] = "HGRN-bit comes in a later version; use gpt"

    kind: Literal["hgrn"] = setting("hgrn", help="Model family")
    n_layer: int = setting(4, ge=1, le=96, help="Recurrent blocks", unit="layers", nudge="+1")
    n_embd: int = setting(
        128, ge=8, le=8192, help="Width of the network", unit="channels", nudge="+32"
    )
    block_size: int = setting(
        512, ge=4, le=16_384, help="Length of a training sequence", unit="tokens", nudge="x2"
    )
    hidden_ratio: int = setting(
        4, ge=1, le=16, help="Feed-forward width as a multiple of network width", nudge="+1"
    )
    expand_ratio: int = setting(
        1,
        ge=1,
        le=8,
        help="Recurrent width as a multiple of network width",
        nudge="+1",
        advanced=True,
    )
    conv_size: int = setting(
        0, ge=0, le=16, help="Width of the short convolution; 0: none", advanced=True, nudge="+1"
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
        block = block_parameters(self.n_embd, self.expand_ratio, self.hidden_ratio, self.conv_size)
        embedding = n_vocab * self.n_embd * (1 if self.tie_weights else 2)
        return embedding + self.n_embd + self.n_layer * block + self.n_embd, embedding

    def larger(self) -> Change | None:
        """See `ModelSettings.larger`."""
        return twice_the_width(self.n_embd)

    def smaller(self) -> Change | None:
        """See `ModelSettings.smaller`."""
        return half_the_layers(self.n_layer)


def block_parameters(width: int, expand: int, hidden_ratio: int, conv_size: int) -> int:
    """Parameters of one HGRN-bit block, norms of its ternary layers included."""
    recurrent = width * expand
    inner = 256 * -(-int(width * hidden_ratio * 2 / 3) // 256)
    matrices = 4 * width * recurrent + 3 * width * inner
    norms = 2 * width + 3 * width + recurrent + recurrent + width + inner
    return matrices + norms + conv_size * width
