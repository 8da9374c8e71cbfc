"""Text files: cut at marks wherever they fall, and refused exactly where they are wrong."""

from pathlib import Path

import pytest

from slm_tui.config.data import FileData
from tests.corpus.helpers import refused, texts


def read(path: Path, **changes: str) -> list[str]:
    return texts(FileData(path=str(path), **changes), path.parent)  # type: ignore[arg-type]


def test_a_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n\ntwo\n")
    assert read(path) == ["one\n\ntwo"]


def test_the_end_of_text_mark_divides_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n<|endoftext|>\ntwo\n<|endoftext|>\n\n<|endoftext|>three")
    assert read(path) == ["one", "two", "three"]


def test_a_separator_of_ones_own_divides_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one<|endoftext|>--two--three")
    assert read(path, separator="--") == ["one<|endoftext|>", "two", "three"]


def test_windows_line_ends_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read(path) == ["one\ntwo"]
    assert read(path, on_encoding_error="replace") == ["one\ntwo"]


def test_what_is_not_utf8_is_replaced_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"caf\xe9 noir")
    assert read(path, on_encoding_error="replace") == ["caf\ufffd noir"]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "has no text"),
        (b" \n\n ", "has no text"),
        (b"caf\xe9", "is not UTF-8: byte 3 is 0xe9; convert it"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8: byte 0 is 0x89"),
        ("wide".encode("utf-16"), "is not UTF-8"),
        (b"MZ\x00\x00\x00\x01", "is not text: it has zero bytes"),
    ],
)
def test_a_file_without_usable_text_is_refused_in_one_line(
    tmp_path: Path, raw: bytes, says: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(raw)
    told = str(refused(FileData(path=str(path)), tmp_path))
    assert says in told
    assert str(path) in told
