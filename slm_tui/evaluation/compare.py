"""Several models in one table: on the same text, with the same bytes of context, by bits per byte.

Losses per token of different tokenizers cannot be compared; bits per byte can, if the bytes and
the context of each model are the same. A difference whose interval includes zero is called
noise.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from slm_tui.corpus.progress import Meter
from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation import bootstrap
from slm_tui.evaluation.baselines import (
    MOST_COMPRESSED,
    UNIFORM_BITS_PER_BYTE,
    ByteCounts,
    byte_nats,
    lzma_bits_per_byte,
)
from slm_tui.evaluation.bootstrap import Interval, Resamples
from slm_tui.evaluation.metrics import Scores, Units, score
from slm_tui.evaluation.scored_text import ScoredText, encoded_bytes
from slm_tui.models.base import LanguageModel

# Bytes per token are measured on this much of the text.
_MEASURED_BYTES = 2_000_000
# Byte counts are taken from this much of the training split.
_MOST_COUNTED = 16_000_000
_BLOCKS = 64
_SMALLEST_BLOCK = 256


@dataclass(frozen=True)
class ScoredModel:
    """A model to be scored, loaded when its turn comes."""

    name: str
    tokenizer: Tokenizer
    block_size: int
    load: Callable[[], LanguageModel]


@dataclass(frozen=True)
class ComparisonRow:
    """A row of the table. Intervals are 95% intervals.

    `difference` is the bits per byte above the best model; `is_noise` whether its interval
    includes zero. Only models have `scores`; `kind` is `model`, `baseline` or `floor`.
    """

    name: str
    kind: str
    bits_per_byte: float
    scores: Scores | None = None
    interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    is_noise: bool | None = None
    rank: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All rows, lowest bits per byte first, and how they were computed."""

    rows: tuple[ComparisonRow, ...]
    context_bytes: int
    documents: int
    bytes: int
    units: int
    unit: str
    resamples: int

    @property
    def models(self) -> list[ComparisonRow]:
        return [row for row in self.rows if row.kind == "model"]


@dataclass(frozen=True)
class ComparisonData:
    """What the comparison needs besides models: training text for the baselines, and the floor.

    `floor_bits` is the exact information of each document, `(documents,)`; `floor` that of all
    documents in bits per byte, if only that is known.
    """

    training: Sequence[bytes] = ()
    floor_bits: NDArray[np.float64] | None = None
    floor: float | None = None


@dataclass
class _Line:
    """A row while it is built, with nats and bytes per unit if it has them."""

    row: ComparisonRow
    nats: NDArray[np.float64] | None = None
    sizes: NDArray[np.float64] | None = None
    column: int = field(default=-1)


def compare(
    subjects: Sequence[ScoredModel],
    text: ScoredText,
    data: ComparisonData,
    meter: Meter,
    *,
    context_bytes: int | None = None,
    stride: int | None = None,
    resamples: int = bootstrap.RESAMPLES,
) -> Comparison:
    """Score all subjects and the baselines on `text`.

    Every model reads at most `context_bytes` bytes at a time, with at least half of them before
    each target (see `windows`). The default is what the shortest context among the models holds
    of this text on average. A single model without `context_bytes` uses its full context.

    Raises:
        SlmTuiError: the text is empty, or tokenizers disagree about its bytes.
        Cancelled: cancelled through `meter`.
    """
    sizes = [len(document) for document in text.documents]
    if not sum(sizes):
        raise SlmTuiError("there is nothing to evaluate", f"{text.name} is empty")
    limit = context_bytes
    if limit is None and len(subjects) > 1:
        limit = smallest_context(subjects, text)
    units, unit = _units(sizes)
    lines = []
    for number, subject in enumerate(subjects):
        lines.append(_scored(subject, text, units, meter, limit, stride, number, len(subjects)))
    if any(line.row.scores and line.row.scores.bytes.sum() != sum(sizes) for line in lines):
        raise SlmTuiError(
            "the models cannot be compared",
            "a tokenizer does not round-trip the text",
            "report this",
        )
    lines += _baselines(text, data, units, meter)
    lines += _floor(text, data, units)
    meter("comparing", 0, None, "share")
    resampled = _resampled(lines, resamples)
    rows = _ranked(lines, resampled)
    context = limit if limit is not None else smallest_context(subjects, text)
    return Comparison(
        tuple(rows),
        context,
        len(sizes),
        sum(sizes),
        len(units),
        unit if resampled is not None else "",
        resamples if resampled is not None else 0,
    )


def smallest_context(subjects: Sequence[ScoredModel], text: ScoredText) -> int:
    """The bytes of this text that the shortest context among the models holds on average."""
    most: list[float] = []
    for subject in subjects:
        size = tokens = 0
        for document in text.documents:
            piece = document[: _MEASURED_BYTES - size]
            tokens += len(encoded_bytes(subject.tokenizer, piece))
            size += len(piece)
            if size >= _MEASURED_BYTES:
                break
        most.append(subject.block_size * size / max(1, tokens))
    return max(2, int(min(most, default=2)))


def _units(sizes: Sequence[int]) -> tuple[Units, str]:
    """Documents, or blocks of bytes if there are too few documents for an interval."""
    if len(sizes) >= bootstrap.FEWEST:
        return Units.documents(len(sizes)), "documents"
    block = max(_SMALLEST_BLOCK, sum(sizes) // _BLOCKS)
    return Units.cut(sizes, block), f"blocks of {block:,} bytes"


def _scored(
    subject: ScoredModel,
    text: ScoredText,
    units: Units,
    meter: Meter,
    context_bytes: int | None,
    stride: int | None,
    number: int,
    count: int,
) -> _Line:
    documents = text.encoded(subject.tokenizer)
    stage = f"scoring {subject.name}" + (f" ({number + 1} of {count})" if count > 1 else "")
    meter(stage, 0, len(documents), "documents")
    scores = score(
        subject.load(),
        subject.tokenizer,
        documents,
        units,
        stride=stride,
        context_bytes=context_bytes,
        step=lambda done: meter(stage, done, len(documents), "documents"),
    )
    row = ComparisonRow(subject.name, "model", scores.bits_per_byte, scores)
    return _Line(row, scores.text_nats, scores.bytes.astype(np.float64))


def _baselines(text: ScoredText, data: ComparisonData, units: Units, meter: Meter) -> list[_Line]:
    meter("counting bytes", 0, None, "share")
    lines = [
        _Line(
            ComparisonRow(
                "uniform", "baseline", UNIFORM_BITS_PER_BYTE, note="every byte equally likely"
            )
        )
    ]
    if len(data.training):
        counts = ByteCounts.of(_first(data.training, _MOST_COUNTED))
        for name, chances, note in (
            ("unigram", counts.unigram(), "byte frequencies of the training text"),
            ("bigram", counts.bigram(), "byte pairs of the training text"),
        ):
            nats, sizes = _per_unit(chances, text, units, meter)
            bits = math.fsum(nats) / math.log(2) / sizes.sum()
            lines.append(_Line(ComparisonRow(name, "baseline", bits, note=note), nats, sizes))
    stage = "compressing"
    bits = lzma_bits_per_byte(text.documents, data.training, lambda: meter(stage, 0, None, "share"))
    note = "compressor, primed with the training text" if len(data.training) else "compressor"
    if sum(map(len, text.documents)) > MOST_COMPRESSED:
        note += f"; first {MOST_COMPRESSED // 1_000_000} MB only"
    return [*lines, _Line(ComparisonRow("lzma", "baseline", bits, note=note))]


def _first(documents: Sequence[bytes], most: int) -> list[bytes]:
    texts: list[bytes] = []
    for document in documents:
        texts.append(document[:most])
        most -= len(texts[-1])
        if most <= 0:
            break
    return texts


def _per_unit(
    chances: NDArray[np.float64], text: ScoredText, units: Units, meter: Meter
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nats, sizes = np.zeros(len(units)), np.zeros(len(units))
    for number, document in enumerate(text.documents):
        meter.check()
        for at, piece_nats in byte_nats(chances, document):
            where = units.of(number, np.arange(at, at + len(piece_nats)))
            low, high = int(where[0]), int(where[-1]) + 1
            nats[low:high] += np.bincount(where - low, piece_nats, high - low)
            sizes[low:high] += np.bincount(where - low, minlength=high - low)
    return nats, sizes


def _floor(text: ScoredText, data: ComparisonData, units: Units) -> list[_Line]:
    note = "true entropy of the text: no model can be better on average"
    size = sum(map(len, text.documents))
    if data.floor_bits is not None and units.block_bytes is None:
        row = ComparisonRow("floor", "floor", math.fsum(data.floor_bits) / size, note=note)
        sizes = np.array([len(document) for document in text.documents], np.float64)
        return [_Line(row, data.floor_bits * math.log(2), sizes)]
    if data.floor is not None:
        return [_Line(ComparisonRow("floor", "floor", data.floor, note=note))]
    return []


def _resampled(lines: list[_Line], resamples: int) -> Resamples | None:
    """Resample all lines that have sums per unit, and record the column of each."""
    usable = [line for line in lines if line.nats is not None and line.sizes is not None]
    usable = [line for line in usable if math.isfinite(line.row.bits_per_byte)]
    if not usable:
        return None
    nats = np.array([line.nats for line in usable])
    sizes = np.array([line.sizes for line in usable])
    sampled = bootstrap.resample(nats, sizes, resamples=resamples)
    for at, line in enumerate(usable):
        line.column = at if sampled is not None else -1
    return sampled


def _ranked(lines: list[_Line], resampled: Resamples | None) -> list[ComparisonRow]:
    """The rows sorted by bits per byte, with model ranks, intervals and differences to the best."""
    lines = sorted(lines, key=lambda line: _order(line.row.bits_per_byte))
    best = next(line for line in lines if line.row.kind == "model")
    rows, rank = [], 0
    for line in lines:
        row = replace(line.row, difference=line.row.bits_per_byte - best.row.bits_per_byte)
        if row.kind == "model":
            rank += 1
            row = replace(row, rank=rank)
        if resampled is not None and line.column >= 0:
            row = replace(row, interval=resampled.interval(line.column))
            if best.column >= 0 and line is not best:
                between = resampled.difference(line.column, best.column)
                noise = bootstrap.is_noise(between)
                row = replace(row, difference_interval=between, is_noise=noise)
        rows.append(row)
    return rows


def _order(value: float) -> float:
    return value if math.isfinite(value) else math.inf
