"""Statistics: the counts are right, whatever the chunks."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from slm_tui.config.preset import Preset, parse
from slm_tui.corpus import statistics
from slm_tui.corpus.documents import Documents
from slm_tui.corpus.prepare import Corpus, prepare
from slm_tui.corpus.statistics import Bin, PartStatistics, measure, plan, shown
from slm_tui.corpus.tokenizers import byte_tokenizer
from slm_tui.corpus.tokenizers.byte_level import END_OF_TEXT

EMPTY = np.empty(0, np.uint16)


def stream(*documents: bytes, cut_off: bool = False) -> np.ndarray:
    """As stored in a corpus: end-of-text before each document and after the last."""
    ids = [END_OF_TEXT]
    for document in documents:
        ids += [*document, END_OF_TEXT]
    return np.array(ids[:-1] if cut_off else ids, dtype=np.uint16)


def corpus_of(train: np.ndarray, val: np.ndarray = EMPTY, **manifest: Any) -> Corpus:
    parts = {part: {"documents": 1} for part in ("train", "val", "test")}
    facts = {"fingerprint": "by-hand", "duplicates_removed": 0, "parts": parts}
    facts = {**facts, "leakage": {}, "left_out": {}} | manifest
    return Corpus(Path("nowhere"), byte_tokenizer(), facts, train, val, EMPTY)


def small(**model: Any) -> Preset:
    return parse(
        {
            "name": "small",
            "tokenizer": {"kind": "bytes"},
            "model": {"kind": "gpt", "n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 4}
            | model,
            "training": {"max_steps": 10, "micro_batch": 2, "accumulation": 1},
        },
        "a preset",
    )


# Counting


@pytest.mark.parametrize("chunk", [3, 1 << 20])
def test_lengths_in_bytes_are_those_of_the_documents(
    chunk: int, monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., Preset], tmp_path: Path
) -> None:
    monkeypatch.setattr(statistics, "_CHUNK", chunk)
    documents = ["one café", "two", "a third and longer document"] * 8
    path = tmp_path / "text.txt"
    path.write_text("<|endoftext|>".join(documents))
    data = {"kind": "file", "path": str(path), "split": {"validation": 0.3}}
    corpus = prepare(tiny(data=data, tokenizer={"kind": "bpe", "vocab_size": 300}))
    part = measure(corpus).parts["train"]
    sizes = [len(one.encode()) for one in documents]
    assert (part.shortest_bytes, part.longest_bytes) == (min(sizes), max(sizes))
    assert part.mean_bytes == pytest.approx(part.bytes / part.documents)


def test_a_handmade_corpus_has_the_expected_counts() -> None:
    statistics = measure(corpus_of(stream(b"aab", b"abaaaa", b"ccb"), stream(b"zz")))
    train, val = statistics.parts["train"], statistics.parts["val"]
    assert (train.documents, train.tokens, train.bytes) == (3, 16, 12)
    assert train.bytes_per_token == 12 / 16
    assert (train.shortest, train.mean_length, train.longest) == (3, 4.0, 6)
    assert train.lengths == (3, 6)
    assert train.documents_of == (2, 1)
    assert (val.documents, val.tokens, val.bytes) == (1, 4, 2)
    assert statistics.parts["test"].documents == statistics.parts["test"].tokens == 0
    assert [(one.data, one.count) for one in statistics.frequent] == [
        (b"a", 7),
        (b"b", 3),
        (b"c", 2),
    ]
    assert (statistics.distinct, statistics.rare, statistics.ordinary, statistics.never) == (
        3,
        2,
        254,
        251,
    )
    assert statistics.byte_counts is not None
    assert statistics.byte_counts[ord("a")] == 7
    assert sum(statistics.byte_counts) == train.bytes
    assert statistics.token_lengths == (0, 12)


def test_end_of_text_is_neither_a_frequent_nor_a_distinct_token() -> None:
    statistics = measure(corpus_of(stream(*[b"a"] * 50)))
    assert [one.data for one in statistics.frequent] == [b"a"]
    assert statistics.distinct == 1


def test_values_from_the_manifest_are_passed_on() -> None:
    parts = {"train": {"bits_per_byte": 0.6}, "val": {"bits_per_byte": 0.5}, "test": {}}
    statistics = measure(corpus_of(stream(b"a"), stream(b"b"), parts=parts, duplicates_removed=7))
    assert statistics.duplicates_removed == 7
    assert statistics.floor == statistics.parts["val"].floor == 0.5
    assert statistics.parts["train"].floor == 0.6
    assert statistics.parts["test"].floor is None


def test_a_last_document_truncated_by_a_limit_counts() -> None:
    statistics = measure(corpus_of(stream(b"abc", b"de", cut_off=True)))
    assert statistics.parts["train"].documents == 2
    assert statistics.parts["train"].lengths == (2, 3)


def test_an_empty_corpus_is_all_zeros() -> None:
    statistics = measure(corpus_of(EMPTY))
    train = statistics.parts["train"]
    assert (train.documents, train.tokens, train.bytes, train.mean_length) == (0, 0, 0, 0.0)
    assert train.bytes_per_token == 0.0
    assert train.histogram(10) == []
    assert statistics.frequent == ()


texts = st.lists(st.binary(min_size=1, max_size=9).map(lambda b: bytes(x % 200 for x in b)))


@given(texts, st.integers(1, 7), st.booleans())
def test_the_chunk_size_does_not_change_the_counts(
    documents: list[bytes], chunk: int, cut_off: bool
) -> None:
    tokens = stream(*documents, cut_off=cut_off and bool(documents))
    whole = measure(corpus_of(tokens))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_CHUNK", chunk)
        assert measure(corpus_of(tokens)) == whole
        result = Documents(tokens, END_OF_TEXT)
        assert [bytes(result.ids(number)) for number in range(len(result))] == documents
    lengths = [len(document) for document in documents]
    assert whole.parts["train"].documents == len(documents)
    assert whole.parts["train"].mean_length == (sum(lengths) / len(lengths) if lengths else 0)


def test_measuring_can_be_stopped_between_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_CHUNK", 2)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        measure(corpus_of(stream(b"abcdef")), step=stop)


# Lengths


def part_of(*lengths: int) -> PartStatistics:
    values = sorted(set(lengths))
    return PartStatistics(1, 1, tuple(values), tuple(lengths.count(value) for value in values))


def test_bins_have_one_round_width_and_hold_every_document() -> None:
    assert part_of(3, 12, 13, 29).histogram(3) == [Bin(0, 10, 1), Bin(10, 20, 2), Bin(20, 30, 1)]


def test_a_few_far_longer_documents_share_the_last_bin() -> None:
    bins = part_of(*[10] * 500, *[20] * 499, 9000).histogram(8)
    assert bins[-1].high == 9001
    assert bins[-1].documents == 1
    assert bins[0].high - bins[0].low <= 10


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=50), st.integers(1, 60))
def test_a_histogram_respects_its_bin_limit_and_counts_every_document(
    lengths: list[int], most: int
) -> None:
    bins = part_of(*lengths).histogram(most)
    assert 1 <= len(bins) <= most
    assert sum(one.documents for one in bins) == len(lengths)
    for one, following in itertools.pairwise(bins):
        assert one.high == following.low
    for one in bins:
        inside = [length for length in lengths if one.low <= length < one.high]
        assert len(inside) == one.documents


def test_half_of_the_documents_are_at_most_as_long_as_the_median() -> None:
    assert part_of(1, 2, 3, 100).quantile(0.5) == 2
    assert part_of(5).quantile(0.9) == 5
    assert part_of(*range(1, 11)).quantile(0.9) == 9


# How a preset uses it


def test_epochs_match_training() -> None:
    planned = plan(small(), corpus_of(stream(b"x" * 39)))  # 41 tokens: 40 targets, 10 windows of 4
    assert planned.sequences_per_epoch == 9  # one window is lost to the shifting phase
    # As on all screens: tokens trained over tokens of the text.
    assert planned.epochs == pytest.approx(10 * 2 * 4 / 41)
    assert planned.tokens_per_parameter == 41 / planned.parameters


def test_a_text_shorter_than_a_window_has_no_epochs() -> None:
    planned = plan(small(block_size=64), corpus_of(stream(b"short")))
    assert planned.sequences_per_epoch == 0
    assert planned.epochs is None


# Documents


def test_documents_can_be_read_whole_and_in_passages() -> None:
    documents = Documents(stream(b"first", b"second"), END_OF_TEXT)
    assert len(documents) == 2
    assert bytes(documents.ids(1)) == b"second"
    assert bytes(documents.ids(1, 2, 3)) == b"con"
    assert documents.ids(1, 6, 3) == []
    assert documents.span(0) == (1, 6)


@pytest.mark.parametrize("number", [-1, 2])
def test_a_missing_document_is_an_error(number: int) -> None:
    with pytest.raises(IndexError, match="no document"):
        Documents(stream(b"first", b"second"), END_OF_TEXT).ids(number)


def test_an_empty_stream_has_no_documents() -> None:
    assert len(Documents(EMPTY, END_OF_TEXT)) == 0


def test_iterating_over_documents_scans_the_stream_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slm_tui.corpus.documents._CHUNK", 50)
    looks, find = [], np.flatnonzero

    def counted(marks: NDArray[np.bool_]) -> NDArray[np.intp]:
        looks.append(len(marks))
        return find(marks)

    monkeypatch.setattr("slm_tui.corpus.documents.np.flatnonzero", counted)
    texts = [bytes([97 + number % 26]) * (number % 7) for number in range(100)]
    tokens = stream(*texts)
    documents = Documents(tokens, END_OF_TEXT)
    assert [bytes(documents.ids(number)) for number in range(100)] == texts
    # Twice if a document spans two chunks.
    assert len(looks) <= 3 * (len(tokens) // 50 + 1)


# Displaying bytes


def test_complete_characters_are_shown_and_incomplete_ones_as_symbols() -> None:
    assert shown("é中".encode()) == "é中"
    assert shown("中".encode()[:2]) == "‹e4›‹b8›"
    assert shown(b"a\xa9b") == "a‹a9›b"
    # Lines of a text with non-ASCII letters.
    assert shown("é—\n中\n".encode()) == "é—\n中\n"
    assert shown("\u200d".encode()) == "‹200d›"


@given(st.binary(max_size=40))
def test_displayed_bytes_contain_no_terminal_commands(data: bytes) -> None:
    text = shown(data)
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert not any(0x7F <= ord(char) < 0xA0 for char in text)
    assert "\u202e" not in text
    text.encode()  # no lone surrogate


# A real corpus


def test_statistics_of_prepared_stories_match_their_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    preset = parse(
        {
            "name": "few",
            "data": {"kind": "stories", "richness": "tiny", "documents": 60},
            "tokenizer": {"kind": "bpe", "vocab_size": 300},
        },
        "a preset",
    )
    corpus = prepare(preset)
    statistics = measure(corpus)
    for name, part in statistics.parts.items():
        expected = corpus.manifest["parts"][name]
        assert (part.documents, part.tokens, part.bytes) == (
            expected["documents"],
            expected["tokens"],
            expected["bytes"],
        )
        ends = np.flatnonzero(getattr(corpus, name) == corpus.tokenizer.end_of_text)
        lengths = np.diff(ends) - 1
        assert (part.shortest, part.longest) == (min(lengths, default=0), max(lengths, default=0))
        texts = corpus.tokenizer.decode_bytes(getattr(corpus, name).tolist())
        assert part.shortest_bytes <= part.mean_bytes <= part.longest_bytes < max(1, len(texts))
    assert statistics.floor == corpus.floor
    assert statistics.floor is not None
    sizes = enumerate(statistics.token_lengths)
    assert sum(size * count for size, count in sizes) == statistics.parts["train"].bytes
    assert statistics.byte_counts is None
    assert json.loads(json.dumps(statistics.to_dict()))["parts"]["train"]["documents"] == 60
