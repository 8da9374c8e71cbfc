"""How much of the held-out text occurs in the training text: shared 13-grams of words.

The measure of Brown et al. 2020 (arXiv:2005.14165, appendix C), on words and independent of the
tokenizer: words are letters and digits, case and punctuation are ignored, each Chinese or
Japanese character is a word. Everything is computed on arrays of bytes; a 64-bit hash represents
a run of words.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slm_tui.corpus.parallel import in_order
from slm_tui.corpus.split import among
from slm_tui.corpus.staging import CHUNK, Chunk, DocumentSpans

WORDS = 13
WARN_ABOVE = 0.01
"""A larger share of shared runs makes the validation loss look better than it is."""

# Above this many runs, only those with certain hashes are sampled: a million give the share to
# within a twentieth of a percent.
_MOST_RUNS = 1_000_000
_FILTER_BITS = 24
# An odd factor has an inverse modulo 2^64, so a word's hash does not depend on its position.
_FACTOR = 0x9E3779B97F4A7C15
_INVERSE = pow(_FACTOR, -1, 1 << 64)
_RUN_FACTOR = 0xD6E8FEB86659FD93
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """Of `runs` of 13 words in a split, `shared` also occur in training; maybe for a sample."""

    runs: int
    shared: int
    sampled: bool = False

    @property
    def share(self) -> float:
        """The share, 0 to 1."""
        return self.shared / self.runs if self.runs else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "share": self.share}


def measure(
    train: DocumentSpans,
    held_out: dict[str, DocumentSpans],
    threads: int,
    step: Callable[[int, int], None],
) -> dict[str, Overlap]:
    """How much of each held-out split occurs in `train`; `step(done, total)` gets bytes."""
    samples = {part: _runs_of(documents) for part, documents in held_out.items()}
    if not any(len(runs) for runs, _ in samples.values()):
        return {part: Overlap(0, 0) for part in held_out}
    every = np.unique(np.concatenate([runs for runs, _ in samples.values()]))
    shared = _shared_with(train, every, threads, step)
    return {
        part: Overlap(len(runs), int(among(runs, shared).sum()), sampled=one > 1)
        for part, (runs, one) in samples.items()
    }


def _runs_of(documents: DocumentSpans) -> tuple[Hashes, int]:
    """The runs of a split; of many only those whose hash is a multiple of the second value."""
    chunks: list[Hashes] = []
    count, one_in = 0, 1
    for chunk in documents.chunks():
        runs = runs_of_chunk(chunk)
        chunks.append(runs[runs % np.uint64(one_in) == 0] if one_in > 1 else runs)
        count += len(chunks[-1])
        while count > _MOST_RUNS:
            one_in *= 2
            chunks = [runs[runs % np.uint64(one_in) == 0] for runs in chunks]
            count = sum(map(len, chunks))
    return (np.concatenate(chunks) if chunks else np.empty(0, np.uint64)), one_in


def _shared_with(
    train: DocumentSpans, hashes: Hashes, threads: int, step: Callable[[int, int], None]
) -> Hashes:
    """Which of `hashes`, sorted, occur in training; sorted."""
    sieve = np.zeros(1 << _FILTER_BITS, np.bool_)
    sieve[hashes >> np.uint64(64 - _FILTER_BITS)] = True

    def look(chunk: Chunk) -> tuple[int, Hashes]:
        runs = runs_of_chunk(chunk)
        runs = runs[sieve[runs >> np.uint64(64 - _FILTER_BITS)]]
        return chunk.bytes, runs[among(runs, hashes)]

    total, done = train.bytes, 0
    seen = np.zeros(len(hashes), np.bool_)
    for size, runs in in_order(look, train.chunks(), threads):
        done += size
        seen[np.searchsorted(hashes, runs)] = True
        step(done, total)
    return hashes[seen]


def runs_of_chunk(chunk: Chunk) -> Hashes:
    """Hashes of the runs of words in each text of a chunk, `(runs,)`; none spans two texts."""
    joined = b"\xff".join(text.lower().encode("utf-8") for text in chunk.texts)
    data = np.frombuffer(joined, np.uint8)
    # Split texts that could not be split before: the tables grow with the length.
    return np.concatenate(
        [runs_of_bytes(data[at : at + 2 * CHUNK]) for at in range(0, max(1, len(data)), 2 * CHUNK)]
    )


def runs_of_bytes(data: NDArray[np.uint8]) -> Hashes:
    """Hashes of the runs of words of UTF-8 text, `(runs,)`; 0xFF separates texts."""
    letters = _letters()[data]
    letters[_is_punctuation(data)] = 0
    inside, ideographs = letters > 0, _is_ideograph()[data] & (letters > 0)
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    begins |= ideographs
    begins[3:] |= ideographs[:-3] & inside[3:]
    starts = np.flatnonzero(begins)
    if len(starts) < WORDS:
        return np.empty(0, np.uint64)
    words = _word_hashes(letters, starts)
    text_of_word = np.cumsum(data == 0xFF)[starts]
    runs = np.zeros(len(words) - WORDS + 1, np.uint64)
    for offset in range(WORDS):
        runs = runs * np.uint64(_RUN_FACTOR) + words[offset : offset + len(runs)]
    whole = text_of_word[: len(runs)] == text_of_word[WORDS - 1 :]
    return _mixed(runs[whole])


def _word_hashes(letters: NDArray[np.uint8], starts: NDArray[np.int64]) -> Hashes:
    """Hash of each word: its letters as digits of a number, independent of its position."""
    size = len(letters)
    powers, inverses = _powers(_FACTOR, size), _powers(_INVERSE, size)
    # Non-letters count as zero: a word extends to the start of the next one.
    sums = np.cumsum(letters.astype(np.uint64) * powers[:size])
    before = np.where(starts > 0, sums[starts - 1], np.uint64(0))
    ends = np.append(before[1:], sums[-1])
    return _mixed((ends - before) * inverses[starts])


@cache
def _powers_up_to(factor: int, size: int) -> Hashes:
    powers = np.full(size, factor, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def _powers(factor: int, size: int) -> Hashes:
    """1, factor, factor², … modulo 2^64, at least `size` of them."""
    return _powers_up_to(factor, max(2 * CHUNK, 1 << (size - 1).bit_length()))


def _mixed(values: Hashes) -> Hashes:
    """Mix differences into all bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _letters() -> NDArray[np.uint8]:
    """For each byte its value in a word, the same for both cases; 0 outside of words."""
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        if byte >= 0x80 and byte != 0xFF:
            table[byte] = byte
        elif byte < 0x80 and chr(byte).isalnum():
            table[byte] = ord(chr(byte).lower())
    return table


def _is_punctuation(data: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which bytes belong to U+0080 to U+00BF, U+2000 to U+206F or U+3000 to U+303F.

    These are the punctuation, quotes and spaces of most scripts beyond ASCII.
    """
    mask = np.zeros(len(data), np.bool_)
    if len(data) < 3 or int(data.max()) < 0x80:
        return mask
    two = data[:-1] == 0xC2
    mask[:-1] |= two
    mask[1:] |= two
    lead, second = data[:-2], data[1:-1]
    general = (lead == 0xE2) & ((second == 0x80) | ((second == 0x81) & (data[2:] < 0xB0)))
    three = general | ((lead == 0xE3) & (second == 0x80))
    for offset in range(3):
        mask[offset : len(data) - 2 + offset] |= three
    return mask


@cache
def _is_ideograph() -> NDArray[np.bool_]:
    """Whether a byte begins a character of U+3000 to U+9FFF, each of which is a word."""
    table = np.zeros(256, np.bool_)
    table[0xE3:0xEA] = True
    return table
