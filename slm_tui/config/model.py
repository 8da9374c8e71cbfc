"""The three model families and their sizes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slm_tui.config.fields import Settings, reject, setting


def _divisors_near(total: int, wanted: int) -> list[int]:
    """The divisors of `total` next to `wanted`, below and above."""
    divisors = [number for number in range(1, min(total, 128) + 1) if total % number == 0]
    below = [number for number in divisors if number < wanted][-1:]
    return below + [number for number in divisors if number > wanted][:1]


class GptModel(Settings):
    """A pre-norm transformer decoder: GPT-2's choices by default, modern ones as switches."""

    kind: Literal["gpt"] = setting("gpt", help="Model family")
    n_layer: int = setting(4, ge=1, le=96, help="Transformer blocks", unit="layers", nudge="+1")
    n_head: int = setting(
        4, ge=1, le=128, help="Attention heads; must divide n_embd", unit="heads", nudge="divisor"
    )
    n_embd: int = setting(
        128, ge=8, le=8192, help="Width of the network", unit="channels", nudge="+32"
    )
    block_size: int = setting(
        128, ge=4, le=16_384, help="Context the model sees", unit="tokens", nudge="x2"
    )
    dropout: float = setting(
        0.0, ge=0, lt=1, help="Part of activations dropped in training", nudge="+0.05"
    )
    bias: bool = setting(True, help="Biases in linear layers and norms")
    tie_weights: bool = setting(True, help="Share the token embedding with the output layer")
    position: Literal["learned", "rope"] = setting(
        "learned", help="Learned positions, or rotary ones", advanced=True
    )
    norm: Literal["layernorm", "rmsnorm"] = setting(
        "layernorm", help="Normalisation before each sublayer", advanced=True
    )
    activation: Literal["gelu", "relu2", "swiglu"] = setting(
        "gelu", help="Non-linearity of the feed-forward layer", advanced=True
    )
    qk_norm: bool = setting(False, help="Normalise queries and keys", advanced=True)
    zero_init: bool = setting(
        False, help="Start each sublayer's output projection at zero", advanced=True
    )

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.n_embd % self.n_head:
            works = _divisors_near(self.n_embd, self.n_head)
            raise reject("n_head", f"{self.n_embd} is not divisible by {self.n_head}", works)
        if self.position == "rope" and (self.n_embd // self.n_head) % 2:
            raise reject("position", "rotary positions need an even head width", "learned")
        return self


class HgrnModel(Settings):
    """A flat byte-level model of gated linear recurrences with ternary weights."""

    kind: Literal["hgrn"] = setting("hgrn", help="Model family")
    n_layer: int = setting(4, ge=1, le=96, help="Recurrent blocks", unit="layers", nudge="+1")
    n_embd: int = setting(
        128, ge=8, le=8192, help="Width of the network", unit="channels", nudge="+32"
    )
    block_size: int = setting(
        512, ge=4, le=16_384, help="Window of one training sequence", unit="tokens", nudge="x2"
    )
    hidden_ratio: int = setting(
        4, ge=1, le=16, help="Feed-forward width over network width", nudge="+1"
    )
    expand_ratio: int = setting(
        1, ge=1, le=8, help="Recurrent width over network width", nudge="+1", advanced=True
    )
    conv_size: int = setting(
        0, ge=0, le=16, help="Width of the short convolution; 0 is none", advanced=True, nudge="+1"
    )
    tie_weights: bool = setting(False, help="Share the token embedding with the output layer")


class HnetModel(Settings):
    """A hierarchical byte-level model that learns where to cut its input."""

    kind: Literal["hnet"] = setting("hnet", help="Model family")
    d_model: tuple[int, ...] = setting(
        (64, 96), min_length=2, max_length=4, help="Width of each stage, outermost first"
    )
    num_blocks: tuple[tuple[int, ...], ...] = setting(
        ((1, 0, 1), (3,)), help="Blocks per stage: [encoder, 0, decoder] and [main]"
    )
    block_size: int = setting(
        512, ge=4, le=16_384, help="Window of one training sequence", unit="tokens", nudge="x2"
    )
    downsampling_factor: float = setting(
        2.5, gt=1, le=16, help="Bytes per chunk to aim for", nudge="+0.5"
    )
    ratio_loss_weight: float = setting(
        0.03, ge=0, le=1, help="Weight of the loss that holds the chunk length", nudge="125"
    )
    learning_rate_multipliers: tuple[float, ...] = setting(
        (1.5, 1.0), help="Learning rate of each stage over the base rate", advanced=True
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        stages = len(self.d_model)
        if len(self.num_blocks) != stages:
            raise reject("num_blocks", f"{stages} stages need {stages} lists of blocks")
        if any(wide < narrow for narrow, wide in zip(self.d_model, self.d_model[1:], strict=False)):
            raise reject("d_model", "widths must not shrink inwards", sorted(self.d_model))
        return self


ModelConfig = Annotated[GptModel | HgrnModel | HnetModel, Field(discriminator="kind")]
