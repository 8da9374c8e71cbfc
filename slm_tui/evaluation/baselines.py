"""The cost of a text without a language model: the rows that a model must beat.

Byte counts come from the training split: nothing is learned from the text that is scored.
"""

import lzma
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIFORM_BITS_PER_BYTE = 8.0
# The context of a document's first byte, after those of the 256 bytes.
_BEGINNING = 256
# A compressor sees this much of each text; more would take minutes.
MOST_COMPRESSED = 4_000_000
_PIECE = 1 << 18


@dataclass(frozen=True)
class ByteCounts:
    """How often each byte follows each other byte or begins a document: `(257, 256)`."""

    pairs: NDArray[np.int64]

    @classmethod
    def of(cls, documents: Iterable[bytes]) -> "ByteCounts":
        pairs = np.zeros((257, 256), np.int64)
        for document in documents:
            for before, after in _pairs(document):
                pairs += np.bincount(before * 256 + after, minlength=257 * 256).reshape(257, 256)
        return cls(pairs)

    def unigram(self) -> NDArray[np.float64]:
        """Probabilities of bytes, `(256,)`: (count + 1/2) / (all + 128).

        Source: Krichevsky and Trofimov 1981.
        """
        counts = self.pairs.sum(0)
        return np.asarray((counts + 0.5) / (counts.sum() + 128))

    def bigram(self) -> NDArray[np.float64]:
        """Probabilities of a byte after another, `(257, 256)`; row 256: at the start.

        P(b | a) = (n(a b) + t(a) P(b)) / (n(a) + t(a)), where t(a) is the number of different
        bytes seen after a, at least 1, and P(b) is the unigram: no pair is impossible.

        Source: Witten and Bell 1991, method C, interpolated.
        """
        times = self.pairs.sum(1, keepdims=True)
        kinds = np.maximum(1, (self.pairs > 0).sum(1, keepdims=True))
        return np.asarray((self.pairs + kinds * self.unigram()) / (times + kinds))


def _pairs(document: bytes) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each byte with the one before it, one piece of the document at a time."""
    last = _BEGINNING
    for at in range(0, len(document), _PIECE):
        after = np.frombuffer(document[at : at + _PIECE], np.uint8).astype(np.int64)
        yield np.concatenate(([last], after[:-1])), after
        last = int(after[-1])


def byte_nats(
    probabilities: NDArray[np.float64], document: bytes
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Nats of the bytes of `document` under a unigram or a bigram, one piece at a time: the start
    of the piece and the nats of its bytes."""
    at = 0
    for before, after in _pairs(document):
        chosen = probabilities[after] if probabilities.ndim == 1 else probabilities[before, after]
        yield at, -np.log(chosen)
        at += len(after)


def lzma_bits_per_byte(
    text: Sequence[bytes], training: Sequence[bytes], step: Callable[[], None] = lambda: None
) -> float:
    """Bits per byte that the compressor LZMA adds for `text` after it has read `training`.

    The size of both together minus the size of `training` alone; the whole size without training
    text. Documents are joined with nothing between them and truncated to `MOST_COMPRESSED`
    bytes, so that the dictionary holds everything; headers are not counted.
    """
    before = joined(training, MOST_COMPRESSED)
    after = joined(text, MOST_COMPRESSED)
    if not after:
        return math.nan
    alone = _compressed(before, step) if before else 0
    return 8 * (_compressed(before + after, step) - alone) / len(after)


def joined(documents: Iterable[bytes], most: int) -> bytes:
    """The first `most` bytes of all documents."""
    parts, have = [], 0
    for document in documents:
        parts.append(document[: most - have])
        have += len(parts[-1])
        if have >= most:
            break
    return b"".join(parts)


def _compressed(data: bytes, step: Callable[[], None]) -> int:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 24}]
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    size = 0
    for at in range(0, len(data), _PIECE):
        step()
        size += len(compressor.compress(data[at : at + _PIECE]))
    return size + len(compressor.flush())
