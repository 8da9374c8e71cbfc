"""Chunks: a document of any size is processed in pieces, with the same tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.corpus import staging
from slm_tui.corpus.split import text_of
from slm_tui.corpus.staging import DocumentSpans, safe_cut
from slm_tui.corpus.tokenizers import Tokenizer
from tests.corpus.helpers import TEXTS, documents
from tests.corpus.strategies import NAMES, quick

# Where splitting could go wrong: all sorts of whitespace, words without any, marks in a row.
UNITS = (
    *(" ", "\n", "\t", "\r", "\u00a0", "\u3000", "\u0085", "\u2028", "\x1c", "\x0b"),
    *("a", "word ", "it's ", "12", "!?", " - ", "é", "漢", "🙂", "<|endoftext|>", "\x00"),
)
knotted = st.lists(st.tuples(st.sampled_from(UNITS), st.integers(1, 30)), max_size=8).map(
    lambda runs: "".join(unit * count for unit, count in runs)
)
some_documents = st.lists(st.one_of(knotted, st.text(max_size=60)), min_size=1, max_size=5)
sizes = st.integers(1, 80)


@quick
@given(some_documents, sizes)
def test_chunks_concatenate_to_the_documents(texts: list[str], size: int) -> None:
    with documents(*texts) as spans:
        assert joined(spans, size) == text_of(spans)
        chunks = list(spans.chunks(size))
        assert sum(chunk.bytes for chunk in chunks) == spans.bytes
        assert all(
            chunk.bytes == sum(len(text.encode()) for text in chunk.texts) for chunk in chunks
        )


def joined(spans: DocumentSpans, size: int) -> list[str]:
    texts, open_document = list[str](), False
    for chunk in spans.chunks(size):
        first, *others = chunk.texts
        if open_document:
            assert not others
            texts[-1] += first
        else:
            texts += chunk.texts
        open_document = not chunk.ends
    assert not open_document
    return texts


@pytest.mark.parametrize("name", NAMES)
@quick
@given(texts=some_documents, size=sizes)
def test_chunks_have_the_ids_of_the_documents(
    every_tokenizer: dict[str, Tokenizer], name: str, texts: list[str], size: int
) -> None:
    with documents(*texts) as spans:
        assert ids_by_chunks(every_tokenizer[name], spans, size) == [
            id
            for text in spans.texts()
            for id in [*every_tokenizer[name].encode(text), every_tokenizer[name].end_of_text]
        ]


def ids_by_chunks(tokenizer: Tokenizer, spans: DocumentSpans, size: int) -> list[int]:
    every_id: list[int] = []
    for chunk in spans.chunks(size):
        ids = tokenizer.encode_documents(chunk.texts).tolist()
        every_id += ids if chunk.ends else ids[:-1]
    return every_id


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [100, 999, 4096, 5000])
def test_ids_of_long_documents_do_not_depend_on_the_chunk_size(
    every_tokenizer: dict[str, Tokenizer], name: str, size: int
) -> None:
    runs = "one " + "x" * 9000 + " two\n\n" + " " * 9000 + "three" + "漢" * 5000 + " é" * 3000
    with documents("".join(TEXTS) * 4, runs, " " * 6000 + "end", "x") as spans:
        whole = ids_by_chunks(every_tokenizer[name], spans, 1 << 30)
        assert ids_by_chunks(every_tokenizer[name], spans, size) == whole


def test_a_chunk_has_about_the_requested_size() -> None:
    with documents(*["word " * 20] * 50, "word " * 2000) as spans:
        weights = [chunk.bytes for chunk in spans.chunks(1000)]
    assert max(weights) <= 1000
    assert len(weights) <= 2 * spans.bytes / 1000


@quick
@given(text=st.text("ab漢🙂 \n", min_size=1, max_size=200), size=sizes)
def test_a_document_without_a_safe_boundary_is_split_between_characters(
    text: str, size: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "_LARGEST_CHUNK", 16)
        with documents(text) as spans:
            assert joined(spans, size) == text_of(spans)


@settings(max_examples=200, deadline=None)
@given(knotted)
def test_a_safe_boundary_is_before_whitespace_after_a_visible_character(text: str) -> None:
    at = safe_cut(text)
    places = [
        place
        for place in range(1, len(text))
        if text[place] in " \n" and not text[place - 1].isspace()
    ]
    assert at == max(places, default=0)


@pytest.mark.timeout(60)
def test_ten_megabytes_of_whitespace_are_handled() -> None:
    text = "a" + " " * 10_000_000 + "b"
    with documents(text) as spans:
        assert joined(spans, staging.CHUNK) == [text]
