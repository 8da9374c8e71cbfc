"""Staged text: documents in one file on disk, with their metadata in arrays.

For sources of any size, memory holds a few numbers per document and one chunk of text.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from slm_tui.config.data import Limit
from slm_tui.corpus.tokenizers.contract import sound
from slm_tui.corpus.tokenizers.long_runs import safe_cut

CHUNK = 1 << 20
"""Bytes of text that are processed at a time."""

# Text that cannot be split safely within a chunk is processed in one piece up to this size.
_LARGEST_CHUNK = 1 << 26
# No tokenizer here has a token with more characters than this.
CHARACTERS_PER_TOKEN = 128
Integers = NDArray[np.int64]


class DocumentPiece(NamedTuple):
    """Text of a document, or its next piece; `ends` is true for the last one.

    `bits` is the exact information content of the document, if the source knows it.
    """

    text: str
    ends: bool = True
    bits: float | None = None


@dataclass(frozen=True)
class DocumentSpans:
    """Documents as byte ranges `starts[i]:ends[i]` of a staged file, UTF-8.

    `digests` has 64 bits of a hash of each text; `bits` the information of each, if known.
    """

    path: Path
    starts: Integers
    ends: Integers
    digests: NDArray[np.uint64]
    bits: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def bytes(self) -> int:
        return int((self.ends - self.starts).sum())

    def chosen(self, which: NDArray[np.bool_] | slice) -> "DocumentSpans":
        """Some of the documents."""
        bits = None if self.bits is None else self.bits[which]
        return replace(
            self,
            starts=self.starts[which],
            ends=self.ends[which],
            digests=self.digests[which],
            bits=bits,
        )

    def joined(self, other: "DocumentSpans") -> "DocumentSpans":
        """These documents, then those of `other`, which are in the same file."""
        both = None
        if self.bits is not None and other.bits is not None:
            both = np.concatenate([self.bits, other.bits])
        return DocumentSpans(
            self.path,
            np.concatenate([self.starts, other.starts]),
            np.concatenate([self.ends, other.ends]),
            np.concatenate([self.digests, other.digests]),
            both,
        )

    def text(self, number: int) -> str:
        """The whole of document `number`, which must fit in memory."""
        with self.path.open("rb") as file:
            return read_text(file, int(self.starts[number]), int(self.ends[number]))

    def texts(self) -> Iterator[str]:
        """The documents one after the other; each must fit in memory."""
        with self.path.open("rb") as file:
            for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
                yield read_text(file, start, end)

    def chunks(self, size: int = CHUNK) -> Iterator["Chunk"]:
        """The documents in chunks of about `size` bytes; longer ones are split where it is safe."""
        with self.path.open("rb") as file:
            yield from _chunks(self, file, size)


class Chunk(NamedTuple):
    """Texts to encode; `ends` is true if the last one ends its document."""

    texts: list[str]
    ends: bool
    bytes: int


def _chunks(spans: DocumentSpans, file: IO[bytes], size: int) -> Iterator[Chunk]:
    texts: list[str] = []
    weight = 0
    for start, end in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True):
        if texts and weight + end - start > size:
            yield Chunk(texts, True, weight)
            texts, weight = [], 0
        if end - start <= size:
            texts.append(read_text(file, start, end))
            weight += end - start
        else:
            yield from _cut_document(file, start, end, size)
    if texts:
        yield Chunk(texts, True, weight)


def _cut_document(file: IO[bytes], start: int, end: int, size: int) -> Iterator[Chunk]:
    step = size
    while start < end:
        stop = _character_start(file, min(end, start + step), end)
        text = read_text(file, start, stop)
        if stop < end:
            at = safe_cut(text)
            if at == 0 and step < _LARGEST_CHUNK:
                step *= 2
                continue
            text = text[: at or len(text)]
        weight = len(text.encode())
        start += weight
        step = size
        yield Chunk([text], start >= end, weight)


def _character_start(file: IO[bytes], at: int, end: int) -> int:
    """The first character boundary at or after `at`."""
    if at >= end:
        return end
    file.seek(at)
    for offset, byte in enumerate(file.read(4)):
        if byte & 0xC0 != 0x80:
            return at + offset
    return min(end, at + 4)


def read_text(file: IO[bytes], start: int, end: int) -> str:
    """Bytes `start` to `end` of a staged file as text."""
    file.seek(start)
    return file.read(end - start).decode("utf-8")


class StagingMark(NamedTuple):
    """A position between documents of a `StagingWriter`."""

    documents: int
    size: int
    characters: int
    blank: int


class StagingWriter:
    """Writes documents to `path` until `limit` is reached; check `is_full` before reading on.

    A limit in characters may truncate the last document; a limit in tokens is estimated here and
    applied exactly after tokenizing; a fraction is applied at the end. `blank` counts documents
    without any visible character, which are skipped.
    """

    def __init__(
        self,
        path: Path,
        limit: Limit | None = None,
        characters_per_token: int = CHARACTERS_PER_TOKEN,
    ) -> None:
        self._path = path
        self._limit = limit or Limit()
        self._file = path.open("wb")
        self._starts, self._ends = array("q"), array("q")
        self._digests, self._bits = array("Q"), array("d")
        self._knows_bits = True
        self.size = self.characters = self.blank = 0
        self._most = self._limit.characters
        if self._limit.tokens is not None:
            self._most = self._limit.tokens * characters_per_token
        self._begin()

    def _begin(self) -> None:
        self._start, self._characters_before = self.size, self.characters
        self._is_blank = True
        self._hash = blake2b(digest_size=8)

    @property
    def documents(self) -> int:
        return len(self._starts)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        if self._limit.documents is not None and len(self._starts) >= self._limit.documents:
            return True
        return self._most is not None and self.characters >= self._most

    def add(self, piece: DocumentPiece) -> bool:
        """Write a piece; False once the limit is reached."""
        if self.is_full:
            return False
        text = sound(piece.text)
        cut = self._most is not None and self.characters + len(text) > self._most
        if cut and self._most is not None:
            text = text[: self._most - self.characters]
        data = text.encode("utf-8")
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        self.characters += len(text)
        self._is_blank = self._is_blank and not text.strip()
        if piece.ends or cut:
            # The information of a truncated document differs from that of the whole.
            self._end(None if cut else piece.bits)
        return not self.is_full

    def _end(self, bits: float | None) -> None:
        if self._is_blank:
            self.blank += int(self.size > self._start)
            self.drop_document()
            return
        self._starts.append(self._start)
        self._ends.append(self.size)
        self._digests.append(int.from_bytes(self._hash.digest(), "little"))
        self._knows_bits = self._knows_bits and bits is not None
        self._bits.append(bits or 0.0)
        self._begin()

    def drop_document(self) -> None:
        """Discard what was written of the unfinished document."""
        self._rewind(self._start, self._characters_before)

    def mark(self) -> StagingMark:
        """The current end of the documents, for `drop_since`."""
        return StagingMark(len(self._starts), self._start, self._characters_before, self.blank)

    def drop_since(self, mark: StagingMark) -> None:
        """Discard all documents after `mark`, and the unfinished one."""
        for numbers in (self._starts, self._ends, self._digests, self._bits):
            del numbers[mark.documents :]
        self.blank = mark.blank
        self._rewind(mark.size, mark.characters)

    def _rewind(self, size: int, characters: int) -> None:
        if self.size != size:
            self._file.seek(size)
            self._file.truncate()
        self.size, self.characters = size, characters
        self._begin()

    def finish(self) -> DocumentSpans:
        """End the last document, close the file and return the documents.

        Raises:
            OSError: the disk is full.
        """
        self._end(None)
        self._file.close()
        spans = DocumentSpans(
            self._path,
            np.array(self._starts, np.int64),
            np.array(self._ends, np.int64),
            np.array(self._digests, np.uint64),
            np.array(self._bits, np.float64) if self._knows_bits and self._bits else None,
        )
        fraction = self._limit.fraction
        return spans if fraction is None else first_part(spans, fraction)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def first_part(spans: DocumentSpans, fraction: float) -> DocumentSpans:
    """The first documents or, if there is only one, its beginning."""
    if len(spans) != 1:
        return spans.chosen(slice(0, max(1, round(len(spans) * fraction))))
    start, end = int(spans.starts[0]), int(spans.ends[0])
    with spans.path.open("rb") as file:
        stop = _character_start(file, start + max(1, round((end - start) * fraction)), end)
    return replace(with_ends(spans, 0, start, stop), bits=None)


def with_ends(spans: DocumentSpans, number: int, start: int, end: int) -> DocumentSpans:
    """Document `number` alone, from byte `start` to byte `end` of the file."""
    digest = blake2b(digest_size=8)
    with spans.path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left and (data := file.read(min(left, CHUNK))):
            digest.update(data)
            left -= len(data)
    value = np.array([int.from_bytes(digest.digest(), "little")], np.uint64)
    return DocumentSpans(spans.path, np.array([start]), np.array([end]), value)


def staged(texts: Sequence[str], path: Path, limit: Limit | None = None) -> DocumentSpans:
    """Texts as documents of a new file."""
    with StagingWriter(path, limit) as staging:
        for text in texts:
            if not staging.add(DocumentPiece(text)):
                break
        return staging.finish()


def save_spans(spans: DocumentSpans, path: Path) -> None:
    """Write the metadata of the documents next to their text, for another process."""
    np.savez(
        path,
        starts=spans.starts,
        ends=spans.ends,
        digests=spans.digests,
        name=np.frombuffer(spans.path.name.encode(), np.uint8),
    )


def load_spans(path: Path) -> DocumentSpans:
    """Documents that `save_spans` wrote into the same directory as their text."""
    with np.load(path, allow_pickle=False) as values:
        text = path.parent / values["name"].tobytes().decode()
        return DocumentSpans(text, values["starts"], values["ends"], values["digests"])
