"""How much of a text occurs verbatim in the training text: passages, and the share of 8-grams.

An index holds one 64-bit number for each position in the training stream: 32 bits of a hash of
the 8 tokens there, and the position. It is sorted, so a binary search finds all positions of an
8-gram. Each hit is compared with the tokens themselves: a hash collision is never a match.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Event

import numpy as np
from numpy.typing import NDArray

GRAM = 8
"""Consecutive tokens that are looked up together."""

# 8 bytes each: an index takes at most 128 MB of memory.
MOST_PLACES = 16_000_000
_STRETCHES = 64
_CHUNK = 1 << 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
# At most this many positions of an 8-gram are checked.
_MOST_CANDIDATES = 20_000
_FEW = 16
_PIECES, _PIECE = 48, 128
_LEAST_GRAMS = 16

Tokens = NDArray[np.unsignedinteger]
Grams = NDArray[np.uint64]


class IndexingStopped(RuntimeError):  # noqa: N818 - not an error: it was requested
    """The index is no longer needed."""


@dataclass(frozen=True)
class CopiedPassage:
    """`length` tokens from `start` of the text, which occur at `place` in the training stream."""

    start: int
    length: int
    place: int


@dataclass(frozen=True)
class CopiedText:
    """How much of a text was found: `shared` of `grams` 8-grams, and the longest passages."""

    tokens: int
    grams: int
    shared: int
    passages: tuple[CopiedPassage, ...]

    @property
    def share(self) -> float:
        """The share of its 8-grams that occur in the training text, 0 to 1."""
        return self.shared / self.grams if self.grams else 0.0

    @property
    def longest(self) -> int:
        """Tokens of the longest passage; 0 if none is as long as an 8-gram."""
        return self.passages[0].length if self.passages else 0


class Index:
    """All positions of all 8-grams of a stream of tokens, `(length,)`.

    Of a stream with more than `most` positions, only pieces spread evenly over it are indexed:
    shares and passages are then lower bounds. Takes 8 bytes of memory per position.
    """

    def __init__(
        self, tokens: Tokens, *, most: int = MOST_PLACES, cancel: Event | None = None
    ) -> None:
        self._tokens = tokens
        places = max(0, len(tokens) - GRAM + 1)
        self.places = min(places, most)
        self.of = places
        self._sorted = np.empty(self.places, np.uint64)
        at = 0
        for begin, end in _stretches(places, self.places):
            for first in range(begin, end, _CHUNK):
                if cancel is not None and cancel.is_set():
                    raise IndexingStopped
                last = min(end, first + _CHUNK)
                hashes = hashes_of(tokens[first : last + GRAM - 1])
                where = np.arange(first, last, dtype=np.uint64)
                self._sorted[at : at + last - first] = (hashes & ~_LOW) | where
                at += last - first
        self._sorted.sort()

    @property
    def is_whole(self) -> bool:
        """Whether every position is in the index."""
        return self.places == self.of

    @property
    def bytes(self) -> int:
        """Memory of the index in bytes."""
        return int(self._sorted.nbytes)

    def look(self, ids: Sequence[int] | Tokens, *, passages: int = 3) -> CopiedText:
        """How much of `ids` occurs in the stream, and its longest passages, longest first."""
        text = np.asarray(ids, np.int64)
        if len(text) < GRAM or not self.places:
            return CopiedText(len(text), max(0, len(text) - GRAM + 1), 0, ())
        lows, highs = self._ranges(text)
        present = self._present(text, lows, highs)
        ranges = lows.tolist(), highs.tolist()
        all_passages = self._passages(text, *ranges, present) if passages else []
        longest = _apart(sorted(all_passages, key=lambda one: (-one.length, one.start)), passages)
        return CopiedText(len(text), len(present), int(present.sum()), tuple(longest))

    def _ranges(self, text: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the positions with the hash of each 8-gram begin and end in the index."""
        keys = hashes_of(text) & ~_LOW
        lows = np.searchsorted(self._sorted, keys, "left")
        highs = np.searchsorted(self._sorted, keys | _LOW, "right")
        return lows, highs

    def _present(
        self, text: NDArray[np.int64], lows: NDArray[np.int64], highs: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which 8-grams of the text occur in the stream."""
        grams = np.lib.stride_tricks.sliding_window_view(text, GRAM)
        present = np.zeros(len(grams), bool)
        hit = np.flatnonzero(highs > lows)
        # Nearly always, the first position with the same hash has the same tokens.
        first = (self._sorted[lows[hit]] & _LOW).astype(np.int64)
        present[hit] = self._is_equal(first, grams[hit])
        for at in hit[~present[hit] & (highs[hit] - lows[hit] > 1)].tolist():
            present[at] = self._is_there(grams[at], int(lows[at]), int(highs[at]))
        return present

    def _is_equal(self, places: NDArray[np.int64], texts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """At which positions the stream continues with the tokens of a text; `texts` has one
        row, or one for each position."""
        there = self._tokens[places[:, None] + np.arange(texts.shape[-1])]
        equal: NDArray[np.bool_] = np.equal(there, texts).all(axis=1)
        return equal

    def _is_there(self, gram: NDArray[np.int64], low: int, high: int) -> bool:
        """Whether a position with the same hash has the same tokens."""
        for first, last in ((low, min(high, low + _FEW)), (low + _FEW, high)):
            if first < last and len(self._places(first, last, gram, 0)):
                return True
        return False

    def _places(
        self, low: int, high: int, text: NDArray[np.int64], offset: int
    ) -> NDArray[np.int64]:
        """Where all of `text` occurs, among positions with the hash of its 8-gram at `offset`."""
        packed = self._sorted[low:high]
        if len(packed) > _MOST_CANDIDATES:
            packed = packed[:: -(-len(packed) // _MOST_CANDIDATES)]
        places = (packed & _LOW).astype(np.int64) - offset
        places = places[(places >= 0) & (places + len(text) <= len(self._tokens))]
        for at, token in enumerate(text):
            if len(places) <= _FEW:
                return places[self._is_equal(places + at, text[at:])]
            places = places[self._tokens[places + at] == token]
        return places

    def _passages(
        self,
        text: NDArray[np.int64],
        lows: list[int],
        highs: list[int],
        present: NDArray[np.bool_],
    ) -> list[CopiedPassage]:
        """All passages that cannot be extended on either side.

        A passage that begins later must also end later, so it must contain every 8-gram up to
        beyond the end of the previous one: the rarest of those gives its candidate positions.
        """
        passages: list[CopiedPassage] = []
        end = 0
        for start in range(len(present)):
            if not present[start]:
                continue
            # It must reach one token further than the previous passage.
            reach = max(start + GRAM, end + 1)
            inside = range(start, reach - GRAM + 1)
            if reach > len(text) or not present[start : reach - GRAM + 1].all():
                continue
            rarest = min(inside, key=lambda at: highs[at] - lows[at])
            places = self._places(lows[rarest], highs[rarest], text[start:reach], rarest - start)
            if not len(places):
                continue
            end, place = self._extended(text, reach, places + (reach - start))
            passages.append(CopiedPassage(start, end - start, place - (end - start)))
        return passages

    def _extended(
        self, text: NDArray[np.int64], end: int, afters: NDArray[np.int64]
    ) -> tuple[int, int]:
        """The furthest end of a passage that ends at `afters` so far, and its own end there."""
        while end < len(text):
            inside = afters[afters < len(self._tokens)]
            following = inside[self._tokens[inside] == text[end]]
            if not len(following):
                break
            afters, end = following + 1, end + 1
        return end, int(afters[0])


def hashes_of(tokens: NDArray[np.integer]) -> Grams:
    """A 64-bit hash of each 8 consecutive tokens, `(length - 7,)`."""
    count = max(0, len(tokens) - GRAM + 1)
    wide = tokens.astype(np.uint64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(GRAM):
        hashes *= _FACTOR
        hashes += wide[offset : offset + count] + np.uint64(1)
    # A product mixes bits upwards only: fold and multiply again (as SplitMix64 does).
    hashes ^= hashes >> np.uint64(31)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    return hashes


def _stretches(places: int, most: int) -> list[tuple[int, int]]:
    if places <= most:
        return [(0, places)] if places else []
    each = [most // _STRETCHES + (at < most % _STRETCHES) for at in range(_STRETCHES)]
    starts = [places * at // _STRETCHES for at in range(_STRETCHES)]
    return [(start, start + size) for start, size in zip(starts, each, strict=True) if size]


def _apart(passages: list[CopiedPassage], most: int) -> list[CopiedPassage]:
    """The first passages that do not overlap, up to a maximum number."""
    chosen: list[CopiedPassage] = []
    for one in passages:
        if len(chosen) == most:
            break
        if all(
            one.start >= other.start + other.length or other.start >= one.start + one.length
            for other in chosen
        ):
            chosen.append(one)
    return chosen


@dataclass(frozen=True)
class Reference:
    """How much pieces of the validation text naturally share with the training text."""

    shares: tuple[float, ...] = ()
    longest: int = 0

    @cached_property
    def share(self) -> float:
        """The mean share of a piece's 8-grams, 0 to 1."""
        return sum(self.shares) / len(self.shares) if self.shares else 0.0

    @cached_property
    def spread(self) -> float:
        """Standard deviation of that share between pieces, at least five points."""
        if len(self.shares) < 2:
            return 0.05
        return max(0.05, float(np.std(self.shares, ddof=1)))


def reference(index: Index, validation: Tokens) -> Reference:
    """Measure pieces of the validation text, of 128 tokens each, spread evenly over it."""
    length = min(_PIECE, len(validation))
    if length < GRAM + _LEAST_GRAMS:
        return Reference()
    count = min(_PIECES, len(validation) // length)
    starts = np.linspace(0, len(validation) - length, count).astype(int)
    matches = [index.look(validation[start : start + length], passages=1) for start in starts]
    return Reference(tuple(one.share for one in matches), max(one.longest for one in matches))


@dataclass(frozen=True)
class Copying:
    """What the samples of a step copied. `quotes` are the longest passages as text."""

    step: int
    overlap: CopiedText
    reference: Reference
    quotes: tuple[str, ...] = ()
    is_whole: bool = True

    @property
    def is_much(self) -> bool:
        """Whether it is clearly more than independent texts of this kind share."""
        if self.overlap.grams < _LEAST_GRAMS:
            return False
        if not self.reference.shares:
            return self.overlap.share > 0.5
        return self._excess > max(0.1, 3 * self.reference.spread)

    @property
    def _excess(self) -> float:
        return self.overlap.share - self.reference.share

    @property
    def confidence(self) -> float:
        """How unlikely it is that a piece of validation text shares this much, 0 to 1."""
        z = self._excess / self.reference.spread
        return math.erf(max(0.0, z) / math.sqrt(2)) if self.reference.shares else 0.8

    @property
    def reason(self) -> str:
        """What the confidence is based on."""
        pieces = len(self.reference.shares)
        if not pieces:
            return "no validation text to compare with"
        times = self._excess / self.reference.spread
        return f"{times:.0f} × the variation between {pieces} pieces of unseen text"

    @property
    def short(self) -> str:
        """The share and the longest passage in a few words."""
        natural = f" (unseen text {self.reference.share:.0%})" if self.reference.shares else ""
        longest = f", longest match {self.overlap.longest} tokens" if self.overlap.longest else ""
        return f"{self.overlap.share:.0%} in the training text{natural}{longest}"

    def sentence(self) -> str:
        """Share and longest passage, each with the value for unseen text."""
        least = "" if self.is_whole else "at least "
        text = f"{least}{self.overlap.share:.0%} of 8-grams also occur in the training text"
        if self.reference.shares:
            text += f" (unseen text: {self.reference.share:.0%})"
        if self.overlap.longest:
            text += f"; longest match {self.overlap.longest} tokens"
            if self.reference.shares:
                text += f" (unseen text: {self.reference.longest})"
        return text


def copying(
    index: Index,
    samples: Sequence[Sequence[int]],
    step: int,
    natural: Reference,
    decode: Callable[[Sequence[int]], str],
) -> Copying:
    """Look up the samples of one step, each a list of tokens of the corpus."""
    matches = [(one, index.look(one)) for one in samples]
    passages = sorted(
        ((passage, ids) for ids, each in matches for passage in each.passages),
        key=lambda pair: -pair[0].length,
    )[:3]
    quotes = tuple(decode(list(ids[p.start : p.start + p.length])) for p, ids in passages)
    together = CopiedText(
        sum(each.tokens for _, each in matches),
        sum(each.grams for _, each in matches),
        sum(each.shared for _, each in matches),
        tuple(passage for passage, _ in passages),
    )
    return Copying(step, together, natural, quotes, index.is_whole)
