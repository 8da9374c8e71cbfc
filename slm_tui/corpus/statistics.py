"""Statistics of a prepared corpus: counts, lengths and tokens, read in chunks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slm_tui.config.estimate import estimate
from slm_tui.config.preset import Preset
from slm_tui.corpus import fit
from slm_tui.corpus.batches import Batches
from slm_tui.corpus.prepare import Corpus, Tokens
from slm_tui.corpus.split import PARTS
from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.corpus.tokenizers.analysis import Analysis, analyse
from slm_tui.errors import CorpusError
from slm_tui.text import cells, visible

RARE = 5
"""A token seen fewer times than this in training is rare: too few to learn much about it."""

_CHUNK = 1 << 20
_MOST_FREQUENT = 200
_SAMPLE, _LEAST_SAMPLE = 100_000, 1_000
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Bin:
    """`documents` whose length in tokens is at least `low` and below `high`."""

    low: int
    high: int
    documents: int


@dataclass(frozen=True)
class TokenCount:
    """How often the token `id`, with the bytes `data`, occurs in the training split."""

    id: int
    data: bytes
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values; bytes are hexadecimal."""
        text = shown(self.data)
        return {"id": self.id, "text": text, "bytes": self.data.hex(), "count": self.count}


@dataclass(frozen=True)
class PartStatistics:
    """One split. `tokens` counts the whole stream, `bytes` the text without end-of-text.

    `lengths` holds each document length in tokens that occurs, ascending, and `documents_of`
    how many documents have it. `shortest_bytes` and `longest_bytes` are of single documents.
    `floor` is in bits per byte, if the source knows it.
    """

    tokens: int
    bytes: int
    lengths: tuple[int, ...]
    documents_of: tuple[int, ...]
    shortest_bytes: int = 0
    longest_bytes: int = 0
    floor: float | None = None

    @property
    def documents(self) -> int:
        return sum(self.documents_of)

    @property
    def shortest(self) -> int:
        return self.lengths[0] if self.lengths else 0

    @property
    def longest(self) -> int:
        return self.lengths[-1] if self.lengths else 0

    @property
    def mean_length(self) -> float:
        """Mean document length in tokens; 0 without documents."""
        total = sum(a * b for a, b in zip(self.lengths, self.documents_of, strict=True))
        return total / self.documents if self.documents else 0.0

    @property
    def mean_bytes(self) -> float:
        """Mean document length in bytes; 0 without documents."""
        return self.bytes / self.documents if self.documents else 0.0

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes per token of the stream; 0 if it is empty."""
        return self.bytes / self.tokens if self.tokens else 0.0

    def histogram(self, most: int) -> list[Bin]:
        """Document lengths in at most `most` bins of one round width.

        The last bin is wider if a few documents are far longer than the rest.
        """
        if not self.lengths or most < 1:
            return []
        end = min(self.longest, 2 * self.quantile(0.99)) + 1
        width = _round_width((end - self.shortest) / most)
        first = self.shortest // width * width
        while math.ceil((end - first) / width) > most:
            width = _round_width(width + 1)
            first = self.shortest // width * width
        bins = max(1, math.ceil((end - first) / width))
        counts = [0] * bins
        for length, documents in zip(self.lengths, self.documents_of, strict=True):
            counts[min(bins - 1, (length - first) // width)] += documents
        result = [Bin(first + i * width, first + (i + 1) * width, n) for i, n in enumerate(counts)]
        last = result[-1]
        result[-1] = Bin(last.low, max(last.high, self.longest + 1), last.documents)
        return result

    def quantile(self, part: float) -> int:
        """The length in tokens that `part` of the documents (0 to 1) do not exceed."""
        target, seen = part * self.documents, 0
        for length, documents in zip(self.lengths, self.documents_of, strict=True):
            seen += documents
            if seen >= target:
                return length
        return self.longest


@dataclass(frozen=True)
class Statistics:
    """A corpus in numbers. Tokens are counted over the training split, without special ones.

    `ordinary` is the number of tokens in the vocabulary; `distinct` of them occur, `rare` of these
    fewer than `RARE` times; `rarest` are some of these. `byte_counts` has 256 entries if tokens
    are bytes; `token_lengths[n]` is how many tokens of the text have `n` bytes. Other splits lost
    `duplicates_removed` documents that also occur verbatim in training; `leakage` is the overlap
    of each with training, and `left_out` what the source left out, both as in the manifest.
    `analysis` is for a BPE; `counts`, `(n_vocab,)`, is how often each token occurs in training.
    """

    fingerprint: str
    tokenizer: str
    n_vocab: int
    parts: dict[str, PartStatistics]
    ordinary: int
    distinct: int
    rare: int
    frequent: tuple[TokenCount, ...]
    rarest: tuple[TokenCount, ...]
    byte_counts: tuple[int, ...] | None
    token_lengths: tuple[int, ...]
    duplicates_removed: int
    floor: float | None
    leakage: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, Any] = field(default_factory=dict)
    analysis: Analysis | None = None
    counts: Counts = field(default_factory=lambda: np.zeros(0, np.int64), repr=False, compare=False)

    @property
    def never(self) -> int:
        """Tokens of the vocabulary that never occur in training."""
        return self.ordinary - self.distinct

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; bytes of tokens are hexadecimal."""
        parts = {}
        for name, part in self.parts.items():
            parts[name] = {
                "documents": part.documents,
                "tokens": part.tokens,
                "bytes": part.bytes,
                "bytes_per_token": part.bytes_per_token,
                "shortest": part.shortest,
                "mean_length": part.mean_length,
                "longest": part.longest,
                "shortest_bytes": part.shortest_bytes,
                "mean_bytes": part.mean_bytes,
                "longest_bytes": part.longest_bytes,
                "histogram": [asdict(one) for one in part.histogram(20)],
                "floor_bits_per_byte": part.floor,
            }
        return {
            "fingerprint": self.fingerprint,
            "tokenizer": self.tokenizer,
            "n_vocab": self.n_vocab,
            "parts": parts,
            "distinct_tokens": self.distinct,
            "rare_tokens": self.rare,
            "never_seen_tokens": self.never,
            "frequent_tokens": [one.to_dict() for one in self.frequent],
            "rarest_tokens": [one.to_dict() for one in self.rarest],
            "byte_counts": self.byte_counts,
            "token_lengths": self.token_lengths,
            "duplicates_removed": self.duplicates_removed,
            "leakage": self.leakage,
            "left_out": self.left_out,
            "floor_bits_per_byte": self.floor,
            "tokenizer_analysis": self.analysis.to_dict() if self.analysis else None,
        }


@dataclass(frozen=True)
class Plan:
    """How a preset uses its corpus. `epochs` is `None` if the text does not fill a window;
    `problem` says what prevents the preset from training on it, `remedy` what helps."""

    block_size: int
    sequences_per_epoch: int
    epochs: float | None
    parameters: int
    tokens_per_parameter: float
    problem: str = ""
    remedy: str = ""


def measure(corpus: Corpus, *, step: Callable[[], None] | None = None) -> Statistics:
    """Count `corpus` in chunks; `step` is called between chunks and may raise."""
    tokenizer, manifest = corpus.tokenizer, corpus.manifest
    sizes = tokenizer.byte_lengths()
    parts, counts = {}, np.zeros(tokenizer.n_vocab, np.int64)
    for name in PARTS:
        stream: Tokens = getattr(corpus, name)
        seen, lengths, (shortest, longest) = _counted(stream, tokenizer, step)
        if name == "train":
            counts = seen
        parts[name] = PartStatistics(
            tokens=len(stream),
            bytes=int(seen @ sizes),
            lengths=tuple(lengths),
            documents_of=tuple(lengths.values()),
            shortest_bytes=shortest,
            longest_bytes=longest,
            floor=manifest["parts"][name].get("bits_per_byte"),
        )
    ordinary = sizes > 0
    counts = np.where(ordinary, counts, 0)
    is_bytes = tokenizer.kind == "bytes"
    return Statistics(
        fingerprint=corpus.fingerprint,
        tokenizer=tokenizer.kind,
        n_vocab=tokenizer.n_vocab,
        parts=parts,
        ordinary=int(ordinary.sum()),
        distinct=int((counts > 0).sum()),
        rare=int(((counts > 0) & (counts < RARE)).sum()),
        frequent=tuple(_frequent(counts, tokenizer)),
        rarest=tuple(_rarest(counts, tokenizer)),
        byte_counts=tuple(int(count) for count in counts) if is_bytes else None,
        token_lengths=tuple(_by_length(counts, sizes)),
        duplicates_removed=int(manifest["duplicates_removed"]),
        floor=corpus.floor,
        leakage=dict(manifest["leakage"]),
        left_out=dict(manifest["left_out"]),
        analysis=analyse(tokenizer, _sample(corpus)),
        counts=counts,
    )


def _sample(corpus: Corpus) -> str:
    """Text for the analysis: validation, which the tokenizer has not seen, if there is any."""
    stream = corpus.val if len(corpus.val) > _LEAST_SAMPLE else corpus.train
    ids = [int(id) for id in stream[:_SAMPLE]]
    return corpus.tokenizer.decode_bytes(ids).decode("utf-8", "replace")


def plan(preset: Preset, corpus: Corpus) -> Plan:
    """The plan for training `preset` on `corpus`, with the actual vocabulary and length."""
    tokens, block = len(corpus.train), preset.model.block_size
    budget = estimate(preset, n_vocab=corpus.tokenizer.n_vocab, train_tokens=tokens)
    sequences = preset.tokens_per_step // block
    try:
        windows = Batches(corpus.train, block, sequences, preset.training.seed).windows
    except CorpusError:
        windows = 0
    epochs = budget.epochs if windows else None
    wrong = fit.problem(preset, corpus)
    ratio = tokens / budget.parameters
    problem = (f"{wrong.what}: {wrong.why}", wrong.remedy) if wrong else ("", "")
    return Plan(block, windows, epochs, budget.parameters, ratio, *problem)


def shown(data: bytes) -> str:
    """The text of `data`, made safe; bytes of incomplete characters as `‹e2›`."""
    try:
        text = visible(data.decode("utf-8"))
        # A zero-width character alone would be invisible.
        return text if not data or cells(text) else "".join(f"‹{ord(char):x}›" for char in text)
    except UnicodeDecodeError:
        text = data.decode("utf-8", "surrogateescape")
    return "".join(
        f"‹{ord(char) - 0xDC00:02x}›" if "\udc80" <= char <= "\udcff" else visible(char)
        for char in text
    )


def token_counts(stream: Tokens, n_vocab: int) -> Counts:
    """How often each id occurs in a stream: `(n_vocab,)`."""
    counts = np.zeros(n_vocab, np.int64)
    for _, chunk in _chunks(stream):
        counts += np.bincount(chunk, minlength=n_vocab)
    return counts


def _counted(
    stream: Tokens, tokenizer: Tokenizer, step: Callable[[], None] | None
) -> tuple[Counts, dict[int, int], tuple[int, int]]:
    """How often each id occurs, how many documents there are of each length in tokens, and the
    smallest and the largest length in bytes."""
    counts = np.zeros(tokenizer.n_vocab, np.int64)
    sizes = tokenizer.byte_lengths()
    lengths: dict[int, int] = {}
    shortest, longest = -1, 0
    before, passed, passed_before = -1, 0, 0
    for at, chunk in _chunks(stream):
        if step is not None:
            step()
        counts += np.bincount(chunk, minlength=tokenizer.n_vocab)
        is_end = chunk == tokenizer.end_of_text
        reached = np.cumsum(sizes[chunk], dtype=np.int64) + passed
        passed = int(reached[-1])
        ends = np.flatnonzero(is_end) + at
        if len(ends):
            skip = before < 0
            _add(lengths, np.diff(ends, prepend=before) - 1, skip=skip)
            sized = np.diff(reached[is_end], prepend=passed_before)[int(skip) :]
            if len(sized):
                shortest = int(sized.min()) if shortest < 0 else min(shortest, int(sized.min()))
                longest = max(longest, int(sized.max()))
            before, passed_before = int(ends[-1]), int(reached[is_end][-1])
    if before + 1 < len(stream):
        _add(lengths, np.array([len(stream) - before - 1]), skip=False)
        last = passed - passed_before
        shortest, longest = last if shortest < 0 else min(shortest, last), max(longest, last)
    return counts, dict(sorted(lengths.items())), (max(0, shortest), longest)


def _chunks(stream: Tokens) -> Iterator[tuple[int, Tokens]]:
    for at in range(0, len(stream), _CHUNK):
        yield at, stream[at : at + _CHUNK]


def _add(lengths: dict[int, int], new: NDArray[np.int64], *, skip: bool) -> None:
    """Count document lengths; a stream begins with end-of-text."""
    values, counts = np.unique(new[1:] if skip else new, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        lengths[value] = lengths.get(value, 0) + count


def _frequent(counts: Counts, tokenizer: Tokenizer) -> Iterator[TokenCount]:
    """Most frequent first; ties by smaller id."""
    for id in np.argsort(-counts, kind="stable")[:_MOST_FREQUENT].tolist():
        if counts[id]:
            yield TokenCount(id, tokenizer.token_bytes(id), int(counts[id]))


def _rarest(counts: Counts, tokenizer: Tokenizer) -> Iterator[TokenCount]:
    """Tokens that occur, rarest first; ties by larger id, which was learned later."""
    used = np.flatnonzero(counts)
    for id in used[np.lexsort((-used, counts[used]))][:_MOST_FREQUENT].tolist():
        yield TokenCount(id, tokenizer.token_bytes(id), int(counts[id]))


def _by_length(counts: Counts, sizes: NDArray[np.int32]) -> list[int]:
    """How many tokens of the text have each length in bytes, up to the longest that occurs."""
    result = np.zeros(int(sizes.max(initial=0)) + 1, np.int64)
    np.add.at(result, sizes, counts)
    used = np.flatnonzero(result)
    return [int(count) for count in result[: used[-1] + 1]] if len(used) else []


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … that is at least `least`."""
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if factor * scale >= least:
                return factor * scale
        scale *= 10
