"""How well a model knows a text, exactly: every target scored once, sums in float64.

Documents are scored on their own, each after end-of-text, as they begin in training and when
text is written. Sums are kept per unit: a document, or a block of bytes of one.
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

# All logits of a pass are held, in fp32 and with a copy: at most so many of them.
_MOST_LOGITS = 2**24
_MOST_SEQUENCES = 256
# Windows are sorted by length before they are put together, so that little is padding.
_POOL = 2048

Step = Callable[[float], None]


class EncodedDocuments(Protocol):
    """Documents as ids: end-of-text, the document, end-of-text."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Ids: ...


@dataclass(frozen=True)
class Units:
    """What is resampled together: whole documents, or blocks of `block_bytes` of them.

    A target belongs to the block in which its first byte stands; end-of-text to the last one.
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
        """Blocks of `block_bytes`; what is left over is part of a document's last block."""
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

    `nats` and `tokens` are of all targets, `text_nats` and `bytes` of those that are not
    end-of-text; `hits` and `hits5` count targets that were the likeliest, or among the five
    likeliest. float64 and int64.
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
        """Mean nats per target, end-of-text included."""
        return _ratio(math.fsum(self.nats), int(self.tokens.sum()))

    @property
    def bits_per_byte(self) -> float:
        """Bits of the text per byte of it; end-of-text, which has no bytes, is left out."""
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
    """Score every target of `documents` once, in eval mode and fp32; no auxiliary loss counts.

    Args:
        stride: targets that a window scores after the first one; half of the context if absent.
        context_bytes: the most bytes of context; see `windows`.
        sequences: the most windows in one forward pass; memory may allow fewer.
        step: told now and then how many documents are done; may raise to end it.

    Raises:
        torch.OutOfMemoryError: there is no memory for a single window.
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
    """Nats and ranks (0 is the likeliest) of all scored targets of a batch, one after another.

    Shorter windows are padded behind, where no scored target sees it.
    """
    device = next(model.parameters()).device
    longest = max(window.length for window in batch)
    ids = np.zeros((len(batch), longest), np.int64)
    for row, window in enumerate(batch):
        ids[row, : window.length] = window.ids[:-1]
    logits = model(torch.from_numpy(ids).to(device))
    # All scored places at once: an operation for each window would cost more than the model.
    counts = [window.length + 1 - window.scored for window in batch]
    rows = np.repeat(np.arange(len(batch)), counts)
    # The logits of position i are of target i + 1.
    places = np.concatenate([np.arange(one.scored - 1, one.length) for one in batch])
    targets = np.concatenate([one.ids[one.scored :].astype(np.int64) for one in batch])
    chosen = logits[torch.from_numpy(rows).to(device), torch.from_numpy(places).to(device)]
    nats, ranks = _of_targets(chosen.float(), torch.from_numpy(targets).to(device))
    # To float64 here: not all devices have it.
    return nats.cpu().double().numpy(), ranks.cpu().numpy()


def _of_targets(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nats, float32, and ranks of `targets` `(n,)` under `logits` `(n, n_vocab)`.

    Of equal logits the lower id counts as likelier: a model that prefers nothing is right by
    chance only.
    """
    mine = logits.gather(1, targets[:, None])
    nats = logits.logsumexp(1) - mine[:, 0]
    ranks = (logits > mine).sum(1)
    ties = logits == mine
    if int(ties.sum()) > len(targets):
        lower = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
        ranks = ranks + (ties & lower).sum(1)
    # Nothing is more likely than a logit that is no number: it must not count as a hit.
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
