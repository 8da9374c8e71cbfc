"""Splits documents into training, validation and test without leaks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from slm_tui.config.data import Limit, Split
from slm_tui.corpus.staging import DocumentSpans, first_part, read_text, with_ends

PARTS = ("train", "val", "test")
# A boundary moves to the end of a document if that shifts it by less than this share of the
# smaller side; otherwise the document is split in two.
_TOLERANCE = 0.25
# How far, in bytes, to look for the end of a paragraph around a boundary.
_SLACK = 1 << 16


@dataclass
class SplitDocuments:
    """The documents of each split, and how many duplicates of training text were removed.

    `own` are the held-out splits that the source provides.
    """

    documents: dict[str, DocumentSpans] = field(default_factory=dict)
    duplicates: int = 0
    own: frozenset[str] = frozenset()


def split(documents: DocumentSpans, ratios: Split) -> dict[str, DocumentSpans]:
    """Split `documents`, in order, into training, validation and test by bytes.

    A boundary falls between documents if one ends nearby; otherwise a document is split at the
    end of a paragraph or line, and its halves become two documents.
    """
    none = documents.chosen(slice(0, 0))
    total = documents.bytes
    first = total - round(total * (ratios.validation + ratios.test))
    second = total - round(total * ratios.test)
    train, rest = _cut(documents, first, min(first, total - first))
    if not ratios.validation or not ratios.test:
        parts = (none, rest) if ratios.test else (rest, none)
        return {"train": train, "val": parts[0], "test": parts[1]}
    # The first boundary may have moved beyond the second.
    val, test = _cut(rest, second - train.bytes, min(second - first, total - second))
    return {"train": train, "val": val, "test": test}


def without_duplicates(parts: dict[str, DocumentSpans]) -> SplitDocuments:
    """Remove documents from validation and test that also occur in an earlier split."""
    result = SplitDocuments({"train": parts["train"]})
    seen = np.unique(parts["train"].digests)
    for part in PARTS[1:]:
        documents = parts[part]
        duplicates = among(documents.digests, seen)
        result.duplicates += int(duplicates.sum())
        result.documents[part] = documents.chosen(~duplicates)
        seen = np.union1d(seen, documents.digests)
    return result


def among(values: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `values` occur in `others`, which is sorted."""
    if not len(others):
        return np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(others, values), len(others) - 1)
    return np.asarray(others[at] == values)


def _cut(
    documents: DocumentSpans, at: int, smaller_side: int
) -> tuple[DocumentSpans, DocumentSpans]:
    """Documents before and after byte `at` of their text."""
    if at <= 0:
        return documents.chosen(slice(0, 0)), documents
    lengths = documents.ends - documents.starts
    ends = np.cumsum(lengths)
    index = int(np.searchsorted(ends, at, side="right"))
    if index >= len(documents):
        return documents, documents.chosen(slice(0, 0))
    end = int(ends[index])
    begin = end - int(lengths[index])
    near = smaller_side * _TOLERANCE
    # Between two documents, the nearer end first; no side is left empty.
    places = [(at - begin, index)] * (index > 0)
    places += [(end - at, index + 1)] * (index + 1 < len(documents))
    distance, place = min(places, default=(near + 1, 0))
    if distance <= near:
        return documents.chosen(slice(0, place)), documents.chosen(slice(place, None))
    left, right = _halves(documents, index, at - begin, min(round(near), _SLACK))
    before, after = documents.chosen(slice(0, index)), documents.chosen(slice(index + 1, None))
    return before.joined(left), right.joined(after)


def _halves(
    documents: DocumentSpans, number: int, at: int, slack: int
) -> tuple[DocumentSpans, DocumentSpans]:
    """Split near `at`: at a blank line, else at a line end, else at a space, else exactly there."""
    start, end = int(documents.starts[number]), int(documents.ends[number])
    low, high = max(start, start + at - slack), min(end, start + at + slack)
    with documents.path.open("rb") as file:
        stop, onward = _boundary(file, low, start + at, high)
    stop, onward = (max(start, stop), min(end, onward))
    none = documents.chosen(slice(0, 0))
    left = with_ends(documents, number, start, stop) if stop > start else none
    right = with_ends(documents, number, onward, end) if end > onward else none
    return left if has_text(left) else none, right if has_text(right) else none


def _boundary(file: IO[bytes], low: int, at: int, high: int) -> tuple[int, int]:
    """Where the left half ends and the right one begins."""
    file.seek(low)
    window = file.read(max(4, high - low + 4))
    place, room = at - low, high - low
    for mark in (b"\n\n", b"\n", b" "):
        after = window.find(mark, place, room)
        before = window.rfind(mark, 0, place)
        positions = [one for one in (before, after) if one > 0]
        if positions:
            nearest = low + min(positions, key=lambda one: abs(one - place))
            return nearest, nearest + len(mark)
    while place < len(window) and window[place] & 0xC0 == 0x80:
        place += 1
    return low + place, low + place


def has_text(documents: DocumentSpans) -> bool:
    """Whether any of it is not whitespace."""
    return any(text.strip() for chunk in documents.chunks() for text in chunk.texts)


def limited(documents: DocumentSpans, limit: Limit) -> Iterator[str]:
    """The texts that a tokenizer is trained on, as many as `limit` allows.

    Long documents come in pieces. A token of this limit is a word of GPT-2's pattern, because
    the tokenizer does not exist yet.
    """
    if limit.documents is not None:
        documents = documents.chosen(slice(0, limit.documents))
    elif limit.fraction is not None:
        documents = first_part(documents, limit.fraction)
    texts = (text for chunk in documents.chunks() for text in chunk.texts)
    if limit.characters is not None:
        return _first_characters(texts, limit.characters)
    if limit.tokens is not None:
        return _first_words(texts, limit.tokens)
    return texts


def _first_characters(texts: Iterator[str], most: int) -> Iterator[str]:
    for text in texts:
        yield text[:most]
        most -= len(text)
        if most <= 0:
            return


def _first_words(texts: Iterator[str], most: int) -> Iterator[str]:
    import regex

    from slm_tui.corpus.tokenizers.bpe import SPLIT

    word = regex.compile(SPLIT)
    for text in texts:
        end = 0
        for match in word.finditer(text):
            end = match.end()
            most -= 1
            if not most:
                break
        yield text[:end]
        if not most:
            return


def text_of(documents: DocumentSpans) -> list[str]:
    """All texts; for documents that fit in memory."""
    with documents.path.open("rb") as file:
        pairs = zip(documents.starts.tolist(), documents.ends.tolist(), strict=True)
        return [read_text(file, start, end) for start, end in pairs]
