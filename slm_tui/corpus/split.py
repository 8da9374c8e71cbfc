"""Dividing documents into training, validation and test, so that nothing leaks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from slm_tui.config.data import Limit, Split
from slm_tui.corpus.sources import Document

PARTS = ("train", "val", "test")
# A cut is moved to the end of a document if that shifts it by less than this share of the
# smaller side; otherwise the document is cut in two.
_TOLERANCE = 0.25


@dataclass
class Parts:
    """The documents of each part, and how many duplicates of training text were taken out."""

    documents: dict[str, list[Document]] = field(default_factory=dict)
    duplicates: int = 0


def limited(documents: Sequence[Document], limit: Limit) -> list[Document]:
    """The first documents, as many as `limit` allows; a limit in characters may cut the last."""
    if limit.documents is not None:
        return list(documents[: limit.documents])
    if limit.fraction is not None and len(documents) > 1:
        return list(documents[: max(1, round(len(documents) * limit.fraction))])
    most = limit.characters
    if limit.fraction is not None:
        most = max(1, round(len(documents[0].text) * limit.fraction))
    if most is None:
        return list(documents)
    kept: list[Document] = []
    for document in documents:
        if len(document.text) > most:
            if most > 0:
                kept.append(Document(document.text[:most]))
            break
        kept.append(document)
        most -= len(document.text)
    return kept


def split(documents: Sequence[Document], ratios: Split) -> Parts:
    """Cut `documents`, in their order, into training, validation and test by characters.

    A cut falls between documents where one ends nearby; otherwise a document is cut at the end
    of a paragraph or line, and its halves are two documents. Documents of validation or test
    that stand in training word for word are taken out and counted.
    """
    total = sum(len(document.text) for document in documents)
    held_out = ratios.validation + ratios.test
    first = total - round(total * held_out)
    second = total - round(total * ratios.test)
    train, rest = _cut(documents, first, min(first, total - first))
    length = sum(len(document.text) for document in train)
    val, test = _cut(rest, second - length, min(second - first, total - second))
    parts = Parts({"train": train, "val": val, "test": test})
    return without_duplicates(parts)


def without_duplicates(parts: Parts) -> Parts:
    """Take documents out of validation and test that also stand in an earlier part."""
    seen = {_digest(document.text) for document in parts.documents["train"]}
    for part in PARTS[1:]:
        kept = []
        for document in parts.documents.get(part, []):
            digest = _digest(document.text)
            if digest in seen:
                parts.duplicates += 1
            else:
                kept.append(document)
        seen.update(_digest(document.text) for document in kept)
        parts.documents[part] = kept
    return parts


def _cut(
    documents: Sequence[Document], at: int, smaller_side: int
) -> tuple[list[Document], list[Document]]:
    """Documents before and after character `at`."""
    position = 0
    for index, document in enumerate(documents):
        end = position + len(document.text)
        if end > at:
            near = smaller_side * _TOLERANCE
            if index and at - position <= near:
                return list(documents[:index]), list(documents[index:])
            if end - at <= near and index + 1 < len(documents):
                return list(documents[: index + 1]), list(documents[index + 1 :])
            left, right = _halves(document.text, at - position, round(near))
            return (
                [*documents[:index], *_documents(left)],
                [*_documents(right), *documents[index + 1 :]],
            )
        position = end
    return list(documents), []


def _documents(text: str) -> list[Document]:
    return [Document(text)] if text.strip() else []


def _halves(text: str, at: int, slack: int) -> tuple[str, str]:
    """Cut near `at`: at a blank line, else at a line's end, else at a space, else right there."""
    low, high = max(0, at - slack), min(len(text), at + slack)
    for boundary in ("\n\n", "\n", " "):
        after = text.find(boundary, at, high)
        before = text.rfind(boundary, low, at)
        found = [place for place in (before, after) if place > 0]
        if found:
            place = min(found, key=lambda place: abs(place - at))
            return text[:place], text[place + len(boundary) :]
    return text[:at], text[at:]


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
