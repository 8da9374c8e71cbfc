"""Exact scores of a model on a text: every target is scored once, with sums in float64.

Documents are scored separately, each after end-of-text, as in training and generation. Sums are
per unit: a document, or a block of bytes of one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.evaluation.windows import Ids, Window, windows
from slm_tui.models.base import LanguageModel

# All logits of a pass are held in fp32, with a copy: the largest allowed number of them.
_MOST_LOGITS = 2**24
_MOST_SEQUENCES = 256
# Windows are sorted by length before they are batched, to keep padding small.
_POOL = 2048

Step = Callable[[float], None]


class EncodedDocuments(Protocol):
    """Documents as ids: end-of-text, the document, end-of-text."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Ids: ...


@dataclass(frozen=True)
class Units:
    """Units of resampling: whole documents, or blocks of `block_bytes` of them.

    A target belongs to the block that contains its first byte; end-of-text to the last one.
    """

    first: NDArray[np.int64]
    blocks: NDArray[np.int64]
    block_bytes: int | None = None

    @classmethod
    def documents(cls, count: int) -> "Units":
        """One unit per document."""
        return cls(np.arange(count), np.ones(count, np.int64))

    @classmethod
    def cut(cls, sizes: Sequence[int], block_bytes: int) -> "Units":
        """Blocks of `block_bytes`; a remainder belongs to a document's last block."""
        blocks = np.maximum(1, np.array(sizes, np.int64) // block_bytes)
        return cls(np.cumsum(blocks) - blocks, blocks, block_bytes)

    def __len__(self) -> int:
        return int(self.blocks.sum())

    def of(self, document: int, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The units of the targets of `document` that begin at these bytes."""
        if self.block_bytes is None:
            return np.full(len(starts), self.first[document])
        last = self.blocks[document] - 1
        return np.asarray(self.first[document] + np.minimum(starts // self.block_bytes, last))


@dataclass(frozen=True)
class Scores:
    """Sums per unit, `(units,)` each.

    `nats` and `tokens` cover all targets, `text_nats` and `bytes` those that are not end-of-text;
    `hits` and `hits5` count targets that were the top prediction, or among the top five.
    float64 and int64.
    """

    nats: NDArray[np.float64]
    text_nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    bytes: NDArray[np.int64]
    hits: NDArray[np.int64]
    hits5: NDArray[np.int64]

    @classmethod
    def empty(cls, units: int) -> "Scores":
        nats, text = np.zeros(units), np.zeros(units)
        return cls(nats, text, *(np.zeros(units, np.int64) for _ in range(4)))

    @property
    def loss(self) -> float:
        """Mean nats per target, including end-of-text."""
        return _ratio(math.fsum(self.nats), int(self.tokens.sum()))

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of the text; end-of-text, which has no bytes, is excluded."""
        return _ratio(math.fsum(self.text_nats) / math.log(2), int(self.bytes.sum()))

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def accuracy(self) -> float:
        return _ratio(int(self.hits.sum()), int(self.tokens.sum()))

    @property
    def top5_accuracy(self) -> float:
        return _ratio(int(self.hits5.sum()), int(self.tokens.sum()))


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else math.nan


@torch.inference_mode()
def score(
    model: LanguageModel,
    tokenizer: Tokenizer,
    documents: EncodedDocuments,
    units: Units,
    *,
    stride: int | None = None,
    context_bytes: int | None = None,
    sequences: int = _MOST_SEQUENCES,
    step: Step = lambda documents: None,
) -> Scores:
    """Score every target of `documents` once, in eval mode and fp32, without auxiliary loss.

    Args:
        stride: targets that each window after the first scores; by default half of the context.
        context_bytes: the most bytes of context; see `windows`.
        sequences: the most windows in one forward pass; memory may allow fewer.
        step: called now and then with the number of documents done; may raise to stop.

    Raises:
        torch.OutOfMemoryError: even a single window does not fit in memory.
    """
    block = model.block_size
    lengths = tokenizer.byte_lengths().astype(np.int64)
    stride = max(1, block // 2) if stride is None else max(1, min(stride, block))
    most = max(1, min(sequences, _MOST_LOGITS // (block * model.n_vocab)))
    scores = Scores.empty(len(units))
    stream = (
        (number, window)
        for number in range(len(documents))
        for window in windows(documents[number], lengths, block, stride, context_bytes)
    )
    was_training = model.training
    model.eval()
    try:
        while pool := list(islice(stream, _POOL)):
            done, last, at = pool[0][0], pool[-1][0], 0
            pool.sort(key=lambda one: one[1].length)
            while at < len(pool):
                step(done + (last - done) * at / len(pool))
                batch = pool[at : at + most]
                try:
                    losses, ranks = _losses(model, [window for _, window in batch])
                except torch.OutOfMemoryError:
                    if most == 1:
                        raise
                    most = -(-most // 2)
                    continue
                _add(scores, units, batch, losses, ranks, lengths, tokenizer.end_of_text)
                at += len(batch)
    finally:
        model.train(was_training)
    step(float(len(documents)))
    return scores


def _losses(
    model: LanguageModel, batch: list[Window]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Nats and ranks (0 is the likeliest) of all scored targets of a batch, concatenated.

    Shorter windows are padded at the end, where no scored target sees the padding.
    """
    device = next(model.parameters()).device
    longest = max(window.length for window in batch)
    ids = np.zeros((len(batch), longest), np.int64)
    for row, window in enumerate(batch):
        ids[row, : window.length] = window.ids[:-1]
    logits = model(torch.from_numpy(ids).to(device))
    # All scored positions at once: one operation per window would cost more than the model.
    counts = [window.length + 1 - window.scored for window in batch]
    rows = np.repeat(np.arange(len(batch)), counts)
    # The logits at position i predict target i + 1.
    places = np.concatenate([np.arange(one.scored - 1, one.length) for one in batch])
    targets = np.concatenate([one.ids[one.scored :].astype(np.int64) for one in batch])
    chosen = logits[torch.from_numpy(rows).to(device), torch.from_numpy(places).to(device)]
    nats, ranks = _of_targets(chosen.float(), torch.from_numpy(targets).to(device))
    # Convert to float64 on the CPU: not all devices support it.
    return nats.cpu().double().numpy(), ranks.cpu().numpy()


def _of_targets(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nats, float32, and ranks of `targets` `(n,)` under `logits` `(n, n_vocab)`.

    Among equal logits the lower id ranks first, so a uniform model is right only by chance.
    """
    mine = logits.gather(1, targets[:, None])
    nats = logits.logsumexp(1) - mine[:, 0]
    ranks = (logits > mine).sum(1)
    ties = logits == mine
    if int(ties.sum()) > len(targets):
        lower = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
        ranks = ranks + (ties & lower).sum(1)
    # No logit compares as greater than NaN: a NaN must not count as a hit.
    ranks[~torch.isfinite(nats)] = logits.shape[1]
    return nats, ranks


def _add(
    scores: Scores,
    units: Units,
    batch: Sequence[tuple[int, Window]],
    nats: NDArray[np.float64],
    ranks: NDArray[np.int64],
    lengths: NDArray[np.int64],
    end_of_text: int,
) -> None:
    where = np.concatenate([units.of(number, window.starts) for number, window in batch])
    targets = np.concatenate([window.ids[window.scored :] for _, window in batch])
    is_text = targets != end_of_text
    np.add.at(scores.nats, where, nats)
    np.add.at(scores.text_nats, where, np.where(is_text, nats, 0.0))
    np.add.at(scores.tokens, where, 1)
    np.add.at(scores.bytes, where, lengths[targets])
    np.add.at(scores.hits, where, ranks == 0)
    np.add.at(scores.hits5, where, ranks < 5)
