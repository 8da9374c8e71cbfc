"""Staging: documents round-trip, up to the limit, and can be dropped."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import Limit
from slm_tui.corpus.split import text_of
from slm_tui.corpus.staging import (
    DocumentPiece,
    DocumentSpans,
    StagingWriter,
    load_spans,
    save_spans,
    staged,
)
from tests.corpus.helpers import documents

few = settings(max_examples=100, deadline=None)
some_text = st.text("ab \n漢🙂é\u3000", max_size=12)
some_texts = st.lists(some_text, max_size=12)
# Documents as the pieces they arrive in.
in_pieces = st.lists(st.lists(some_text, min_size=1, max_size=4), max_size=8)


def filled(staging: StagingWriter, texts: list[list[str]]) -> None:
    for pieces in texts:
        for number, text in enumerate(pieces, start=1):
            if not staging.add(DocumentPiece(text, ends=number == len(pieces))):
                return


def written(
    fill: Callable[[StagingWriter], None], limit: Limit | None = None
) -> tuple[list[str], dict]:
    """The documents that `fill` writes, and their metadata."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "texts"
        with StagingWriter(path, limit) as staging:
            fill(staging)
            metadata = {"size": staging.size, "characters": staging.characters}
            metadata |= {"documents": staging.documents, "blank": staging.blank}
            spans = staging.finish()
        assert path.stat().st_size == metadata["size"] or metadata["documents"] < len(spans)
        metadata |= {name: getattr(spans, name).tolist() for name in ("starts", "ends", "digests")}
        return text_of(spans), metadata


@few
@given(in_pieces)
def test_documents_round_trip_whatever_the_pieces(texts: list[list[str]]) -> None:
    whole = ["".join(pieces) for pieces in texts]
    result, metadata = written(lambda staging: filled(staging, texts))
    assert result == [text for text in whole if text.strip()]
    again, same = written(lambda staging: filled(staging, [[text] for text in whole]))
    assert (again, same) == (result, metadata)


@few
@given(some_texts)
def test_blank_documents_are_skipped_and_counted(texts: list[str]) -> None:
    result, metadata = written(lambda staging: filled(staging, [[text] for text in texts]))
    assert len(result) == metadata["documents"] == sum(bool(text.strip()) for text in texts)
    # A document without a single character does not count.
    assert metadata["blank"] == sum(bool(text) and not text.strip() for text in texts)
    assert metadata["characters"] == sum(map(len, result))
    assert metadata["size"] == sum(len(text.encode()) for text in result)


@few
@given(some_texts)
def test_equal_texts_have_equal_digests_and_others_differ(texts: list[str]) -> None:
    with documents(*texts) as spans:
        digests, result = spans.digests.tolist(), text_of(spans)
    assert len(set(digests)) == len(set(result))
    assert len({*zip(digests, result, strict=True)}) == len(set(result))


def test_an_unfinished_document_ends_with_the_source(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "texts") as staging:
        staging.add(DocumentPiece("one"))
        staging.add(DocumentPiece("two, ", ends=False))
        staging.add(DocumentPiece("half", ends=False))
        assert text_of(staging.finish()) == ["one", "two, half"]


def test_a_lone_surrogate_is_written_as_the_replacement_character(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "texts") as staging:
        staging.add(DocumentPiece("a\ud83d", ends=False))
        staging.add(DocumentPiece("\ude00b"))
        assert text_of(staging.finish()) == ["a\ufffd\ufffdb"]


def test_information_is_known_only_if_it_is_for_every_document(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "known") as staging:
        staging.add(DocumentPiece("one", bits=3.5))
        staging.add(DocumentPiece("two", bits=4.5))
        bits = staging.finish().bits
        assert bits is not None
        assert bits.tolist() == [3.5, 4.5]
    with StagingWriter(tmp_path / "unknown") as staging:
        staging.add(DocumentPiece("one", bits=3.5))
        staging.add(DocumentPiece("two"))
        assert staging.finish().bits is None


def test_a_truncated_document_has_no_information(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "texts", Limit(characters=5)) as staging:
        staging.add(DocumentPiece("one", bits=3.5))
        staging.add(DocumentPiece("three", bits=4.5))
        spans = staging.finish()
    assert text_of(spans) == ["one", "th"]
    assert spans.bits is None


# Limits.


@few
@given(in_pieces, st.integers(1, 12))
def test_a_limit_in_documents_is_respected(texts: list[list[str]], most: int) -> None:
    limit = Limit(documents=most)
    result, _ = written(lambda staging: filled(staging, texts), limit)
    whole = ["".join(pieces) for pieces in texts]
    assert result == [text for text in whole if text.strip()][:most]


@few
@given(st.lists(st.text("ab漢🙂é", min_size=1, max_size=12), max_size=12), st.integers(1, 60))
def test_a_limit_in_characters_is_respected_and_may_truncate_a_document(
    texts: list[str], most: int
) -> None:
    result, metadata = written(
        lambda staging: filled(staging, [[text] for text in texts]), Limit(characters=most)
    )
    assert "".join(result) == "".join(texts)[:most]
    assert metadata["characters"] == min(most, sum(map(len, texts)))
    assert all(whole.startswith(part) for whole, part in zip(texts, result, strict=False))


@few
@given(some_texts, st.integers(1, 60))
def test_blank_documents_do_not_count_towards_a_limit(texts: list[str], most: int) -> None:
    visible = [text for text in texts if text.strip()]
    whole, _ = written(lambda staging: filled(staging, [[text] for text in visible]), limit(most))
    result, _ = written(lambda staging: filled(staging, [[text] for text in texts]), limit(most))
    assert "".join(result).split() == "".join(whole).split()


def limit(characters: int) -> Limit:
    return Limit(characters=characters)


@few
@given(some_texts, st.integers(1, 20))
def test_a_limit_in_tokens_leaves_at_least_that_many(texts: list[str], most: int) -> None:
    result, _ = written(
        lambda staging: filled(staging, [[text] for text in texts]), Limit(tokens=most)
    )
    whole = "".join(text for text in texts if text.strip())
    assert len("".join(result)) >= min(most, len(whole))


@few
@given(st.lists(st.text("ab", min_size=1), min_size=2, max_size=12), st.floats(0.01, 1))
def test_a_fraction_of_the_documents_is_never_empty(texts: list[str], part: float) -> None:
    result, _ = written(
        lambda staging: filled(staging, [[text] for text in texts]), Limit(fraction=part)
    )
    assert result == texts[: max(1, round(len(texts) * part))]


@few
@given(st.text("a漢🙂é", min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_fraction_of_one_document_is_its_beginning(text: str, part: float) -> None:
    texts, _ = written(lambda staging: filled(staging, [[text]]), Limit(fraction=part))
    (beginning,) = texts
    assert text.startswith(beginning)
    assert 0 <= len(beginning.encode()) - max(1, round(len(text.encode()) * part)) <= 3


def test_a_full_writer_accepts_no_more(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "texts", Limit(characters=3)) as staging:
        assert not staging.is_full
        assert staging.add(DocumentPiece("ab"))
        assert not staging.add(DocumentPiece("c"))
        assert staging.is_full
        assert not staging.add(DocumentPiece("d"))
        assert text_of(staging.finish()) == ["ab", "c"]


# Dropping documents.


@few
@given(in_pieces, st.lists(some_text, max_size=3), in_pieces)
def test_a_dropped_document_leaves_no_trace(
    before: list[list[str]], half: list[str], after: list[list[str]]
) -> None:
    def with_drop(staging: StagingWriter) -> None:
        filled(staging, before)
        for text in half:
            staging.add(DocumentPiece(text, ends=False))
        staging.drop_document()
        filled(staging, after)

    assert written(with_drop) == written(lambda staging: filled(staging, before + after))


@few
@given(in_pieces, in_pieces, st.lists(some_text, max_size=2), in_pieces)
def test_documents_dropped_since_a_mark_leave_no_trace(
    before: list[list[str]],
    dropped: list[list[str]],
    half: list[str],
    after: list[list[str]],
) -> None:
    def with_drop(staging: StagingWriter) -> None:
        filled(staging, before)
        mark = staging.mark()
        filled(staging, dropped)
        for text in half:
            staging.add(DocumentPiece(text, ends=False))
        staging.drop_since(mark)
        filled(staging, after)

    result, metadata = written(with_drop)
    expected, same = written(lambda staging: filled(staging, before + after))
    assert result == expected
    metadata.pop("blank"), same.pop("blank")
    assert metadata == same


def test_dropped_blank_documents_are_not_counted(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "texts") as staging:
        filled(staging, [["one"], [" "]])
        mark = staging.mark()
        filled(staging, [["two"], ["\n"], [" "]])
        staging.drop_since(mark)
        assert staging.blank == 1


def test_a_limit_does_not_count_dropped_documents(tmp_path: Path) -> None:
    with StagingWriter(tmp_path / "texts", Limit(characters=6)) as staging:
        filled(staging, [["abc"]])
        mark = staging.mark()
        filled(staging, [["漢字"]])
        staging.drop_since(mark)
        assert not staging.is_full
        assert not staging.add(DocumentPiece("defghi"))
        assert text_of(staging.finish()) == ["abc", "def"]


# Spans.


@few
@given(some_texts, st.data())
def test_selecting_and_joining_documents_preserves_them(
    texts: list[str], data: st.DataObject
) -> None:
    with documents(*texts) as spans:
        every_text = text_of(spans)
        which = np.array([data.draw(st.booleans()) for _ in every_text], np.bool_)
        assert text_of(spans.chosen(which)) == [
            t for t, w in zip(every_text, which, strict=True) if w
        ]
        at = data.draw(st.integers(0, len(every_text)))
        both = spans.chosen(slice(0, at)).joined(spans.chosen(slice(at, None)))
        assert text_of(both) == every_text == list(both.texts())
        assert both.digests.tolist() == spans.digests.tolist()
        assert both.bytes == spans.bytes == sum(len(text.encode()) for text in every_text)
        assert [both.text(number) for number in range(len(both))] == every_text


@pytest.mark.parametrize("texts", [[], ["one", "zwei", "漢字"]])
def test_spans_can_be_reopened_in_another_process(texts: list[str], tmp_path: Path) -> None:
    spans = staged(texts, tmp_path / "train.text")
    save_spans(spans, tmp_path / "train.npz")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("train.text", "train.npz"):
        (tmp_path / name).rename(moved / name)
    opened: DocumentSpans = load_spans(moved / "train.npz")
    assert text_of(opened) == texts
    assert opened.digests.tolist() == spans.digests.tolist()
