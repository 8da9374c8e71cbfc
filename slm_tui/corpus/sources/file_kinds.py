"""Detects the kind of a file from its first bytes, and how to convert it to text."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from slm_tui.errors import CorpusError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEAD = 8192


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is not plain text. `remedy` says how to convert it."""

    name: str
    remedy: str


_COMPRESSED: tuple[tuple[str, bytes, Callable[[Any], Any]], ...] = (
    ("gzip", b"\x1f\x8b\x08", lambda file: gzip.GzipFile(fileobj=file)),
    ("bzip2", b"BZh", bz2.BZ2File),
    ("xz", b"\xfd7zXZ\x00", lzma.LZMAFile),
    ("Zstandard", b"\x28\xb5\x2f\xfd", zstd.ZstdFile),
)
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_LAYOUTS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
# What the libraries raise if a compressed file is truncated or damaged.
DAMAGED = (
    EOFError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    zstd.ZstdError,
    OSError,
    ValueError,
)


def compression(head: bytes) -> str:
    """The compression of a file with these first bytes; empty if it is not compressed."""
    for name, magic, _ in _COMPRESSED:
        # bzip2 gives its block size, from 1 to 9.
        if head.startswith(magic) and (name != "bzip2" or head[3:4].isdigit()):
            return name
    return ""


def opened(file: IO[bytes]) -> tuple[IO[bytes], str]:
    """The content of an open file, decompressed if necessary, and its compression."""
    head = file.read(HEAD)
    if file.seekable():
        file.seek(0)
        whole: Any = file
    else:
        whole = io.BufferedReader(_RestoredStream(head, file))
    name = compression(head)
    if not name:
        return whole, ""
    unpack = next(unpack for kind, _, unpack in _COMPRESSED if kind == name)
    return unpack(whole), name


class _RestoredStream(io.RawIOBase):
    """A stream whose start was already read, restored to the start."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def layout_of(name: str) -> str:
    """The format that a file name suggests: `jsonl`, `csv`, `parquet`, or else `text`."""
    return _LAYOUTS.get(Path(without_suffix(name)).suffix.lower(), "text")


def without_suffix(name: str) -> str:
    """A file name without its compression suffix."""
    lower = name.lower()
    suffix = next((one for one in SUFFIXES if lower.endswith(one)), "")
    return name[: len(name) - len(suffix)]


_PANDOC = "convert it to text: pandoc {path} -t plain -o {stem}.txt"
_OFFICE = "save it as plain text in the program that created it"
# First bytes and what they identify. `{path}` and `{stem}` stand for the file.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF file", "convert it to text: pdftotext {path} {stem}.txt"),
    (b"{\\rtf", "an RTF document", _PANDOC),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document", _OFFICE),
    (b"PAR1", "a Parquet table", "set data.format to parquet"),
    (b"ARROW1", "an Arrow table", "use the directory that it is in, with data.kind=huggingface"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it (7z x {path}) and use the directory"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it (unrar x {path}) and use the directory"),
    (b"SQLite format 3\x00", "an SQLite database", "export the text column to a CSV file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", "choose a text file"),
    (b"\xff\xd8\xff", "a JPEG image", "choose a text file"),
    (b"GIF8", "a GIF image", "choose a text file"),
    (b"\x7fELF", "a program", "choose a text file"),
    (b"\x93NUMPY", "a NumPy array", "choose a text file"),
    (b"\x80\x02", "a Python pickle", "choose a text file"),
    (b"\x80\x04\x95", "a Python pickle", "choose a text file"),
    (b"OggS", "an audio file", "choose a text file"),
    (b"ID3", "an audio file", "choose a text file"),
)
_ZIPPED: tuple[tuple[str, str, str], ...] = (
    ("word/", "a Word document (docx)", _PANDOC),
    ("xl/", "an Excel sheet (xlsx)", "save it as CSV in the program that created it"),
    ("ppt/", "a PowerPoint file (pptx)", _OFFICE),
    ("META-INF/container.xml", "an EPUB book", _PANDOC),
    ("content.xml", "an OpenDocument file", _PANDOC),
)
_HTML = (b"<!doctype html", b"<html", b"<?xml")


def not_text(path: Path, head: bytes) -> FileKind | None:
    """The kind of the file, if its first (decompressed) bytes show that it is not text."""
    for magic, name, remedy in _MAGIC:
        if head.startswith(magic):
            return _kind(path, name, remedy)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(path)
    if head[257:262] == b"ustar":
        return _kind(path, "a tar archive", "unpack it (tar xf {path}) and use the directory")
    return None


def is_html(head: bytes) -> bool:
    """Whether a text starts like HTML."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:200].lower()
    return start.startswith(_HTML[:2]) or (start.startswith(_HTML[2]) and b"<html" in head.lower())


def html(path: Path) -> CorpusError:
    """The error for HTML instead of text."""
    kind = _kind(path, "HTML", _PANDOC)
    return CorpusError(
        f"{path} is HTML",
        "the model would be trained on its tags",
        f"{kind.remedy}; or set data.format to text to train on the tags",
    )


def _zipped(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:1000]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        names = []
    for mark, name, remedy in _ZIPPED:
        if any(one.startswith(mark) for one in names):
            return _kind(path, name, remedy)
    return _kind(path, "a zip archive", "unpack it (unzip {path}) and use the directory")


def _kind(path: Path, name: str, remedy: str) -> FileKind:
    stem = path.with_name(without_suffix(path.name)).with_suffix("")
    return FileKind(name, remedy.format(path=path, stem=stem))
