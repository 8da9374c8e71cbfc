"""Compressed files, documents that are not text, and texts in encodings other than UTF-8."""

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from slm_tui.config.data import DirectoryData, FileData
from slm_tui.config.preset import Preset
from slm_tui.corpus import sources
from slm_tui.corpus.data_verdict import verdicts
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.sources import encodings
from slm_tui.corpus.statistics import measure, plan
from slm_tui.errors import PresetError
from tests.corpus.helpers import jsonl, source_error, stage, texts

Make = Callable[..., Preset]
STORY = "Once upon a time Mara lost her keys. Otto found them by the bridge!\n" * 50
GERMAN = "Über den Dächern hört man die Glocken läuten; grüne Wälder rauschen dort.\n" * 60
CHINESE = "从前有一只小猫,它喜欢在花园里玩耍。小狗来了,它们成了好朋友。\n" * 60
RUSSIAN = "Однажды вечером кот вышел в сад и увидел там большую собаку с мячом.\n" * 60


def packed_by_zstandard(raw: bytes) -> bytes:
    # As its command does, with a checksum.
    return zstd.compress(raw, options={zstd.CompressionParameter.checksum_flag: 1})


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": packed_by_zstandard,
}


# Compressed files.


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("named", [True, False])
def test_a_compressed_text_is_read_whatever_its_name(
    suffix: str, named: bool, tmp_path: Path
) -> None:
    path = tmp_path / (f"text.txt{suffix}" if named else "text.txt")
    path.write_bytes(PACKERS[suffix](STORY.encode()))
    staged = stage(FileData(path=str(path)), tmp_path)
    assert staged.parts["train"].text(0) == STORY.rstrip("\n")
    assert staged.left_out.to_dict() == {}


@pytest.mark.parametrize("suffix", PACKERS)
def test_concatenated_compressed_files_are_all_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(PACKERS[suffix](b"one ") + PACKERS[suffix](b"two"))
    assert texts(FileData(path=str(path)), tmp_path) == ["one two"]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_truncated_compressed_file_is_an_error_with_the_reason(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"text.txt{suffix}"
    whole = PACKERS[suffix](bytes(range(32, 127)) * 500 + STORY.encode()[:999])
    path.write_bytes(whole[: len(whole) * 2 // 3])
    error = source_error(FileData(path=str(path), on_encoding_error="replace"), tmp_path)
    assert "cannot be decompressed" in error.what
    assert "compressed" in error.why
    assert "complete copy" in error.remedy


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_damaged_compressed_file_is_an_error(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"text.txt{suffix}"
    whole = bytearray(PACKERS[suffix](bytes(range(32, 127)) * 500))
    for at in range(len(whole) // 2, len(whole) // 2 + 12):
        whole[at] ^= 0x5A
    path.write_bytes(whole)
    assert "text.txt" in source_error(FileData(path=str(path)), tmp_path).what


def test_the_kind_of_compressed_content_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "book.txt.gz"
    path.write_bytes(gzip.compress(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"))
    error = source_error(FileData(path=str(path)), tmp_path)
    assert error.why == "it is a PDF file"
    path.write_bytes(gzip.compress(b"caf\xe9"))
    assert source_error(FileData(path=str(path)), tmp_path).why == "byte 3 is 0xe9"


def test_a_compressed_table_is_read_as_a_table(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "one"}, {"text": "two"}])
    packed = tmp_path / "x.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert texts(FileData(path=str(packed)), tmp_path) == ["one", "two"]


def test_a_text_that_starts_like_a_compressed_file_is_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("BZhello, said the bee.")
    assert texts(FileData(path=str(path)), tmp_path) == ["BZhello, said the bee."]


def test_the_error_names_compressed_files_if_a_directory_has_no_others(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"packed words"))
    error = source_error(DirectoryData(path=str(folder)), tmp_path)
    assert error.remedy == "set data.pattern, for example to **/*.txt.gz"
    read_texts = texts(DirectoryData(path=str(folder), pattern="**/*.txt.gz"), tmp_path)
    assert read_texts == ["packed words"]


# Documents that are not text.


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "inside")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("inside.txt"), io.BytesIO())
    return file.getvalue()


DOCUMENTS = {
    "book.docx": (zipped("[Content_Types].xml", "word/document.xml"), "Word document", "pandoc"),
    "book.epub": (zipped("mimetype", "META-INF/container.xml"), "EPUB book", "pandoc"),
    "book.odt": (zipped("mimetype", "content.xml"), "OpenDocument", "pandoc"),
    "sheet.xlsx": (zipped("xl/workbook.xml"), "Excel sheet", "CSV"),
    "texts.zip": (zipped("a.txt", "b.txt"), "zip archive", "unzip"),
    "texts.tar": (tarred(), "tar archive", "tar xf"),
    "texts.tar.gz": (gzip.compress(tarred()), "tar archive", "tar xf"),
    "book.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF file", "pdftotext"),
    "book.rtf": (b"{\\rtf1\\ansi hello}", "RTF document", "pandoc"),
    "book.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Microsoft", "plain text"),
    "rows.txt": (b"PAR1\x15\x04", "Parquet table", "data.format"),
    "page.txt": (b"\n<!DOCTYPE html>\n<html><body><p>Hi</p></body></html>", "HTML", "pandoc"),
    "page.xhtml": (b'<?xml version="1.0"?>\n<html><p>Hi</p></html>', "HTML", "pandoc"),
    "weights.txt": (b"\x80\x04\x95\x00\x00", "Python pickle", "text file"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("on_error", ["refuse", "replace"])
def test_a_binary_document_is_an_error_that_says_how_to_convert_it(
    name: str, on_error: str, tmp_path: Path
) -> None:
    raw, kind, way = DOCUMENTS[name]
    path = tmp_path / name
    path.write_bytes(raw)
    error = source_error(FileData(path=str(path), on_encoding_error=on_error), tmp_path)  # type: ignore[arg-type]
    assert kind in str(error)
    assert way in error.remedy
    assert "to replace" not in str(error)


def test_html_can_be_read_with_its_tags_on_request(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html><p>Hi</p></html>")
    assert "data.format to text" in source_error(FileData(path=str(path)), tmp_path).remedy
    assert texts(FileData(path=str(path), format="text"), tmp_path) == ["<html><p>Hi</p></html>"]
    (tmp_path / "only").mkdir()
    path.rename(tmp_path / "only" / "page.html")
    data = DirectoryData(path=str(tmp_path / "only"), pattern="*.html")
    assert texts(data, tmp_path) == ["<html><p>Hi</p></html>"]


# Encodings.


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
@pytest.mark.parametrize("on_error", ["refuse", "replace"])
def test_a_byte_order_mark_determines_the_encoding(
    encoding: str, mark: bytes, on_error: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(mark + GERMAN.encode(encoding))
    staged = stage(FileData(path=str(path), on_encoding_error=on_error), tmp_path)  # type: ignore[arg-type]
    assert staged.parts["train"].text(0) == GERMAN.rstrip("\n")
    (note,) = staged.left_out.notes
    assert note == f"read as {encoding.upper()[:6]}, by its byte order mark"
    assert staged.left_out.replaced == 0


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (CHINESE, "gb18030"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
    ],
)
def test_the_error_for_another_encoding_suggests_a_setting_that_works(
    text: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(encoding))
    error = source_error(FileData(path=str(path)), tmp_path)
    assert "it looks like" in error.remedy
    named = error.remedy.split("set data.encoding to ")[1].split(",")[0]
    assert texts(FileData(path=str(path), encoding=named), tmp_path) == [text.rstrip("\n")]


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [
        ("cp1252", GERMAN.encode("cp1252")),
        ("utf-8", codecs.BOM_UTF8 + GERMAN.encode()),
        ("utf-8-sig", codecs.BOM_UTF8 + GERMAN.encode()),
        ("utf-16", GERMAN.encode("utf-16")),
        ("utf-16", codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be")),
        ("utf-16-le", GERMAN.encode("utf-16-le")),
        ("UTF-32", GERMAN.encode("utf-32")),
        ("Latin-1", GERMAN.encode("latin-1")),
    ],
)
def test_the_encoding_setting_is_used(encoding: str, raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(raw)
    assert texts(FileData(path=str(path), encoding=encoding), tmp_path) == [GERMAN.rstrip("\n")]


def test_the_encoding_of_a_directory_applies_to_each_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_bytes(GERMAN.encode("cp1252"))
    error = source_error(DirectoryData(path=str(folder)), tmp_path)
    named = error.remedy.split("set data.encoding to ")[1].split(",")[0]
    staged = stage(DirectoryData(path=str(folder), encoding=named), tmp_path)
    assert [staged.parts["train"].text(n) for n in (0, 1)] == [GERMAN.rstrip("\n")] * 2


@pytest.mark.parametrize(
    "name", ["nonsense", "hex", "rot13", "punycode", "base64", "\0", "undefined"]
)
def test_an_unknown_encoding_is_an_invalid_setting(name: str, tiny: Make) -> None:
    with pytest.raises(PresetError, match="unknown encoding"):
        tiny(data={"kind": "file", "path": "x", "encoding": name})


def test_a_new_setting_at_its_default_keeps_the_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(STORY)
    fingerprint = sources.fingerprint(FileData(path=str(path)))
    assert not {"encoding", "delimiter", "header", "quotes", "reading"} & set(fingerprint)
    assert sources.fingerprint(FileData(path=str(path), encoding="latin-1")) != fingerprint
    csv = tmp_path / "text.csv"
    csv.write_text("text\nwords\n")
    assert sources.fingerprint(FileData(path=str(csv)))["reading"] == 2


# Replacement of invalid bytes.


def test_replaced_characters_are_counted_and_reported(tmp_path: Path, tiny: Make) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(STORY.encode() * 9 + b"caf\xe9 na\xefve\n" + "genuine \ufffd\n".encode())
    preset = tiny(data={"kind": "file", "path": str(path), "on_encoding_error": "replace"})
    corpus = prepare(preset)
    assert corpus.manifest["left_out"]["replaced"] == 2
    every_verdict = verdicts(preset, measure(corpus), plan(preset, corpus))
    (message,) = [one for one in every_verdict if one.topic == "encoding"]
    assert message.text.startswith("2 characters were replaced by U+FFFD (0.01% of the text)")
    assert not message.is_fine
    assert "data.encoding" in message.why


@pytest.mark.parametrize("encoding", ["gb18030", "koi8_r"])
def test_a_text_that_would_be_mostly_replaced_is_rejected(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes((CHINESE if encoding == "gb18030" else RUSSIAN).encode(encoding))
    error = source_error(FileData(path=str(path), on_encoding_error="replace"), tmp_path)
    assert "most of" in error.what
    assert "would be replaced" in error.why
    assert "set data.encoding to" in error.remedy


def test_no_encoding_is_guessed_for_random_bytes() -> None:
    assert encodings.guess(b"\xff" * 100) == ""
    assert encodings.guess(b"") == ""


# NUL bytes.


def test_the_advice_for_a_stray_nul_byte_works(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "the text.txt"
    path.write_bytes(STORY.encode() + b"one\0two\n" + STORY.encode())
    error = source_error(FileData(path=str(path)), tmp_path)
    assert error.why == f"byte {len(STORY) + 3:,} is NUL (0x00)"
    command = error.remedy.split("(", 1)[1].split("), or")[0]
    subprocess.run(["bash", "-c", command], check=True, timeout=60)
    clean = tmp_path / "clean-the text.txt"
    assert "onetwo" in texts(FileData(path=str(clean)), tmp_path)[0]
    replaced = texts(FileData(path=str(path), on_encoding_error="replace"), tmp_path)
    assert "one\0two" in replaced[0]
