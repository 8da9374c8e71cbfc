"""Sources: the same text each time, and one clear line where there is none."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import DirectoryData, FileData, Limit, Split, StoriesData
from slm_tui.corpus import sources
from slm_tui.errors import CorpusError


def texts(path: Path, **changes: str) -> list[str]:
    data = FileData(path=str(path), **changes)  # type: ignore[arg-type]
    return [document.text for document in sources.file_documents(data)]


def test_a_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n\ntwo\n")
    assert texts(path) == ["one\n\ntwo"]


def test_the_end_of_text_mark_divides_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one\n<|endoftext|>\ntwo\n<|endoftext|>\n\n<|endoftext|>three")
    assert texts(path) == ["one", "two", "three"]


def test_a_separator_of_ones_own_divides_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one<|endoftext|>--two--three")
    assert texts(path, separator="--") == ["one<|endoftext|>", "two", "three"]


def test_windows_line_ends_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert texts(path) == ["one\ntwo"]
    assert texts(path, on_encoding_error="replace") == ["one\ntwo"]


def test_what_is_not_utf8_is_replaced_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"caf\xe9 noir")
    assert texts(path, on_encoding_error="replace") == ["caf\ufffd noir"]


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
    with pytest.raises(CorpusError) as caught:
        texts(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.txt", "a\0b", "~nobody-has-this-name/x", "x" * 5000])
def test_a_file_that_is_not_there_is_one_clear_line(name: str) -> None:
    for ask in (sources.file_documents, sources.fingerprint):
        with pytest.raises(CorpusError, match="cannot be read"):
            ask(FileData(path=name))


def test_no_file_and_a_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no text file is named.*data\.path"):
        sources.file_documents(FileData())
    with pytest.raises(CorpusError, match="is a directory"):
        sources.file_documents(FileData(path=str(tmp_path)))


def test_a_source_of_a_later_version_says_so() -> None:
    with pytest.raises(NotImplementedError, match="later version"):
        sources.fingerprint(DirectoryData())


def test_a_file_is_known_by_its_text_not_by_its_place(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("the same")
    two.write_text("the same")
    same = sources.fingerprint(FileData(path=str(one)))
    assert same == sources.fingerprint(FileData(path=str(two)))
    two.write_text("changed!")
    assert same != sources.fingerprint(FileData(path=str(two)))


def test_stories_are_a_function_of_their_number() -> None:
    data = StoriesData(richness="tiny")
    whole = [story.text for story in sources.stories(data, 0, 20)]
    assert [story.text for story in sources.stories(data, 12, 8)] == whole[12:]
    other = StoriesData(richness="tiny", seed=1)
    assert [story.text for story in sources.stories(other, 0, 20)] != whole


def test_stories_know_their_information() -> None:
    for story in sources.stories(StoriesData(richness="tiny"), 0, 5):
        assert story.bits is not None
        assert 0 < story.bits < 8 * len(story.text)


@settings(max_examples=60, deadline=None)
@given(
    documents=st.integers(1, 10**6),
    limit=st.sampled_from(["documents", "characters", "tokens", "fraction", ""]),
    size=st.integers(1, 10**6),
    validation=st.floats(0, 0.5),
    test=st.floats(0, 0.5),
)
def test_held_out_stories_are_drawn_wherever_they_are_wanted(
    documents: int, limit: str, size: int, validation: float, test: float
) -> None:
    value = {"fraction": min(1.0, size / 10**6)}.get(limit, size)
    data = StoriesData(
        documents=documents,
        limit=Limit(**({limit: value} if limit else {})),  # type: ignore[arg-type]
        split=Split(validation=validation, test=test),
    )
    wanted = sources.stories_wanted(data)
    assert 1 <= wanted["train"] <= documents
    for part, ratio in (("val", validation), ("test", test)):
        assert wanted[part] >= 64 if ratio else wanted[part] == 0
