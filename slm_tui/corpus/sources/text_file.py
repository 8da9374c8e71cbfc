"""Text files of any size, read in pieces and decoded strictly."""

import codecs
import hashlib
import io
import shlex
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import encodings, file_kinds, gutenberg
from slm_tui.corpus.sources.encodings import AUTO, Encoding
from slm_tui.corpus.sources.gutenberg import Body
from slm_tui.corpus.staging import CHUNK, DocumentPiece
from slm_tui.errors import CorpusError, cause_of, remedy_for

END_OF_TEXT = "<|endoftext|>"
Signature = tuple[int, int, int, int]
# Fewer replaced characters than this do not indicate another encoding.
_FEW_REPLACED = 64
# Above this share of NULs a file is not text.
_MANY_ZEROS = 0.05


class NotTextError(CorpusError):
    """A file is not text in its encoding; `why` says what was found and where.

    `looks` is its likely encoding, `may_replace` whether `replace` would make it readable.
    """

    def __init__(
        self,
        what: str,
        why: str = "",
        remedy: str = "",
        *,
        looks: str = "",
        may_replace: bool = False,
    ) -> None:
        super().__init__(what, why, remedy)
        self.looks, self.may_replace = looks, may_replace


def resolved(path: str, what: str = "text file") -> Path:
    """The path that a user wrote, with `~` as home.

    Raises:
        CorpusError: the path is empty, or there is no such user.
    """
    if not path:
        raise CorpusError(f"no {what} given", "data.path is empty", f"set data.path to a {what}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        remedy = f"set data.path to an existing {what}"
        raise CorpusError(f"the {what} {path} cannot be read", str(error), remedy) from None


def signature(path: Path) -> Signature:
    """What changes when a regular file does: inode, size, and times in nanoseconds.

    Raises:
        CorpusError: it is missing, a directory, or not a regular file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise CorpusError(
            f"{path} is a directory", "", "choose a file in it, or set data.kind to directory"
        )
    if not stat.S_ISREG(status.st_mode):
        raise CorpusError(
            f"{path} is not a regular file", "it is a device or a pipe", "choose a file"
        )
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; cached while the file does not change.

    Raises:
        CorpusError: it cannot be read.
    """
    return _digest(path.absolute(), signature(path))


@lru_cache(maxsize=4096)
def _digest(path: Path, _signature: Signature) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def body_of(
    path: Path, encoding: str = AUTO, opener: Callable[[], IO[bytes]] | None = None
) -> Body | None:
    """The part of a book of Project Gutenberg between its header and its licence.

    `None` if the file is anything else, or cannot be read. Cached while the file does not change.
    """
    if opener is not None:
        return _body(path, encoding, opener)
    try:
        return _cached_body(path.absolute(), encoding, signature(path))
    except CorpusError:
        return None


@lru_cache(maxsize=4096)
def _cached_body(path: Path, encoding: str, _signature: Signature) -> Body | None:
    return _body(path, encoding, lambda: path.open("rb"))


def _body(path: Path, encoding: str, opener: Callable[[], IO[bytes]]) -> Body | None:
    try:
        with opener() as file:
            # Four bytes per character in the widest encoding.
            head = file_kinds.opened(file)[0].read(4 * gutenberg.HEAD)
        if not gutenberg.mentions(head):
            return None
        text = TextFile(path, encoding=encoding, replace=True, opener=opener)
        return gutenberg.find(text.text(Meter()))
    except (CorpusError, *file_kinds.DAMAGED):
        return None  # reading it will report the problem


class TextFile:
    """A text file, decompressed and decoded while it is read, once.

    Args:
        encoding: a Python encoding name, or `auto`: by byte order mark, else UTF-8.
        replace: replace invalid bytes with U+FFFD.
        tags: accept HTML, including its tags, as text.
        opener: opens the content if `path` is only its name.
        body: the part to read; `None` reads everything.

    Attributes:
        notes: what the user may not expect about how it was read.
        replaced: characters that were replaced so far, out of `characters`.
    """

    def __init__(
        self,
        path: Path,
        *,
        encoding: str = AUTO,
        replace: bool = False,
        tags: bool = True,
        opener: Callable[[], IO[bytes]] | None = None,
        body: Body | None = None,
    ) -> None:
        self.path = path
        self._opener = opener or (lambda: path.open("rb"))
        self.notes: list[str] = [body.note] if body is not None else []
        self._body = body
        self.replaced = self.characters = 0
        self._encoding, self._replace, self._tags = encoding, replace, tags

    def documents(
        self, separator: str = "", *, meter: Meter, done: int = 0, total: int = 0
    ) -> Iterator[DocumentPiece]:
        """The documents, split at `separator`, or at end-of-text marks if that is empty.

        Line ends become `\\n`; those around a document are not part of it. `done` of `total` bytes
        were read before this file.

        Raises:
            NotTextError: it is not text in its encoding.
            CorpusError: it cannot be read.
        """
        splitter = _Documents(separator or END_OF_TEXT)
        for text in self.text(meter, done, total):
            yield from splitter.feed(text)
        yield from splitter.finish()

    def lines(self, meter: Meter, done: int = 0, total: int = 0) -> Iterator[str]:
        """The lines with their ends, which are always `\\n`.

        Raises:
            NotTextError, CorpusError: as for `documents`.
        """
        # A line may be as long as the file: join its pieces only once.
        open_line = list[str]()
        for text in self.text(meter, done, total):
            first, *others = text.split("\n")
            open_line.append(first)
            for other in others:
                yield "".join(open_line) + "\n"
                open_line = [other]
        if last := "".join(open_line):
            yield last

    def text(self, meter: Meter, done: int = 0, total: int = 0) -> Iterator[str]:
        """The text in pieces, with `\\n` as line ends.

        Raises:
            NotTextError, CorpusError: as for `documents`.
        """
        try:
            with self._opener() as file:
                pieces = self._decoded(file, meter, done, total)
                yield from pieces if self._body is None else gutenberg.cut(pieces, self._body)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None

    def _decoded(self, file: IO[bytes], meter: Meter, done: int, total: int) -> Iterator[str]:
        content, packed = file_kinds.opened(file)
        head = self._read(content, file_kinds.HEAD, packed)
        self._recognise(head)
        encoding = encodings.encoding_of(head, self._encoding)
        self.notes += [encoding.note] if encoding.note else []
        decoder = codecs.getincrementaldecoder(encoding.codec)(
            errors="replace" if self._replace else "strict"
        )
        lines = io.IncrementalNewlineDecoder(None, translate=True)
        at, raw = encoding.mark, head[encoding.mark :]
        # Chunks of equal size from the start, so that text read ahead is chunked in the same way.
        while True:
            meter("reading", done + _position(file), total)
            for start in range(0, max(1, len(raw)), CHUNK):
                part = raw[start : start + CHUNK]
                text = self._part(decoder, encoding, part, at)
                at += len(part)
                yield lines.decode(text)
            if not raw:
                break
            raw = self._read(content, CHUNK, packed)
        yield lines.decode("", final=True)
        self._check_replaced(encoding, head)

    def _part(
        self, decoder: codecs.IncrementalDecoder, encoding: Encoding, raw: bytes, at: int
    ) -> str:
        """The text of some bytes, from byte `at` of the decompressed file."""
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise self._not_in(encoding, error, at - waiting, raw) from None
        if self._replace:
            genuine = raw.count("\ufffd".encode()) if encoding.codec == "utf-8" else 0
            self.replaced += max(0, text.count("\ufffd") - genuine)
            self.characters += len(text)
            if self.replaced > 100 * _FEW_REPLACED:
                self._check_replaced(encoding, raw)
        elif "\0" in text:
            raise self._has_zeros(text, raw, at - waiting)
        return text

    def _read(self, content: IO[bytes], size: int, packed: str) -> bytes:
        try:
            # Compressed streams may return short reads: only an empty one is the end.
            return content.read(size)
        except file_kinds.DAMAGED as error:
            if not packed:
                raise
            raise NotTextError(
                f"{self.path} cannot be decompressed",
                f"it is compressed with {packed} and is damaged or truncated ({error})",
                "get a complete copy",
            ) from None

    def _recognise(self, head: bytes) -> None:
        kind = file_kinds.not_text(self.path, head)
        if kind is not None:
            raise NotTextError(f"{self.path} is not text", f"it is {kind.name}", kind.remedy)
        if not self._tags and file_kinds.is_html(head):
            raise file_kinds.html(self.path)

    def _not_in(
        self, encoding: Encoding, error: UnicodeDecodeError, start: int, raw: bytes
    ) -> NotTextError:
        place = start + error.start
        bad = error.object[error.start] if error.start < len(error.object) else 0
        looks = self._guessed(raw)
        return NotTextError(
            f"{self.path} is not {encoding.name}",
            f"byte {place:,} is 0x{bad:02x}",
            f"{_convert(looks)}, or set data.on_encoding_error to replace",
            looks=looks,
            may_replace=True,
        )

    def _has_zeros(self, text: str, raw: bytes, start: int) -> NotTextError:
        why = f"byte {start + max(0, raw.find(0)):,} is NUL (0x00)"
        looks = encodings.guess(raw) if raw.count(0) > len(raw) * _MANY_ZEROS else ""
        if looks.startswith("utf-16"):
            what = f"{self.path} has no byte order mark and is not UTF-8"
            return NotTextError(what, why, _convert(looks), looks=looks)
        if text.count("\0") > _MANY_ZEROS * len(text):
            return NotTextError(f"{self.path} is not text", why, "choose a text file")
        clean = self.path.with_name(f"clean-{file_kinds.without_suffix(self.path.name)}")
        return NotTextError(
            f"{self.path} contains a byte that is not text",
            why,
            f"remove it (tr -d '\\000' < {shlex.quote(str(self.path))} > "
            f"{shlex.quote(str(clean))}), or set data.on_encoding_error to replace, "
            "which keeps it as a character",
            may_replace=True,
        )

    def _check_replaced(self, encoding: Encoding, sample: bytes) -> None:
        """Reject a text that would lose most of its characters.

        Raises:
            NotTextError: more than half of them would be replaced.
        """
        if self.replaced < _FEW_REPLACED or self.replaced * 2 <= self.characters:
            return
        looks = self._guessed(sample)
        raise NotTextError(
            f"most of {self.path} is not {encoding.name}",
            f"{self.replaced:,} of its first {self.characters:,} characters would be replaced",
            _convert(looks),
            looks=looks,
        )

    def _guessed(self, sample: bytes) -> str:
        return encodings.guess(sample) if self._encoding == AUTO else ""


class _Documents:
    """Splits a stream of text at a separator and strips line ends from each document."""

    def __init__(self, separator: str) -> None:
        # Line ends are already a single character.
        self._separator = separator.replace("\r\n", "\n")
        self._rest = ""
        self._begins = True

    def feed(self, text: str) -> Iterator[DocumentPiece]:
        *whole, self._rest = (self._rest + text).split(self._separator)
        for part in whole:
            yield DocumentPiece(self._from_the_left(part).rstrip("\n"))
            self._begins = True
        # The separator may span two pieces, and line ends may turn out to be the last ones.
        keep = len(self._separator) - 1
        ready = self._rest[: max(0, len(self._rest) - keep)].rstrip("\n")
        self._rest = self._rest[len(ready) :]
        ready = self._from_the_left(ready)
        if ready:
            yield DocumentPiece(ready, ends=False)

    def finish(self) -> Iterator[DocumentPiece]:
        yield DocumentPiece(self._from_the_left(self._rest).rstrip("\n"))

    def _from_the_left(self, text: str) -> str:
        if not self._begins:
            return text
        text = text.lstrip("\n")
        self._begins = not text
        return text


def _position(file: IO[bytes]) -> int:
    """The position in a file, compressed or not; unknown for a stream."""
    return file.tell() if file.seekable() else 0


def _convert(looks: str) -> str:
    return (
        f"it looks like {looks}: set data.encoding to {looks}" if looks else "convert it to UTF-8"
    )


def _unreadable(path: Path, error: Exception) -> CorpusError:
    reason = cause_of(error)
    name = path if len(str(path)) < 200 else f"{str(path)[:200]}…"
    remedy = remedy_for(error, "set data.path to an existing file")
    return CorpusError(f"the text file {name} cannot be read", reason, remedy)
