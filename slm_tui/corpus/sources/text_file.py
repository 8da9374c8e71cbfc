"""Text files: read in pieces, so that their size does not matter, and never half understood."""

import codecs
import hashlib
import io
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources.contract import END_OF_TEXT
from slm_tui.corpus.staging import CHUNK, Piece
from slm_tui.errors import CorpusError

Signature = tuple[int, int, int, int]


class NotTextError(CorpusError):
    """A file holds something else than UTF-8 text; `why` says what and where."""


def resolved(path: str, what: str = "text file") -> Path:
    """The path that a user wrote, with `~` as home.

    Raises:
        CorpusError: there is none, or no such user.
    """
    if not path:
        raise CorpusError(f"no {what} is named", "data.path is empty", f"set data.path to a {what}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        remedy = f"set data.path to a {what} that is there"
        raise CorpusError(f"the {what} {path} cannot be read", str(error), remedy) from None


def signature(path: Path) -> Signature:
    """What changes when a regular file does: inode, size, and times in nanoseconds.

    Raises:
        CorpusError: it is missing, a directory, or no regular file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise CorpusError(
            f"{path} is a directory", "", "name a file in it, or set data.kind to directory"
        )
    if not stat.S_ISREG(found.st_mode):
        raise CorpusError(f"{path} is no regular file", "it is a device or a pipe", "name a file")
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; of one that has not changed it is known already.

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


def pieces(
    path: Path, *, separator: str = "", replace: bool = False, meter: Meter, done: int, total: int
) -> Iterator[Piece]:
    """The documents of a file, cut at `separator`, or at end-of-text marks where it is empty.

    Line ends become `\\n`; those around a document are no part of it. `replace` turns what is
    not UTF-8 into U+FFFD. `done` of `total` bytes were read before this file.

    Raises:
        NotTextError: it is not UTF-8, or binary.
        CorpusError: it cannot be read.
    """
    documents = _Documents(separator or END_OF_TEXT)
    for text in _decoded(path, replace, meter, done, total):
        yield from documents.feed(text)
    yield from documents.finish()


def _decoded(path: Path, replace: bool, meter: Meter, done: int, total: int) -> Iterator[str]:
    utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace" if replace else "strict")
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    at, first = 0, True
    for raw in _raw(path):
        meter("reading", done + at, total)
        waiting = len(utf8.getstate()[0])
        try:
            text = utf8.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            place = at - waiting + error.start
            looks = ", as in UTF-16" if first and raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
            raise NotTextError(
                f"{path} is not UTF-8",
                f"byte {place:,} is 0x{error.object[error.start]:02x}{looks}",
                "convert it, or set data.on_encoding_error to replace",
            ) from None
        if not replace and "\0" in text:
            raise NotTextError(f"{path} is not text", "it has zero bytes", "name a text file")
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        at += len(raw)
        yield lines.decode(text, final=not raw)


def _raw(path: Path) -> Iterator[bytes]:
    """The bytes of a file in chunks, and `b""` at its end."""
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                yield data
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    yield b""


class _Documents:
    """Cuts a stream of text at a separator and takes line ends off both ends of each part."""

    def __init__(self, separator: str) -> None:
        # Line ends are one character by now.
        self._separator = separator.replace("\r\n", "\n")
        self._rest = ""
        self._begins = True

    def feed(self, text: str) -> Iterator[Piece]:
        *whole, self._rest = (self._rest + text).split(self._separator)
        for part in whole:
            yield Piece(self._from_the_left(part).rstrip("\n"))
            self._begins = True
        # The separator may be cut in two, and line ends may turn out to be the last.
        keep = len(self._separator) - 1
        ready = self._rest[: max(0, len(self._rest) - keep)].rstrip("\n")
        self._rest = self._rest[len(ready) :]
        ready = self._from_the_left(ready)
        if ready:
            yield Piece(ready, ends=False)

    def finish(self) -> Iterator[Piece]:
        yield Piece(self._from_the_left(self._rest).rstrip("\n"))

    def _from_the_left(self, text: str) -> str:
        if not self._begins:
            return text
        text = text.lstrip("\n")
        self._begins = not text
        return text


def _unreadable(path: Path, error: Exception) -> CorpusError:
    reason = getattr(error, "strerror", None) or str(error)
    name = path if len(str(path)) < 200 else f"{str(path)[:200]}…"
    return CorpusError(
        f"the text file {name} cannot be read", reason, "set data.path to a file that is there"
    )
