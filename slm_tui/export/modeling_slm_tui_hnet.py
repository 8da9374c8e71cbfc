"""An H-Net trained with slm-tui, for the library `transformers`.

`slm-tui export` writes this file and `modeling_slm_tui_hgrn.py` beside the weights. They need only
torch and transformers: load with `trust_remote_code=True`.

A model that learns where to cut its input into chunks. Each stage encodes its sequence, cuts it,
and hands the chunks to the next stage; the innermost stage works on the coarsest chunks. All
blocks are those of HGRN-bit. Source: Hwang et al. 2025 (arXiv:2507.07955).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .modeling_slm_tui_hgrn import (
    BitLinear,
    SlmTuiBlockConfig,
    SlmTuiRecurrentModel,
    Stack,
    TextState,
    compacted,
    first_positions,
    recurrence,
)


class SlmTuiHnetConfig(SlmTuiBlockConfig):
    """The settings of the network: `widths` and `num_blocks` are by stage, outermost first."""

    model_type = "slm_tui_hnet"

    def __init__(self, widths=(64, 96), num_blocks=((1, 0, 1), (3,)), **others):
        self.widths = list(widths)
        self.num_blocks = [list(blocks) for blocks in num_blocks]
        self.hidden_size = self.widths[0]
        self.num_hidden_layers = sum(map(sum, self.num_blocks))
        super().__init__(**others)


class Router(nn.Module):
    """Cuts where neighbouring positions differ: p = (1 - cos(q(h[t-1]), k(h[t]))) / 2."""

    def __init__(self, width, name):
        super().__init__()
        self.name = name
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, h: Tensor, state: TextState, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """The probability that a chunk begins at each position of `h` `(batch, time, width)`, and
        whether it does, each `(batch, time)`; never at padding."""
        before = state.tensors.get(f"{self.name}.before")
        begun = state.tensors.get(f"{self.name}.begun")
        if before is None or begun is None:
            before = torch.zeros_like(h[:, 0])
            begun = torch.zeros(len(h), dtype=torch.bool, device=h.device)
        extended = torch.cat((before[:, None], h), 1)
        query = F.linear(extended[:, :-1], self.query.weight.to(h.dtype))
        key = F.linear(h, self.key.weight.to(h.dtype))
        probability = ((1 - F.cosine_similarity(query, key, dim=-1)) / 2).clamp(0, 1)
        # The first position of a text is a boundary.
        first = torch.where(begun, probability[:, 0], 1.0)[:, None]
        probability = torch.cat((first, probability[:, 1:]), 1)
        boundary = probability > 0.5
        last, has_begun = extended[:, -1], torch.ones_like(begun)
        if valid is not None:
            boundary, counts = boundary & valid, valid.sum(1)
            last = extended[torch.arange(len(h), device=h.device), counts]
            has_begun = begun | (counts > 0)
        state.tensors[f"{self.name}.before"] = last
        state.tensors[f"{self.name}.begun"] = has_begun
        return probability, boundary


class Stage(nn.Module):
    """A stage and, recursively, the stages inside it."""

    def __init__(self, config, number):
        super().__init__()
        self.name = f"stage{number}"
        width, blocks = config.widths[number], config.num_blocks[number]
        outer = config.widths[max(0, number - 1)]
        self.outer_width = min(outer, width)
        self.has_more_channels = width > outer
        self.encoder = Stack(config, width, blocks[0], f"{self.name}.encoder")
        # Channels that the outer stage does not have.
        if self.has_more_channels:
            self.added_channels = nn.Parameter(torch.zeros(width - outer))
        self.is_innermost = number == len(config.widths) - 1
        if not self.is_innermost:
            self.router = Router(width, f"{self.name}.router")
            self.residual = nn.Linear(width, width)
            self.inner = Stage(config, number + 1)
            self.decoder = Stack(config, width, blocks[-1], f"{self.name}.decoder")

    def forward(self, x: Tensor, state: TextState, valid: Tensor | None) -> Tensor:
        """`x` is `(batch, time, width of the outer stage)`; see `Stack.forward`."""
        if self.has_more_channels:
            added = self.added_channels.to(x.dtype).expand(*x.shape[:2], -1)
            x = torch.cat((x, added), 2)
        encoded = self.encoder(x, state, valid)
        if self.is_innermost:
            return encoded[..., : self.outer_width]
        probability, boundary = self.router(encoded, state, valid)
        within = self._through_chunks(encoded, probability, boundary, state)
        # Exactly 1, with the gradient of the probability of what was decided.
        chance = torch.where(boundary, probability, 1 - probability)[:, :, None]
        within = within * (1 + (chance - chance.detach()))
        weight, bias = self.residual.weight.to(x.dtype), self.residual.bias.to(x.dtype)
        decoded = self.decoder(within + F.linear(encoded, weight, bias), state, valid)
        return decoded[..., : self.outer_width]

    def _through_chunks(
        self, encoded: Tensor, probability: Tensor, boundary: Tensor, state: TextState
    ) -> Tensor:
        """The inner stage on the first positions of the chunks, spread over all positions and
        smoothed: z[j] = p[j] * y[j] + (1 - p[j]) * z[j-1]."""
        smoothed = state.tensors.get(f"{self.name}.smoothed")
        if smoothed is None:
            smoothed = torch.zeros_like(encoded[:, 0])
        counts = boundary.sum(1)
        length = int(counts.max())
        spread = smoothed[:, None]
        if length:
            # A text without a new chunk has only padding here, which changes nothing of its state.
            valid = first_positions(counts, length)
            y = self.inner(compacted(encoded, boundary, length), state, valid)
            chances = compacted(probability[:, :, None], boundary, length)
            gates = torch.where(valid[:, :, None], 1 - chances, 1.0)
            inputs = torch.where(valid[:, :, None], chances * y, 0.0)
            states = recurrence(gates.expand_as(inputs), inputs, smoothed)
            spread, smoothed = torch.cat((spread, states), 1), states[:, -1]
        state.tensors[f"{self.name}.smoothed"] = smoothed
        at = boundary.cumsum(1)[:, :, None].expand(-1, -1, encoded.shape[2])
        return spread.gather(1, at)


class SlmTuiHnetForCausalLM(SlmTuiRecurrentModel):
    """Embedding, the stages, and a ternary output layer.

    The loss with `labels` lacks the ratio loss that controls the length of chunks in training.
    """

    config_class = SlmTuiHnetConfig

    def __init__(self, config):
        super().__init__(config)
        width = config.widths[0]
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.stage = Stage(config, 0)
        self.head = BitLinear(width, config.vocab_size, config.ternary)
        self.post_init()

    def _hidden(self, x: Tensor, state: TextState, valid: Tensor | None) -> Tensor:
        return self.stage(x, state, valid)
