"""Copied passages are found: all of them, and nothing else."""

from collections.abc import Callable, Sequence
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.evaluation import memorisation
from slm_tui.evaluation.memorisation import (
    GRAM,
    CopiedText,
    Copying,
    Index,
    IndexingStopped,
    Reference,
    copying,
    reference,
)

tokens = st.lists(st.integers(0, 2), max_size=160)


def arrays(stream: list[int]) -> np.ndarray:
    return np.array(stream, np.uint16)


def by_hand(stream: list[int], text: list[int]) -> tuple[int, int, int]:
    """8-grams of the text, those that occur in the stream, and its longest passage."""
    grams = {tuple(stream[at : at + GRAM]) for at in range(len(stream) - GRAM + 1)}
    mine = [tuple(text[at : at + GRAM]) for at in range(len(text) - GRAM + 1)]
    longest = 0
    for start in range(len(text)):
        for place in range(len(stream)):
            length = 0
            while (
                start + length < len(text)
                and place + length < len(stream)
                and text[start + length] == stream[place + length]
            ):
                length += 1
            longest = max(longest, length)
    return len(mine), sum(gram in grams for gram in mine), longest if longest >= GRAM else 0


@settings(max_examples=120, deadline=None)
@given(tokens, tokens, st.integers(0, 100), st.integers(0, 60))
def test_passages_equal_those_of_a_brute_force_search(
    stream: list[int], own: list[int], begin: int, length: int
) -> None:
    text = own[:20] + stream[begin : begin + length] + own[20:60]
    result = Index(arrays(stream)).look(text)
    assert (result.grams, result.shared, result.longest) == by_hand(stream, text)
    for one in result.passages:
        copied = stream[one.place : one.place + one.length]
        assert copied == text[one.start : one.start + one.length]


def test_a_hash_collision_is_not_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        memorisation, "hashes_of", lambda ids: np.full(max(0, len(ids) - 7), 1 << 40, np.uint64)
    )
    stream = np.arange(100, dtype=np.uint16)
    result = Index(stream).look([*range(30, 50), *range(200, 220)])
    assert (result.shared, result.longest) == (13, 20)
    assert result.passages[0].place == 30


def test_a_large_stream_is_indexed_in_pieces() -> None:
    stream = np.random.default_rng(1).integers(0, 50_000, 100_000).astype(np.uint16)
    whole, part = Index(stream), Index(stream, most=25_000)
    assert whole.is_whole
    assert not part.is_whole
    assert (part.places, part.bytes) == (25_000, 200_000)
    text = stream[40_000:45_000]
    assert whole.look(text).share == 1
    assert 0.2 < part.look(text).share < 0.3


def test_indexing_can_be_stopped() -> None:
    cancel = Event()
    cancel.set()
    with pytest.raises(IndexingStopped):
        Index(np.zeros(100, np.uint16), cancel=cancel)


def test_overlap_is_judged_relative_to_validation_text() -> None:
    natural = Reference((0.3, 0.32, 0.28, 0.31), 20)
    assert not Copying(1, CopiedText(100, 93, 35, ()), natural).is_much
    much = Copying(1, CopiedText(100, 93, 85, ()), natural)
    assert much.is_much
    assert much.confidence > 0.99
    assert "91% of 8-grams also occur in the training text (unseen text: 30%)" in much.sentence()
    assert not Copying(1, CopiedText(12, 5, 5, ()), natural).is_much  # too short to judge


def test_samples_are_quoted_and_compared_with_validation() -> None:
    chance = np.random.default_rng(2)
    stream = chance.integers(0, 1000, 5000).astype(np.uint16)
    other = chance.integers(0, 1000, 2000).astype(np.uint16)
    index = Index(stream)
    natural = memorisation.reference(index, other)
    assert natural.share == 0
    sample = [1, 2, 3, *stream[100:140].tolist(), 4, 5]
    found = memorisation.copying(index, [sample], 7, natural, lambda ids: str(len(ids)))
    assert found.overlap.longest >= 40
    assert found.quotes[0] == str(found.overlap.longest)
    assert found.is_much


def test_new_stories_of_the_built_in_kind_are_not_copied(tiny: Callable[..., Preset]) -> None:
    """They share most of their 8-grams with the training text, as unseen stories do."""
    data = {"kind": "stories", "richness": "small", "limit": {"tokens": 60_000}}
    data |= {"split": {"validation": 0.1, "test": 0.1}}
    corpus = prepare(tiny(data=data, tokenizer={"kind": "bpe", "vocab_size": 512}))

    def decode(ids: Sequence[int]) -> str:
        return corpus.tokenizer.decode_bytes(list(ids)).decode(errors="replace")

    index = Index(corpus.train)
    natural = reference(index, corpus.val)
    new = [corpus.test[at : at + 120] for at in range(0, 1200, 120)]
    old = [corpus.train[at : at + 120] for at in range(0, 1200, 120)]
    of_new = copying(index, new, 1, natural, decode)
    of_old = copying(index, old, 1, natural, decode)
    assert of_new.overlap.share > 0.4
    assert not of_new.is_much
    assert of_old.is_much
