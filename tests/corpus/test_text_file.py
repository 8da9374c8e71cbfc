"""Text files: split at marks at any position, and rejected with the exact place of the problem."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import FileData
from slm_tui.corpus.sources import file_kinds, text_file
from slm_tui.corpus.staging import CHUNK
from tests.corpus.helpers import source_error, texts

END = "<|endoftext|>"
BITS = ("a", " ", "\n", "\r", "\r\n", "\t", "漢", "é", "🙂", "\ufeff", "--", "-", "\n\n")
MARKS = (END, "<|endof", "text|>", "<", "|>", "<|endoftext|")
some_bytes = st.lists(st.sampled_from(BITS + MARKS), max_size=30).map(lambda bits: "".join(bits))


def read(path: Path, **changes: str) -> list[str]:
    return texts(FileData(path=str(path), **changes), path.parent)  # type: ignore[arg-type]


def test_a_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n\ntwo\n")
    assert read(path) == ["one\n\ntwo"]


def test_the_end_of_text_mark_separates_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n<|endoftext|>\ntwo\n<|endoftext|>\n\n<|endoftext|>three")
    assert read(path) == ["one", "two", "three"]


def test_a_custom_separator_separates_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one<|endoftext|>--two--three")
    assert read(path, separator="--") == ["one<|endoftext|>", "two", "three"]


def test_windows_line_ends_and_a_byte_order_mark_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read(path) == ["one\ntwo"]
    assert read(path, on_encoding_error="replace") == ["one\ntwo"]


def test_invalid_utf8_is_replaced_on_request(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"caf\xe9 noir")
    assert read(path, on_encoding_error="replace") == ["caf\ufffd noir"]


def as_a_whole(raw: bytes, separator: str, errors: str = "strict") -> list[str]:
    """What a reader that holds the whole file in memory returns."""
    text = raw.decode("utf-8", errors).removeprefix("\ufeff")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    parts = [part.strip("\n") for part in text.split(separator or END)]
    return [part for part in parts if part.strip()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=400, deadline=None)
@given(
    text=some_bytes,
    chunk=st.integers(1, 24),
    separator=st.sampled_from(["", "-", "--", "\n\n", "漢", "a\n", " "]),
)
def test_chunk_boundaries_do_not_matter(place: Path, text: str, chunk: int, separator: str) -> None:
    path = place / "text.txt"
    path.write_bytes(text.encode())
    expected = as_a_whole(text.encode(), separator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "CHUNK", chunk)
        if expected:
            assert read(path, separator=separator) == expected
        else:
            source_error(FileData(path=str(path), separator=separator), place)


@settings(max_examples=200, deadline=None)
@given(raw=st.one_of(st.binary(max_size=40), some_bytes.map(str.encode)), chunk=st.integers(1, 24))
def test_replaced_bytes_are_the_same_as_when_read_at_once(
    place: Path, raw: bytes, chunk: int
) -> None:
    path = place / "text.txt"
    path.write_bytes(raw)
    expected = as_a_whole(raw, "", "replace")
    # Two bytes can already be the beginning of another kind of file.
    is_text = not raw.startswith(b"\xfd7zXZ") and file_kinds.not_text(path, raw) is None
    if expected and is_text:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_file, "CHUNK", chunk)
            assert read(path, on_encoding_error="replace") == expected


@settings(max_examples=200, deadline=None)
@given(
    before=some_bytes,
    bad=st.sampled_from([b"\xff", b"\x80", b"\xe6\xbc", b"\xf0\x9f\x99", b"\xc3", b"\xed\xa0\x80"]),
    after=some_bytes,
    chunk=st.integers(1, 24),
)
def test_the_first_invalid_byte_is_reported_exactly(
    place: Path, before: str, bad: bytes, after: str, chunk: int
) -> None:
    path, raw = place / "text.txt", before.encode() + bad + after.encode()
    path.write_bytes(raw)
    with pytest.raises(UnicodeDecodeError) as caught:
        raw.decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "CHUNK", chunk)
        error = source_error(FileData(path=str(path)), place)
    assert error.what == f"{path} is not UTF-8"
    assert error.why == f"byte {caught.value.start} is 0x{raw[caught.value.start]:02x}"


# Real chunks, of a megabyte.


@pytest.mark.parametrize("shift", range(len(END) + 3))
@pytest.mark.parametrize("begins", ["", "ab" + END, f"{END}\n{END}", "b\r\n" + END])
def test_a_mark_is_found_across_chunk_boundaries(tmp_path: Path, shift: int, begins: str) -> None:
    path = tmp_path / "text.txt"
    # A short document, or none, comes before the mark at the chunk boundary.
    raw = ("x" * (CHUNK - shift - len(begins)) + END + begins + "c" + END + "end").encode()
    path.write_bytes(raw)
    assert read(path) == as_a_whole(raw, "")


@pytest.mark.parametrize("mark", ["\r\n", "漢", "🙂", "\n\n\n", "\r\n<|endoftext|>\r\n"])
@pytest.mark.parametrize("shift", range(6))
def test_characters_and_marks_across_chunk_boundaries_are_read_whole(
    tmp_path: Path, mark: str, shift: int
) -> None:
    path = tmp_path / "text.txt"
    raw = b"x" * (CHUNK - shift) + mark.encode() + b"end"
    path.write_bytes(raw)
    assert read(path) == as_a_whole(raw, "")


def test_a_byte_order_mark_is_removed_only_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(("\ufeff" + "x" * (CHUNK - 3) + "\ufeffend").encode())
    assert read(path) == ["x" * (CHUNK - 3) + "\ufeffend"]


@pytest.mark.parametrize("at", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK - 2, 3 * CHUNK + 7])
def test_an_invalid_byte_far_into_the_file_is_reported_exactly(tmp_path: Path, at: int) -> None:
    path = tmp_path / "text.txt"
    raw = "é".encode() * (at // 2) + b"x" * (at % 2)
    path.write_bytes(raw + b"\xff" + b"more" * 1000)
    assert f"byte {at:,} is 0xff" in str(source_error(FileData(path=str(path)), tmp_path))
    path.write_bytes(raw + "漢".encode()[:2])
    assert f"byte {at:,} is 0xe6" in str(source_error(FileData(path=str(path)), tmp_path))


def test_a_nul_byte_far_into_the_file_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"words " * (CHUNK // 2) + b"\0")
    error = source_error(FileData(path=str(path)), tmp_path)
    assert error.why == f"byte {6 * (CHUNK // 2):,} is NUL (0x00)"
    assert "tr -d" in error.remedy
    texts = read(path, on_encoding_error="replace")
    assert [text.endswith("words \0") for text in texts] == [True]


def test_megabytes_of_line_ends_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(
        b"\n" * (3 * CHUNK) + b"words" + b"\r\n" * (2 * CHUNK) + b"more" + b"\n" * CHUNK
    )
    assert read(path) == ["words" + "\n" * (2 * CHUNK) + "more"]
    path.write_bytes(b"\n \t" * CHUNK)
    assert "has no text" in str(source_error(FileData(path=str(path)), tmp_path))


# Files without usable text.


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "has no text"),
        (b" \n\n ", "has no text"),
        (b"caf\xe9", "is not UTF-8: byte 3 is 0xe9; convert it to UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not text: it is a PNG image"),
        (b"MZ\x00\x00\x00\x01", "is not text: byte 2 is NUL (0x00)"),
        (b"\xff" * 100, "is not UTF-8: byte 0 is 0xff"),
        (b"\xef\xbb\xbf", "has no text"),
        (b"<|endoftext|>\n<|endoftext|>", "has no text"),
    ],
)
def test_a_file_without_usable_text_is_reported_in_one_line(
    tmp_path: Path, raw: bytes, says: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(raw)
    message = str(source_error(FileData(path=str(path)), tmp_path))
    assert says in message
    assert str(path) in message
