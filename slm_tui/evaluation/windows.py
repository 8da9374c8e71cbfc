"""The windows that score a document: every target once, each with enough context."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.unsignedinteger]

# Positions of a document are held for this many targets at a time.
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Window:
    """One pass: `ids` `(length + 1,)`, of which those from `scored` on are scored as targets.

    `starts` has, for each scored target, the number of bytes of the document before it.
    """

    ids: Ids
    scored: int
    starts: NDArray[np.int64]

    @property
    def length(self) -> int:
        """The number of tokens that the model reads."""
        return len(self.ids) - 1


def windows(
    ids: Ids,
    byte_lengths: NDArray[np.int64],
    block_size: int,
    stride: int,
    context_bytes: int | None = None,
) -> Iterator[Window]:
    """The windows of one document.

    In tokens: the first window scores all its targets; each later one begins `stride` tokens
    further on and scores its last `stride` targets, so that they have at least
    `block_size - stride` tokens before them.

    In bytes, with `context_bytes` C: a target that begins at byte b is scored from byte 0 if
    b < C, and otherwise from the last multiple of C // 2 that leaves it fewer than C bytes. So
    it has at least C / 2 bytes before it, the same ones for every tokenizer except for a partial
    token at the border. If that is more than `block_size` tokens, the rule in tokens applies.

    Args:
        ids: `(length,)`; the first is context only, the others are targets.
        byte_lengths: bytes of each token, `(n_vocab,)`.
        block_size: the most tokens that a window may read.
        stride: 1 to `block_size`.
    """
    before = 0
    for first in range(1, len(ids), _CHUNK):
        last = min(len(ids), first + _CHUNK)
        low = max(0, first - block_size)
        part = ids[low:last]
        sizes = byte_lengths[part]
        starts = np.cumsum(sizes) - sizes
        starts += before - int(starts[first - low])
        before = int(starts[-1] + sizes[-1])
        for begin, target, end in _spans(starts, first - low, context_bytes):
            at = target
            while at < end:
                start = begin
                if end - 1 - begin > block_size:
                    start = max(begin, at - 1 - (block_size - stride))
                stop = min(end, start + block_size + 1)
                yield Window(part[start:stop], at - start, starts[at:stop])
                at = stop


def _spans(
    starts: NDArray[np.int64], first: int, context_bytes: int | None
) -> Iterator[tuple[int, int, int]]:
    """Where a window may begin, its first target, and the end of its targets."""
    if context_bytes is None:
        yield 0, first, len(starts)
        return
    step = max(1, context_bytes // 2)
    places = starts[first:]
    number = np.where(places < context_bytes, 0, (places - context_bytes) // step + 1)
    cuts = np.flatnonzero(np.diff(number)) + 1
    for at, end in zip([0, *cuts], [*cuts, len(number)], strict=True):
        begin = int(np.searchsorted(starts, int(number[at]) * step))
        # A target has at least the token before it as context.
        yield max(0, min(begin, first + int(at) - 1)), first + int(at), first + int(end)
