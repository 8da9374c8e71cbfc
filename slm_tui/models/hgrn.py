"""HGRN-bit: a language model of gated linear recurrences with ternary weights.

Its memory of a text is one state per layer, however long the text is. Sources: Qin et al. 2023
(HGRN, arXiv:2311.04823), Zhu et al. 2024 (MatMul-free LM, arXiv:2406.02528).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slm_tui.config.models.hgrn import BlockSettings, HgrnModel, inner_width
from slm_tui.models.base import LanguageModel, Loss
from slm_tui.models.bitlinear import BitLinear, weight_shares
from slm_tui.models.rowwise import gated_norm, recurrence_gates, rms_norm, swiglu
from slm_tui.models.scan import linear_scan

_EPSILON = 1e-6
# The forget gate at padding: the state stays as it is.
_KEEP = 1.0
_SHARES = ("minus", "zero", "plus")


@dataclass
class StackState:
    """The memory of a stack of blocks for several texts.

    `hidden` is `(batch, layer, channels)`; `window`, the inputs that the short convolution still
    needs, is `(batch, layer, conv_size - 1, width)`.
    """

    hidden: Tensor
    window: Tensor

    @property
    def nbytes(self) -> int:
        """See `State.nbytes`."""
        return self.hidden.nbytes + self.window.nbytes

    def take(self, texts: Sequence[int] | Tensor) -> "StackState":
        """See `State.take`."""
        rows = texts if isinstance(texts, Tensor) else list(texts)
        return StackState(self.hidden[rows], self.window[rows])

    def joined(self, other: "StackState") -> "StackState":
        """See `State.joined`."""
        hidden = torch.cat((self.hidden, other.hidden))
        return StackState(hidden, torch.cat((self.window, other.window)))

    def put(self, texts: Tensor, part: "StackState") -> None:
        """Replace the texts at these indices."""
        self.hidden[texts] = part.hidden
        self.window[texts] = part.window


@dataclass(frozen=True)
class Padding:
    """Which positions of a right-padded batch belong to its texts.

    `valid` is bool `(batch, time)`; `counts` is the number of valid positions of each text,
    int64 `(batch,)`.
    """

    valid: Tensor
    counts: Tensor

    @classmethod
    def of(cls, counts: Tensor, time: int) -> "Padding":
        """The first `counts[b]` of `time` positions of text `b` are valid."""
        return cls(torch.arange(time, device=counts.device) < counts[:, None], counts)


class RmsNorm(nn.Module):
    """Root mean square norm over the last axis, computed at least in fp32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, _EPSILON)


class ShortConvolution(nn.Module):
    """A causal convolution over time, each channel by itself, followed by SiLU."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        # The last tap belongs to the current position.
        self.taps = nn.Parameter(torch.empty(size, width))

    def forward(
        self, x: Tensor, before: Tensor | None, padding: Padding | None
    ) -> tuple[Tensor, Tensor]:
        """Convolve `x` `(batch, time, width)`, which follows `before` `(batch, size - 1, width)`.

        Returns:
            The result, and the inputs that the next positions need, in the shape of `before`.
        """
        time, back = x.shape[1], self.size - 1
        if before is None:
            before = x.new_zeros(len(x), back, x.shape[2])
        extended = torch.cat((before.to(x.dtype), x), 1)
        y = extended[:, back:] * self.taps[back]
        for tap in range(back):
            y = torch.addcmul(y, extended[:, tap : tap + time], self.taps[tap])
        if padding is None:
            return F.silu(y), extended[:, time:]
        rows = torch.arange(len(x), device=x.device)[:, None]
        last = padding.counts[:, None] + torch.arange(back, device=x.device)
        return F.silu(y), extended[rows, last]


class GatedRecurrence(nn.Module):
    """The token mixer: `h[t] = f[t] * h[t-1] + (1 - f[t]) * silu(i[t])`, gated at its output."""

    def __init__(self, config: BlockSettings, width: int) -> None:
        super().__init__()
        channels = width * config.expand_ratio
        self.gate_first = config.gate_order == "gate"
        if config.conv_size:
            self.convolution = ShortConvolution(width, config.conv_size)
        self.has_convolution = bool(config.conv_size)
        self.input = BitLinear(width, channels, config.ternary)
        self.forget = BitLinear(width, channels, config.ternary)
        self.gate = BitLinear(width, channels, config.ternary)
        self.norm = RmsNorm(channels)
        self.projection = BitLinear(channels, width, config.ternary)

    def forward(
        self,
        x: Tensor,
        lowest: Tensor | None,
        hidden: Tensor | None,
        window: Tensor | None,
        padding: Padding | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`x` is `(batch, time, width)`.

        Args:
            lowest: the lower bound of the forget gate, `(channels,)`; `None` means 0.
            hidden: the state before `x`, `(batch, channels)`; `None` means 0.
            window: the inputs before `x` that the convolution needs; `None` means 0.

        Returns:
            The output, in the shape of `x`; the new state; and the new window.
        """
        if self.has_convolution:
            x, window = self.convolution(x, window, padding)
        f, i = recurrence_gates(self.forget(x), self.input(x), lowest)
        if padding is not None:
            valid = padding.valid[:, :, None]
            f = torch.where(valid, f, _KEEP)
            i = torch.where(valid, i, 0.0)
        if hidden is None:
            hidden = i.new_zeros(len(i), i.shape[2])
        states = linear_scan(f, i, hidden)
        normed, gate = states, self.gate(x)
        if self.gate_first:
            normed, gate = gate, normed
        y = gated_norm(normed, gate, self.norm.weight, _EPSILON)
        return self.projection(y), states[:, -1], window


class GatedMlp(nn.Module):
    """The position-wise network: SwiGLU (Shazeer 2020) on ternary matrices."""

    def __init__(self, config: BlockSettings, width: int) -> None:
        super().__init__()
        inner = inner_width(width, config.hidden_ratio)
        self.expand = BitLinear(width, 2 * inner, config.ternary)
        self.projection = BitLinear(inner, width, config.ternary)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.projection(swiglu(self.expand(x)))
        return y


class Block(nn.Module):
    """One layer: recurrence and MLP, each after a norm and added to its input."""

    def __init__(self, config: BlockSettings, width: int) -> None:
        super().__init__()
        self.mixer_norm = RmsNorm(width)
        self.mixer = GatedRecurrence(config, width)
        self.mlp_norm = RmsNorm(width)
        self.mlp = GatedMlp(config, width)

    def forward(
        self,
        x: Tensor,
        lowest: Tensor | None,
        hidden: Tensor | None,
        window: Tensor | None,
        padding: Padding | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """See `GatedRecurrence.forward`."""
        y, hidden, window = self.mixer(self.mixer_norm(x), lowest, hidden, window, padding)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), hidden, window


class Stack(nn.Module):
    """Blocks and a final norm. Also the encoder, the decoder and the main network of H-Net."""

    def __init__(self, config: BlockSettings, width: int, layers: int) -> None:
        super().__init__()
        self.width = width
        self.channels = width * config.expand_ratio
        self.conv_size = config.conv_size
        self.blocks = nn.ModuleList(Block(config, width) for _ in range(layers))
        self.has_bounds = config.lower_bound and layers > 0
        if self.has_bounds:
            self.bounds = nn.Parameter(torch.empty(layers, self.channels))
        self.norm = RmsNorm(width)

    def forward(
        self, x: Tensor, state: StackState | None = None, padding: Padding | None = None
    ) -> Tensor:
        """`x` is `(batch, time, width)`; `state` is advanced in place."""
        lowest: Sequence[Tensor | None] = [None] * len(self.blocks)
        if self.has_bounds:
            shares = F.softmax(self.bounds, 0)
            lowest = (shares.cumsum(0) - shares[0]).unbind(0)
        for layer, block in enumerate(self.blocks):
            hidden = window = None
            if state is not None:
                hidden, window = state.hidden[:, layer], state.window[:, layer]
            x, hidden, window = block(x, lowest[layer], hidden, window, padding)
            if state is not None:
                state.hidden[:, layer] = hidden
                if window is not None:
                    state.window[:, layer] = window
        normed: Tensor = self.norm(x)
        return normed

    def start(self, batch: int) -> StackState:
        """The state before the first position."""
        weight = self.norm.weight
        layers, back = len(self.blocks), max(0, self.conv_size - 1)
        return StackState(
            weight.new_zeros(batch, layers, self.channels),
            weight.new_zeros(batch, layers, back, self.width),
        )


class Hgrn(LanguageModel):
    """Embedding, one stack, and a ternary output layer."""

    def __init__(self, config: HgrnModel, n_vocab: int) -> None:
        super().__init__()
        self.config = config
        self.n_vocab = n_vocab
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(n_vocab, config.n_embd)
        self.stack = Stack(config, config.n_embd, config.n_layer)
        self.head = BitLinear(config.n_embd, n_vocab, config.ternary)
        if config.tie_weights:
            del self.head.weight
        self.metrics = weight_metric_names(config)

    @property
    def context(self) -> None:
        """See `LanguageModel.context`."""
        return

    def initialize(self, generator: torch.Generator) -> None:
        """See `initialize_blocks`."""
        initialize_blocks(self, self.config.n_layer, generator)

    def forward(self, ids: Tensor) -> Tensor:
        return self._logits(self.stack(self._embedded(ids)))

    def loss(self, ids: Tensor, targets: Tensor) -> Loss:
        entropy = F.cross_entropy(self(ids).flatten(0, 1), targets.reshape(-1))
        return Loss(entropy, entropy, weight_metrics(self) if self.config.ternary else {})

    def start(self, batch: int) -> StackState:
        return self.stack.start(batch)

    def step(self, ids: Tensor, state: StackState, lengths: Sequence[int] | None = None) -> Tensor:
        padding, last = padding_of(lengths, ids)
        x = self.stack(self._embedded(ids), state, padding)
        return self._logits(x[last])

    def _logits(self, x: Tensor) -> Tensor:
        tied = self.config.tie_weights
        return self.head.product(x, self.token_embedding.weight if tied else self.head.weight)

    def _embedded(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.token_embedding.weight)


def weight_metrics(model: nn.Module) -> dict[str, Tensor]:
    """The shares of -1, 0 and 1 among the weights of each block, such as `block1_zero`."""
    blocks = [one for one in model.modules() if isinstance(one, Block)]
    return {
        f"block{number}_{name}": share
        for number, block in enumerate(blocks, 1)
        for name, share in weight_shares(block).items()
    }


def weight_metric_names(config: BlockSettings) -> tuple[str, ...]:
    """The names of `weight_metrics`; none if the weights are not ternary."""
    numbers = range(1, config.layers + 1) if config.ternary else ()
    return tuple(f"block{number}_{name}" for number in numbers for name in _SHARES)


def padding_of(
    lengths: Sequence[int] | None, ids: Tensor
) -> tuple[Padding | None, tuple[Tensor | slice, Tensor | int]]:
    """The padding of `ids` `(batch, time)`, and the index of the last position of each text."""
    if lengths is None:
        return None, (slice(None), -1)
    counts = torch.tensor(lengths, device=ids.device)
    rows = torch.arange(len(ids), device=ids.device)
    return Padding.of(counts, ids.shape[1]), (rows, counts - 1)


def initialize_blocks(model: nn.Module, layers: int, generator: torch.Generator) -> None:
    """Normal weights of 0.02, output projections of blocks scaled by 1/sqrt(2 `layers`), of 1 for
    the embedding; uniform taps of convolutions; norms 1; lower bounds and biases 0.

    The scale of a ternary matrix follows from its weights, so it matters there too.
    """
    scale = 0.02 / math.sqrt(2 * layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("taps"):
                bound = 1 / math.sqrt(len(parameter))
                drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.copy_(drawn)
            elif name.endswith(("gain", "norm.weight")):
                parameter.fill_(1.0)
            elif parameter.dim() < 2 or name.endswith("bounds"):
                parameter.zero_()
            else:
                deviation = scale if name.endswith("projection.weight") else 0.02
                deviation = 1.0 if "embedding" in name else deviation
                drawn = torch.empty(parameter.shape).normal_(0.0, deviation, generator=generator)
                parameter.copy_(drawn)
