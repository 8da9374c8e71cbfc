"""GPT's settings."""

from typing import Literal, Self

from pydantic import model_validator

from slm_tui.config.fields import reject, setting
from slm_tui.config.models.settings import ModelSettings


def _divisors_near(total: int, target: int) -> list[int]:
    """The divisors of `total` closest to `target`, below and above."""
    divisors = [number for number in range(1, min(total, 128) + 1) if total % number == 0]
    below = [number for number in divisors if number < target][-1:]
    return below + [number for number in divisors if number > target][:1]


class GptModel(ModelSettings):
    """A pre-norm transformer decoder: GPT-2's design by default, modern options as switches."""

    kind: Literal["gpt"] = setting("gpt", help="Model family")
    n_layer: int = setting(4, ge=1, le=96, help="Transformer blocks", unit="layers", nudge="+1")
    n_head: int = setting(
        4,
        ge=1,
        le=128,
        help="Attention heads; must divide n_embd",
        unit="heads",
        nudge="divisor of n_embd",
    )
    n_embd: int = setting(
        128, ge=8, le=8192, help="Width of the network", unit="channels", nudge="+32"
    )
    block_size: int = setting(
        128, ge=4, le=16_384, help="Context length", unit="tokens", nudge="x2"
    )
    dropout: float = setting(
        0.0, ge=0, lt=1, help="Fraction of activations dropped in training", nudge="+0.05"
    )
    bias: bool = setting(True, help="Use biases in linear layers and norms")
    tie_weights: bool = setting(True, help="Share the token embedding with the output layer")
    position: Literal["learned", "rope"] = setting(
        "learned", help="Position encoding: learned or rotary", advanced=True
    )
    norm: Literal["layernorm", "rmsnorm"] = setting(
        "layernorm", help="Normalisation before each sublayer", advanced=True
    )
    activation: Literal["gelu", "relu2", "swiglu", "gelu_tanh"] = setting(
        "gelu", help="Non-linearity of the feed-forward layer", advanced=True
    )
    qk_norm: bool = setting(False, help="Normalise queries and keys", advanced=True)
    qk_norm_weights: bool = setting(
        False, help="Scale each channel of normalised queries and keys", advanced=True
    )
    n_kv_head: int | None = setting(
        None,
        ge=1,
        le=128,
        help="Heads of keys and values, shared by groups of queries; unset: n_head",
        unit="heads",
        nudge="divisor of n_head",
        advanced=True,
    )
    head_width: int | None = setting(
        None,
        ge=2,
        le=1024,
        help="Width of a head; unset: n_embd / n_head",
        unit="channels",
        nudge="+8",
        advanced=True,
    )
    inner_width: int | None = setting(
        None,
        ge=1,
        le=65_536,
        help="Width of the feed-forward layer; unset: 4 x n_embd, 8/3 for SwiGLU",
        unit="channels",
        nudge="+32",
        advanced=True,
    )
    rope_base: float = setting(
        10_000.0, ge=100, le=1e9, help="Base of rotary positions", nudge="x2", advanced=True
    )
    norm_eps: float = setting(
        1e-5, ge=1e-12, le=1e-2, help="Epsilon of the norms", nudge="125", advanced=True
    )
    qk_norm_eps: float | None = setting(
        None,
        ge=1e-12,
        le=1e-2,
        help="Epsilon of QK-norm; unset: 1.2e-7",
        nudge="125",
        advanced=True,
    )
    zero_init: bool = setting(
        False, help="Start each sublayer's output projection at zero", advanced=True
    )
    value_embeddings: bool = setting(
        False,
        help="Add an embedding of its own, in each layer, to the values of a token",
        advanced=True,
    )
    ngram_order: int = setting(
        0,
        ge=0,
        le=8,
        help="Also embed the last 2 to this many tokens together; 0 or 1: off",
        unit="tokens",
        nudge="+1",
        advanced=True,
    )
    ngram_rows: int = setting(
        8192,
        ge=1,
        le=2**24,
        help="Embeddings for the n-grams of each order; more need memory, fewer are shared",
        unit="rows",
        nudge="x2",
        advanced=True,
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_width is None and self.n_embd % self.n_head:
            works = _divisors_near(self.n_embd, self.n_head)
            raise reject("n_head", f"{self.n_embd} is not divisible by {self.n_head}", works)
        if self.position == "rope" and self.width_of_head % 2:
            raise reject("position", "rotary positions need an even head width", "learned")
        if self.n_head % self.heads_of_keys:
            works = _divisors_near(self.n_head, self.heads_of_keys)
            reason = f"{self.n_head} heads do not form groups for {self.heads_of_keys}"
            raise reject("n_kv_head", reason, works)
        if self.qk_norm_weights and not self.qk_norm:
            raise reject("qk_norm_weights", "queries and keys are not normalised", False)
        return self

    @property
    def width(self) -> int:
        """See `ModelSettings.width`."""
        return self.n_embd

    @property
    def layers(self) -> int:
        """See `ModelSettings.layers`."""
        return self.n_layer

    @property
    def epsilon_of_qk_norm(self) -> float:
        """If unset, torch's own for fp32: its smallest step at 1."""
        return 2.0**-23 if self.qk_norm_eps is None else self.qk_norm_eps

    @property
    def width_of_head(self) -> int:
        """Channels of a head."""
        return self.head_width or self.n_embd // self.n_head

    @property
    def heads_of_keys(self) -> int:
        """Heads of keys and values."""
        return self.n_kv_head or self.n_head

    @property
    def feed_forward_width(self) -> int:
        """Inner width: 4 x n_embd, or 8/3 x n_embd for SwiGLU's three matrices, a multiple of 8."""
        if self.inner_width is not None:
            return self.inner_width
        if self.activation == "swiglu":
            return -(-(8 * self.n_embd // 3) // 8) * 8
        return 4 * self.n_embd

    def parameters(self, n_vocab: int) -> tuple[int, int]:
        """See `ModelSettings.parameters`."""
        width, inner = self.n_embd, self.feed_forward_width
        norm = 2 * width if self.norm == "layernorm" and self.bias else width
        matrices = 3 if self.activation == "swiglu" else 2
        queries = self.n_head * self.width_of_head
        keys = self.heads_of_keys * self.width_of_head
        block = (2 * queries + 2 * keys) * width + matrices * width * inner + 2 * norm
        if self.bias:
            block += queries + 2 * keys + width + (matrices - 1) * inner + width
        if self.qk_norm_weights:
            block += 2 * self.width_of_head
        embedding = n_vocab * width * (1 if self.tie_weights else 2)
        if self.position == "learned":
            embedding += self.block_size * width
        if self.value_embeddings:
            embedding += self.n_layer * n_vocab * self.heads_of_keys * self.width_of_head
        embedding += max(0, self.ngram_order - 1) * self.ngram_rows * width
        return self.n_layer * block + norm + embedding, embedding

    def flops(self, n_vocab: int) -> float:
        """Training operations per token: 6 per matrix weight, output layer included, plus
        attention over the whole context.

        Source: Chowdhery et al. 2022 (arXiv:2204.02311), appendix B.
        """
        total, embedding = self.parameters(n_vocab)
        weights = total - embedding + n_vocab * self.n_embd
        return float(
            6 * weights + 12 * self.n_layer * self.n_head * self.width_of_head * self.block_size
        )

    @property
    def dropout_rate(self) -> float:
        """See `ModelSettings.dropout_rate`."""
        return self.dropout
