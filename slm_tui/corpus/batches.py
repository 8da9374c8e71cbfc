"""Batches as a pure function of (seed, step): no state to save or restore.

The training split is divided into windows of `block_size`, shifted by a new random phase in
every epoch; each epoch visits every window once, in a new order. The label shift happens only
here: `targets` are `ids` one token later.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from slm_tui.errors import CorpusError

Ids = NDArray[np.int64]
Tokens = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Batch:
    """`ids` and `targets`, int64 `(sequences, block_size)`."""

    ids: Ids
    targets: Ids


@dataclass(frozen=True)
class Windows:
    """Windows of a text: each has `block_size` tokens and begins at one of `starts`, int64
    `(sequences,)`."""

    tokens: Tokens
    starts: Ids
    block_size: int

    @cached_property
    def batch(self) -> Batch:
        """The tokens, read when they are first asked for."""
        offsets = np.arange(self.block_size + 1, dtype=np.int64)
        found = self.tokens[self.starts[:, None] + offsets].astype(np.int64)
        return Batch(found[:, :-1], found[:, 1:])


class Batches:
    """Training batches over a stream of tokens.

    Args:
        tokens: the stream, of any unsigned integer type, `(length,)`.
        block_size: tokens per window.
        sequences: windows per step, over all micro-batches.
        seed: determines the order.
        part: which of the windows of a step `batch` returns; all of them by default.

    Raises:
        CorpusError: the stream is too short for one window and its target.
    """

    def __init__(
        self,
        tokens: Tokens,
        block_size: int,
        sequences: int,
        seed: int,
        part: range | None = None,
    ) -> None:
        if len(tokens) < block_size + 1:
            raise CorpusError(
                f"the training split has {len(tokens)} tokens",
                f"a window of {block_size} and its target need {block_size + 1}",
                f"use more text, or set model.block_size to {max(4, len(tokens) // 2)} or less",
            )
        self._tokens = tokens
        self._block = block_size
        self._sequences = sequences
        self._part = range(sequences) if part is None else part
        self._seed = seed
        # The phase can cost one window: leave one out so that all epochs have the same number.
        self.windows = max(1, (len(tokens) - 1) // block_size - 1)
        self._order = lru_cache(maxsize=2)(self._shuffled)
        self._ahead: tuple[int, Windows] | None = None

    def prefetch(self, step: int, *, reads: bool) -> None:
        """Keep the windows of `step` for the next call of `windows_of`.

        Args:
            reads: whether to read their tokens, too.
        """
        ahead = self._windows_of(step)
        if reads:
            _ = ahead.batch
        self._ahead = step, ahead

    def batch(self, step: int) -> Batch:
        """The sequences of step `step`, counted from 0."""
        return self.windows_of(step).batch

    def windows_of(self, step: int) -> Windows:
        """Where the sequences of step `step` are in the text."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead is not None and ahead[0] == step else self._windows_of(step)

    def _windows_of(self, step: int) -> Windows:
        first = step * self._sequences
        index = np.arange(first + self._part.start, first + self._part.stop, dtype=np.int64)
        epochs, places = np.divmod(index, self.windows)
        starts = np.empty_like(index)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            mine = epochs == epoch
            order, phase = self._order(epoch)
            starts[mine] = order[places[mine]].astype(np.int64) * self._block + phase
        return Windows(self._tokens, starts, self._block)

    def _shuffled(self, epoch: int) -> tuple[NDArray[np.uint32], int]:
        generator = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
        spare = len(self._tokens) - 1 - self.windows * self._block
        phase = int(generator.integers(0, min(spare, self._block - 1) + 1))
        return generator.permutation(self.windows).astype(np.uint32), phase


def fixed_windows(tokens: Tokens, block_size: int, most: int) -> Batch:
    """At most `most` windows, spread evenly over a split, always the same ones.

    Windows do not overlap, so every target is scored once. A split shorter than a window gives
    one short window.

    Raises:
        CorpusError: the split has no token to predict.
    """
    if len(tokens) < 2:
        raise CorpusError(
            f"the held-out split has {len(tokens)} tokens",
            "there is nothing to predict",
            "use more text or a larger data.split.validation",
        )
    length = min(block_size, len(tokens) - 1)
    available = (len(tokens) - 1) // length
    chosen = np.linspace(0, available - 1, min(most, available)).round().astype(np.int64)
    return Windows(tokens, chosen * length, length).batch
