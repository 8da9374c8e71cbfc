"""An HGRN-bit trained with slm-tui, for the library `transformers`.

`slm-tui export` writes this file beside the weights. It needs only torch and transformers: load
with `trust_remote_code=True`.

A language model of gated linear recurrences: its memory of a text is one state per layer, however
long the text is. Weights are rounded to -1, 0 and 1 and activations to 8 bits whenever they are
used. Sources: Qin et al. 2023 (HGRN, arXiv:2311.04823), Ma et al. 2024 (arXiv:2402.17764), Zhu et
al. 2024 (MatMul-free LM, arXiv:2406.02528).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

# Newer versions of transformers call the cache so.
_FIELDS = CausalLMOutputWithPast.__dataclass_fields__
_CACHE = "cache" if "cache" in _FIELDS else "past_key_values"
_EPSILON = 1e-6
_EPSILON_OF_LINEAR = 1e-8
_LEAST = 1e-5  # the smallest scale of weights and activations


class SlmTuiBlockConfig(PretrainedConfig):
    """The settings that all blocks of a network share."""

    def __init__(
        self,
        vocab_size=256,
        hidden_ratio=4,
        expand_ratio=1,
        conv_size=0,
        ternary=True,
        lower_bound=False,
        gate_order="hidden",
        tie_word_embeddings=False,
        **others,
    ):
        self.vocab_size = vocab_size
        self.hidden_ratio = hidden_ratio
        self.expand_ratio = expand_ratio
        self.conv_size = conv_size
        self.ternary = ternary
        self.lower_bound = lower_bound
        self.gate_order = gate_order
        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)


class SlmTuiHgrnConfig(SlmTuiBlockConfig):
    """The settings of the network, under the names that `transformers` uses."""

    model_type = "slm_tui_hgrn"

    def __init__(self, hidden_size=128, num_hidden_layers=4, **others):
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        super().__init__(**others)


class TextState:
    """What is remembered of the texts of a batch, as the cache of `generate`.

    `tensors` are `(batch, ...)`, by the name of the layer; `length` counts tokens and padding.
    """

    # `generate` asks for these. Not being linear, the state gets only the new tokens of a prompt.
    is_linear = (False,)
    is_compileable = is_croppable = False

    def __init__(self):
        self.tensors: dict[str, Tensor] = {}
        self.length = 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Continue the texts at these indices, for beam search."""
        for name, value in self.tensors.items():
            self.tensors[name] = value[beam_idx.to(value.device)]


def at_least_fp32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def rms_norm(x: Tensor, weight: Tensor, epsilon: float = _EPSILON) -> Tensor:
    return x * inverse_rms(x, epsilon) * weight.to(x.dtype)


def inverse_rms(x: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(mean of squares + epsilon) over the last axis, `(..., 1)`."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return (norm.square() / x.shape[-1] + epsilon).rsqrt()


def compacted(x: Tensor, chosen: Tensor, length: int) -> Tensor:
    """The chosen positions of each text, in order: `(batch, length, width)`.

    Args:
        x: `(batch, time, width)`.
        chosen: bool `(batch, time)`; what lies beyond the chosen positions of a text is padding.
    """
    order = torch.argsort(chosen.logical_not().to(torch.uint8), dim=1, stable=True)[:, :length]
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))


def first_positions(counts: Tensor, time: int) -> Tensor:
    """Bool `(batch, time)`: the first `counts` positions of each text."""
    return torch.arange(time, device=counts.device) < counts[:, None]


def recurrence(gates: Tensor, inputs: Tensor, state: Tensor) -> Tensor:
    """All states `h[t] = gates[t] * h[t-1] + inputs[t]`, `(batch, time, channels)`."""
    states = []
    for gate, given in zip(gates.unbind(1), inputs.unbind(1), strict=True):
        state = torch.addcmul(given, gate, state)
        states.append(state)
    return torch.stack(states, 1)


class RmsNorm(nn.Module):
    """Root mean square norm over the last axis."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight)


class BitLinear(nn.Module):
    """`y = RMSNorm(x) @ weight.T` with ternary weights and 8-bit activations, without bias.

    `ternary=False` keeps the norm and rounds nothing. In training, gradients pass straight through
    both roundings.
    """

    def __init__(self, inputs, outputs, ternary, has_weight=True):
        super().__init__()
        self.ternary = ternary
        self.gain = nn.Parameter(torch.ones(inputs))
        if has_weight:
            self.weight = nn.Parameter(0.02 * torch.randn(outputs, inputs))
        self._rounded = None

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """`x` is `(..., inputs)`, the result `(..., outputs)`; a tied layer gets its `weight`."""
        weight = self.weight if weight is None else weight
        if not self.ternary:
            return F.linear(rms_norm(x, self.gain, _EPSILON_OF_LINEAR), weight.to(x.dtype))
        root = inverse_rms(x, _EPSILON_OF_LINEAR)
        scaled = x * self.gain.to(x.dtype)
        largest = torch.linalg.vector_norm(scaled, torch.inf, dim=-1, keepdim=True)
        step = (largest * root).clamp(min=_LEAST) / 127
        codes = (scaled * (root / step)).round()
        if torch.is_grad_enabled():
            values, scale = self._ternary(weight.to(x.dtype))
            weight = weight + (values * scale - weight).detach()
            normed = scaled * root
            return F.linear(normed + (codes * step - normed).detach(), weight)
        values, scale = self._kept(weight, x.dtype)
        return F.linear(codes, values) * (step * scale)

    def train(self, mode: bool = True):
        self._rounded = None
        return super().train(mode)

    @staticmethod
    def _ternary(weight: Tensor) -> tuple[Tensor, Tensor]:
        """Values of -1, 0 and 1, and their scale: the mean magnitude."""
        scale = weight.abs().mean(dtype=torch.float64).clamp(min=_LEAST).to(weight.dtype)
        return (weight / scale).round().clamp(-1, 1), scale

    def _kept(self, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The rounded weights, computed again only if the weights have changed."""
        version = 0 if weight.is_inference() else weight._version
        key = weight.data_ptr(), version, weight.device, dtype
        if self._rounded is None or self._rounded[0] != key:
            self._rounded = key, self._ternary(weight.to(dtype))
        return self._rounded[1]


class ShortConvolution(nn.Module):
    """A causal convolution over time, each channel by itself, followed by SiLU."""

    def __init__(self, width, size, name):
        super().__init__()
        self.size, self.name = size, name
        # The last tap belongs to the current position.
        self.taps = nn.Parameter(torch.zeros(size, width))

    def forward(self, x: Tensor, state: TextState, valid: Tensor | None) -> Tensor:
        time, back = x.shape[1], self.size - 1
        before = state.tensors.get(self.name)
        if before is None:
            before = x.new_zeros(len(x), back, x.shape[2])
        extended, taps = torch.cat((before, x), 1), self.taps.to(x.dtype)
        y = extended[:, back:] * taps[back]
        for tap in range(back):
            y = torch.addcmul(y, extended[:, tap : tap + time], taps[tap])
        # The inputs that the next positions need.
        window = extended[:, time:]
        if valid is not None:
            last = valid.sum(1)[:, None] + torch.arange(back, device=x.device)
            window = extended[torch.arange(len(x), device=x.device)[:, None], last]
        state.tensors[self.name] = window
        return F.silu(y)


class GatedRecurrence(nn.Module):
    """The token mixer: `h[t] = f[t] * h[t-1] + (1 - f[t]) * silu(i[t])`, gated at its output."""

    def __init__(self, config, width, name):
        super().__init__()
        self.name = name
        channels = width * config.expand_ratio
        self.gate_first = config.gate_order == "gate"
        if config.conv_size:
            self.convolution = ShortConvolution(width, config.conv_size, f"{name}.convolution")
        self.has_convolution = bool(config.conv_size)
        self.input = BitLinear(width, channels, config.ternary)
        self.forget = BitLinear(width, channels, config.ternary)
        self.gate = BitLinear(width, channels, config.ternary)
        self.norm = RmsNorm(channels)
        self.projection = BitLinear(channels, width, config.ternary)

    def forward(
        self, x: Tensor, state: TextState, valid: Tensor | None, lowest: Tensor | None
    ) -> Tensor:
        """`lowest`, `(channels,)`, is the lower bound of the forget gate; `None` means 0."""
        if self.has_convolution:
            x = self.convolution(x, state, valid)
        closing = torch.sigmoid(-self.forget(x))
        if lowest is not None:
            closing = closing * (1 - lowest)
        gates, inputs = 1 - closing, F.silu(self.input(x)) * closing
        if valid is not None:
            # Padding leaves the state as it is.
            gates = torch.where(valid[:, :, None], gates, 1.0)
            inputs = torch.where(valid[:, :, None], inputs, 0.0)
        before = state.tensors.get(self.name)
        if before is None:
            before = torch.zeros_like(inputs[:, 0])
        states = recurrence(gates, inputs, before)
        state.tensors[self.name] = states[:, -1]
        normed, gate = states, self.gate(x)
        if self.gate_first:
            normed, gate = gate, normed
        return self.projection(self.norm(normed) * F.silu(gate))


class GatedMlp(nn.Module):
    """The position-wise network: SwiGLU (Shazeer 2020) on ternary matrices."""

    def __init__(self, config, width):
        super().__init__()
        # 2/3 of the nominal width, a multiple of 256.
        inner = 256 * -(-int(width * config.hidden_ratio * 2 / 3) // 256)
        self.expand = BitLinear(width, 2 * inner, config.ternary)
        self.projection = BitLinear(inner, width, config.ternary)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.expand(x).chunk(2, dim=-1)
        return self.projection(F.silu(first) * second)


class Block(nn.Module):
    """One layer: recurrence and MLP, each after a norm and added to its input."""

    def __init__(self, config, width, name):
        super().__init__()
        self.mixer_norm = RmsNorm(width)
        self.mixer = GatedRecurrence(config, width, name)
        self.mlp_norm = RmsNorm(width)
        self.mlp = GatedMlp(config, width)

    def forward(
        self, x: Tensor, state: TextState, valid: Tensor | None, lowest: Tensor | None
    ) -> Tensor:
        x = x + self.mixer(self.mixer_norm(x), state, valid, lowest)
        return x + self.mlp(self.mlp_norm(x))


class Stack(nn.Module):
    """Blocks and a final norm."""

    def __init__(self, config, width, layers, name):
        super().__init__()
        blocks = (Block(config, width, f"{name}.{layer}") for layer in range(layers))
        self.blocks = nn.ModuleList(blocks)
        self.has_bounds = config.lower_bound and layers > 0
        if self.has_bounds:
            self.bounds = nn.Parameter(torch.zeros(layers, width * config.expand_ratio))
        self.norm = RmsNorm(width)

    def forward(self, x: Tensor, state: TextState, valid: Tensor | None) -> Tensor:
        """`x` is `(batch, time, width)`; `valid` is bool `(batch, time)`, `None` means all.

        Padding comes after the valid positions of a text. `state` is replaced by that after `x`.
        """
        lowest = [None] * len(self.blocks)
        if self.has_bounds:
            shares = F.softmax(self.bounds.to(x.dtype), 0)
            lowest = (shares.cumsum(0) - shares[0]).unbind(0)
        for block, bound in zip(self.blocks, lowest, strict=True):
            x = block(x, state, valid, bound)
        return self.norm(x)


class SlmTuiRecurrentModel(PreTrainedModel, GenerationMixin):
    """What language models with a `TextState` share; one defines `_hidden` and `head`."""

    _no_split_modules = ("Block",)
    # The state cannot return to an earlier position, as assisted generation needs it to.
    _is_stateful = True

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def get_input_embeddings(self):
        return self.token_embedding

    def set_input_embeddings(self, value):
        self.token_embedding = value

    def get_output_embeddings(self):
        # A tied output layer reads the embedding's weights.
        return None if self.config.tie_word_embeddings else self.head

    def _hidden(self, x: Tensor, state: TextState, valid: Tensor | None) -> Tensor:
        """The activations before the output layer, from embedded tokens; see `Stack.forward`."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: TextState | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        cache: TextState | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token: `(batch, time, vocab_size)`, or those of the last positions.

        `attention_mask` is `(batch, past + time)`, 1 for tokens and 0 for padding, which may be
        anywhere: it leaves the state as it is. `labels` add the cross-entropy alone.
        """
        x = self.token_embedding(input_ids) if inputs_embeds is None else inputs_embeds
        x = at_least_fp32(x)
        cache = past_key_values if cache is None else cache
        state = TextState() if cache is None else cache
        time = x.shape[1]
        valid = None if attention_mask is None else attention_mask[:, -time:].bool()
        if valid is None or bool(valid.all()):
            x = self._hidden(x, state, None)
        else:
            moved = compacted(x, valid, time)
            y = self._hidden(moved, state, first_positions(valid.sum(1), time))
            at = (valid.cumsum(1) - 1).clamp(min=0)
            x = y.gather(1, at[:, :, None].expand_as(y))
        state.length += time
        x = x[:, -logits_to_keep:] if logits_to_keep else x
        tied = self.config.tie_word_embeddings
        logits = self.head(x, self.token_embedding.weight if tied else None)
        loss = None
        if labels is not None:
            targets = labels[:, 1:].reshape(-1)
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), targets)
        kept = state if use_cache or cache is not None else None
        return CausalLMOutputWithPast(loss=loss, logits=logits, **{_CACHE: kept})


class SlmTuiHgrnForCausalLM(SlmTuiRecurrentModel):
    """Embedding, one stack, and a ternary output layer."""

    config_class = SlmTuiHgrnConfig

    def __init__(self, config):
        super().__init__(config)
        width, tied = config.hidden_size, config.tie_word_embeddings
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.stack = Stack(config, width, config.num_hidden_layers, "stack")
        self.head = BitLinear(width, config.vocab_size, config.ternary, has_weight=not tied)
        self.post_init()

    def _hidden(self, x: Tensor, state: TextState, valid: Tensor | None) -> Tensor:
        return self.stack(x, state, valid)
