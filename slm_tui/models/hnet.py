"""H-Net: a byte-level model that learns where to cut its input into chunks.

Each stage encodes its sequence, cuts it, and hands the chunks to the next stage; the innermost
stage works on the coarsest chunks. All blocks are those of HGRN-bit. Source: Hwang et al. 2025
(arXiv:2507.07955).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slm_tui.config.models.hnet import HnetModel
from slm_tui.models.base import LanguageModel, Loss, ParameterGroup
from slm_tui.models.bitlinear import BitLinear
from slm_tui.models.hgrn import (
    Padding,
    Stack,
    StackState,
    initialize_blocks,
    padding_of,
    weight_metric_names,
    weight_metrics,
)
from slm_tui.models.routing import (
    Cuts,
    Router,
    chunk,
    dechunk,
    ratio_loss,
    share_and_mean,
    straight_through_one,
)
from slm_tui.models.word_starts import share_of_words, word_loss, word_starts

# A probability this close to 0.5 counts as undecided.
_UNDECIDED = 0.1
# On a GPU lengths are rounded up to a multiple of this, so that memory is reused.
_LENGTHS = 32
_WORD_METRICS = ("stage1_word_loss", "stage1_word_share")


@dataclass
class StageState:
    """The memory of a stage and all stages inside it, for several texts.

    `encoder` alone is set for the innermost stage. `before` is the last encoded position and
    `smoothed` the smoothed value of the last chunk, both `(batch, width)`; `begun`, `(batch,)`,
    says whether the text has a first position.
    """

    encoder: StackState
    decoder: StackState | None = None
    inner: "StageState | None" = None
    before: Tensor | None = None
    smoothed: Tensor | None = None
    begun: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """See `State.nbytes`."""
        parts = (self.encoder, self.decoder, self.inner, self.before, self.smoothed, self.begun)
        return sum(part.nbytes for part in parts if part is not None)

    def take(self, texts: Sequence[int] | Tensor) -> "StageState":
        """See `State.take`."""
        rows = texts if isinstance(texts, Tensor) else list(texts)
        return StageState(
            self.encoder.take(rows),
            self.decoder.take(rows) if self.decoder else None,
            self.inner.take(rows) if self.inner else None,
            *(None if part is None else part[rows] for part in self._tensors()),
        )

    def joined(self, other: "StageState") -> "StageState":
        """See `State.joined`."""
        pairs = zip(self._tensors(), other._tensors(), strict=True)
        return StageState(
            self.encoder.joined(other.encoder),
            self.decoder.joined(other.decoder) if self.decoder and other.decoder else None,
            self.inner.joined(other.inner) if self.inner and other.inner else None,
            *(None if a is None or b is None else torch.cat((a, b)) for a, b in pairs),
        )

    def put(self, texts: Tensor, part: "StageState") -> None:
        """Replace the texts at these indices."""
        self.encoder.put(texts, part.encoder)
        if self.decoder and part.decoder:
            self.decoder.put(texts, part.decoder)
        if self.inner and part.inner:
            self.inner.put(texts, part.inner)
        for mine, new in zip(self._tensors(), part._tensors(), strict=True):
            if mine is not None and new is not None:
                mine[texts] = new

    def _tensors(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return self.before, self.smoothed, self.begun


class Stage(nn.Module):
    """A stage and, recursively, the stages inside it."""

    def __init__(self, config: HnetModel, number: int) -> None:
        super().__init__()
        self.width = config.d_model[number]
        blocks = config.num_blocks[number]
        outer = config.d_model[max(0, number - 1)]
        self.number = number
        self.encoder = Stack(config, self.width, blocks[0])
        # Channels that the outer stage does not have.
        if self.width > outer:
            self.added_channels = nn.Parameter(torch.empty(self.width - outer))
        self.outer_width = min(outer, self.width)
        self.is_innermost = number == len(config.d_model) - 1
        if not self.is_innermost:
            self.router = Router(self.width)
            self.residual = nn.Linear(self.width, self.width)
            self.inner = Stage(config, number + 1)
            self.decoder = Stack(config, self.width, blocks[-1])

    def forward(
        self, x: Tensor, state: StageState | None, padding: Padding | None
    ) -> tuple[Tensor, list[tuple[Cuts, Padding | None]]]:
        """`x` is `(batch, time, width of the outer stage)`; `state` is advanced in place.

        Returns:
            The result, in the shape of `x`, and the cuts of this stage and those inside it, each
            with the padding of its sequence.
        """
        if self.width > self.outer_width:
            added = self.added_channels.expand(*x.shape[:2], -1)
            x = torch.cat((x, added.to(x.dtype)), 2)
        encoded = self.encoder(x, state.encoder if state else None, padding)
        if self.is_innermost:
            return encoded[..., : self.outer_width], []
        cuts = self._cuts(encoded, state, padding)
        within, inner_cuts = self._through_chunks(encoded, cuts, state)
        with torch.autocast(x.device.type, enabled=False):
            residual = self.residual(encoded.to(self.residual.weight.dtype))
            y = within * straight_through_one(cuts.confidence)[:, :, None] + residual
        decoded = self.decoder(y, state.decoder if state else None, padding)
        return decoded[..., : self.outer_width], [(cuts, padding), *inner_cuts]

    def _cuts(self, encoded: Tensor, state: StageState | None, padding: Padding | None) -> Cuts:
        valid = None if padding is None else padding.valid
        if state is None or state.before is None or state.begun is None:
            nothing = encoded.new_zeros(len(encoded), self.width)
            begun = torch.zeros(len(encoded), dtype=torch.bool, device=encoded.device)
            cuts: Cuts = self.router(encoded, nothing, begun, valid)
            return cuts
        cuts = self.router(encoded, state.before, state.begun, valid)
        if padding is None:
            state.before[:] = encoded[:, -1]
        else:
            rows = torch.arange(len(encoded), device=encoded.device)
            state.before[:] = encoded[rows, padding.counts - 1]
        state.begun[:] = True
        return cuts

    def _through_chunks(
        self, encoded: Tensor, cuts: Cuts, state: StageState | None
    ) -> tuple[Tensor, list[tuple[Cuts, Padding | None]]]:
        """The inner stage on the chunks, spread over the positions; texts without a new chunk
        take no part in it."""
        counts = cuts.counts
        if state is None or state.smoothed is None or state.inner is None:
            length = _room(counts, encoded.shape[1])
            inside = Padding.of(counts, length)
            y, inner_cuts = self.inner(chunk(encoded, cuts, length), None, inside)
            nothing = encoded.new_zeros(len(encoded), self.width)
            return dechunk(y, cuts, nothing, inside.valid)[0], inner_cuts
        new = counts.nonzero()[:, 0]
        smoothed = state.smoothed
        spread = smoothed[:, None].expand(-1, encoded.shape[1], -1)
        if not len(new):
            return spread, []
        everyone = len(new) == len(counts)
        part = cuts if everyone else Cuts(cuts.probability[new], cuts.boundary[new])
        counts, rows = (counts, encoded) if everyone else (counts[new], encoded[new])
        length = _room(counts, encoded.shape[1])
        inside = Padding.of(counts, length)
        inner = state.inner if everyone else state.inner.take(new)
        y, inner_cuts = self.inner(chunk(rows, part, length), inner, inside)
        before = smoothed if everyone else smoothed[new]
        within, last = dechunk(y, part, before, inside.valid)
        if everyone:
            smoothed[:] = last
            return within, inner_cuts
        state.inner.put(new, inner)
        spread = spread.to(within.dtype).clone()
        spread[new] = within
        smoothed[new] = last.to(smoothed.dtype)
        return spread, inner_cuts

    def start(self, batch: int) -> StageState:
        """The state before the first position."""
        encoder = self.encoder.start(batch)
        if self.is_innermost:
            return StageState(encoder)
        nothing = self.residual.weight.new_zeros(batch, self.width)
        return StageState(
            encoder,
            self.decoder.start(batch),
            self.inner.start(batch),
            nothing,
            nothing.clone(),
            torch.zeros(batch, dtype=torch.bool, device=nothing.device),
        )


class Hnet(LanguageModel):
    """Embedding, the stages, and a ternary output layer."""

    def __init__(self, config: HnetModel, n_vocab: int) -> None:
        super().__init__()
        self.config = config
        self.n_vocab = n_vocab
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(n_vocab, config.d_model[0])
        self.stage = Stage(config, 0)
        self.head = BitLinear(config.d_model[0], n_vocab, config.ternary)
        self._routing_metrics = tuple(
            f"stage{number + 1}_{name}"
            for number in range(len(config.d_model) - 1)
            for name in ("compression", "probability", "ratio_loss", "undecided")
        )
        words = _WORD_METRICS if config.word_loss_weight else ()
        self.metrics = self._routing_metrics + words + weight_metric_names(config)

    @property
    def context(self) -> None:
        """See `LanguageModel.context`."""
        return

    def initialize(self, generator: torch.Generator) -> None:
        """As HGRN-bit's; routers start as the identity, residual connections at zero."""
        initialize_blocks(self, self.config.layers, generator)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, Router):
                    nn.init.eye_(module.query.weight)
                    nn.init.eye_(module.key.weight)
                elif isinstance(module, Stage) and not module.is_innermost:
                    module.residual.weight.zero_()

    def forward(self, ids: Tensor) -> Tensor:
        return self._run(ids)[0]

    def cuts(self, ids: Tensor) -> list[tuple[Cuts, Padding | None]]:
        """The cuts that each stage makes in `ids` `(batch, time)`, outermost first."""
        return self._run(ids)[1]

    def part_of(self, name: str) -> str:
        """The stage of a parameter; the embedding and the output layer belong to `stage1`."""
        return f"stage{_stage_of(name) + 1}"

    @property
    def stages_that_cut(self) -> int:
        """See `LanguageModel.stages_that_cut`."""
        return len(self.config.d_model) - 1

    def boundaries(self, ids: Tensor) -> list[Tensor]:
        """See `LanguageModel.boundaries`."""
        seen = torch.ones_like(ids, dtype=torch.bool)
        result = []
        for cuts, padding in self.cuts(ids):
            p = cuts.probability
            valid = torch.ones_like(cuts.boundary) if padding is None else padding.valid
            spread = torch.full(ids.shape, torch.nan, dtype=p.dtype, device=p.device)
            spread[seen] = p[valid]
            result.append(spread)
            # The next stage sees the first position of each chunk.
            seen = spread > 0.5
        return result

    def loss(self, ids: Tensor, targets: Tensor) -> Loss:
        logits, cuts = self._run(ids)
        entropy = F.cross_entropy(logits.flatten(0, 1), targets.reshape(-1))
        total = entropy
        metrics: dict[str, Tensor] = {}
        for number, (stage, padding) in enumerate(cuts):
            valid = None if padding is None else padding.valid
            ratio = ratio_loss(stage, valid, self.config.targets[number])
            total = total + self.config.ratio_loss_weight * ratio
            share, mean = share_and_mean(stage, valid)
            near = (stage.probability - 0.5).abs() < _UNDECIDED
            undecided = share_and_mean(Cuts(stage.probability, near), valid)[0]
            figures = (1 / share.clamp(min=1e-6), mean, ratio, undecided)
            names = self._routing_metrics[4 * number : 4 * number + 4]
            metrics |= {name: one.detach() for name, one in zip(names, figures, strict=True)}
        if self.config.word_loss_weight:
            starts, first = word_starts(ids, targets), cuts[0][0]
            of_words = word_loss(first, starts)
            total = total + self.config.word_loss_weight * of_words
            share = share_of_words(first, starts)
            metrics |= dict(zip(_WORD_METRICS, (of_words.detach(), share), strict=True))
        if self.config.ternary:
            metrics |= weight_metrics(self)
        return Loss(total, entropy, metrics)

    def start(self, batch: int) -> StageState:
        state: StageState = self.stage.start(batch)
        return state

    def step(self, ids: Tensor, state: StageState, lengths: Sequence[int] | None = None) -> Tensor:
        padding, last = padding_of(lengths, ids)
        x, _ = self.stage(self._embedded(ids), state, padding)
        logits: Tensor = self.head(x[last])
        return logits

    def parameter_groups(self) -> list[ParameterGroup]:
        """Each stage's parameters with its learning rate; the embedding and the output layer
        belong to the outermost stage.

        Routers and residual connections are not updated by Muon: its updates have the same size
        in all directions, so routers would soon lose the identity that they start from.
        """
        groups: dict[tuple[int, str], ParameterGroup] = {}
        rates = self.config.stage_rates
        for group in super().parameter_groups():
            for name, value in group.parameters:
                stage = _stage_of(name)
                is_routing = ".router." in name or name.endswith(".residual.weight")
                role = "routing" if is_routing else group.role
                empty = ParameterGroup([], role, rates[stage])
                groups.setdefault((stage, role), empty).parameters.append((name, value))
        return list(groups.values())

    def _run(self, ids: Tensor) -> tuple[Tensor, list[tuple[Cuts, Padding | None]]]:
        x, cuts = self.stage(self._embedded(ids), None, None)
        logits: Tensor = self.head(x)
        return logits, cuts

    def _embedded(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.token_embedding.weight)


def _stage_of(name: str) -> int:
    """The stage that a parameter belongs to, from 0 for the outermost."""
    return name.count("inner.")


def _room(counts: Tensor, longest: int) -> int:
    """The number of chunks to keep room for; reading it waits for the device once."""
    length = int(counts.max())
    if counts.device.type == "cuda":
        length = -(-length // _LENGTHS) * _LENGTHS
    return max(1, min(length, longest))
