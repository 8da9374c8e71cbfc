"""Overlap: as many shared runs of 13 words as a plain count finds."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.corpus import overlap
from slm_tui.corpus.overlap import WORDS, Overlap, measure, runs_of_chunk
from slm_tui.corpus.staging import Chunk
from tests.corpus.helpers import documents

WORD = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]|[^\W_\u3400-\u9fff\u3040-\u30ff]+")


def plain_runs(text: str) -> list[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return [tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)]


def counted_overlap(train: list[str], held_out: list[str]) -> Overlap:
    training_runs = {run for text in train for run in plain_runs(text)}
    runs = [run for text in held_out for run in plain_runs(text)]
    return Overlap(len(runs), sum(run in training_runs for run in runs))


def measured(train: list[str], held_out: list[str], threads: int = 2) -> Overlap:
    with documents(*train, *held_out) as spans:
        assert len(spans) == len(train) + len(held_out), "no document may be blank"
        parts = {"val": spans.chosen(slice(len(train), None))}
        overlap = measure(spans.chosen(slice(0, len(train))), parts, threads, lambda *_: None)
    return overlap["val"]


# Few words, so that runs are shared; punctuation and case between them.
word = st.sampled_from(["a", "B", "cat", "12", "漢", "字", "é", "naïve"])
mark = st.sampled_from([" ", "\n", ", ", "!? ", " - ", "' ", " _ ", "  "])
prose = st.lists(st.tuples(word, mark), min_size=1, max_size=45).map(
    lambda pairs: "".join(word + mark for word, mark in pairs)
)
copied = st.tuples(prose, prose, prose).map(
    lambda three: (three[0] + three[1], three[2] + three[1])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(prose, min_size=1, max_size=5), st.lists(prose, min_size=1, max_size=5))
def test_the_overlap_equals_a_plain_count(train: list[str], held_out: list[str]) -> None:
    assert measured(train, held_out) == counted_overlap(train, held_out)


@settings(max_examples=60, deadline=None)
@given(st.lists(copied, min_size=1, max_size=4))
def test_the_overlap_of_copied_passages_equals_a_plain_count(pairs: list[tuple[str, str]]) -> None:
    train, held_out = [one for one, _ in pairs], [other for _, other in pairs]
    assert measured(train, held_out) == counted_overlap(train, held_out)


PASSAGE = "It was the best of times, it was the worst of times, it was the age of wisdom"


def test_a_copied_passage_is_found_at_any_position() -> None:
    overlap = measured(["before and after. " + PASSAGE + " and so on"], ["Quite other: " + PASSAGE])
    words = len(WORD.findall(PASSAGE))
    assert overlap.shared == words - WORDS + 1
    assert overlap.runs == words + 2 - WORDS + 1


def test_case_and_punctuation_do_not_matter() -> None:
    other = PASSAGE.upper().replace(",", " --").replace(" ", "\n ")
    assert measured([PASSAGE], [f'"{other}!"']).share == 1


@pytest.mark.parametrize("other", ["ÉTÉ", "“Été”", "été—", "été…", "«été»", "été\u00a0"])
def test_case_and_punctuation_do_not_matter_beyond_ascii(other: str) -> None:
    text = "l un été deux été trois été quatre été cinq été six été sept été"
    assert measured([text], [text.replace("été", other)]).share == 1


def test_shuffled_words_are_not_found() -> None:
    words = [f"word{number}" for number in range(500)]
    shuffled = random.Random(1).sample(words, 500)
    assert measured([" ".join(words)], [" ".join(shuffled)]).shared == 0


def test_twelve_words_are_too_few_and_thirteen_are_enough() -> None:
    twelve = " ".join(f"w{number}" for number in range(12))
    assert measured([twelve], [twelve]) == Overlap(0, 0)
    assert measured([twelve + " x"], [twelve + " x"]) == Overlap(1, 1)
    assert measured([twelve + " x"], [twelve + " y"]) == Overlap(1, 0)


def test_a_run_never_spans_two_documents() -> None:
    words = PASSAGE.split()
    apart = [" ".join(words[:7]), " ".join(words[7:])]
    assert measured([PASSAGE], apart) == Overlap(0, 0)
    assert measured(apart, [PASSAGE]).shared == 0


def test_documents_adjacent_in_memory_do_not_join_their_words() -> None:
    words = " ".join(f"w{number}" for number in range(13))
    assert measured([words] * 3, [words] * 4) == Overlap(4, 4)
    assert measured([words], ["x", words, "ÿ", words]) == Overlap(2, 2)


def test_every_ideograph_is_a_word() -> None:
    text = "天地玄黄宇宙洪荒日月盈昃"
    assert len(text) == 12
    assert measured([text + "辰宿"], [text + "辰宿"]) == Overlap(2, 2)
    assert measured(["始め" + text + "辰"], ["終り、" + text + "辰"]).shared == 1


def test_a_latin_word_after_an_ideograph_is_a_separate_word() -> None:
    words = " ".join(f"w{number}" for number in range(13))
    assert measured([words], ["漢" + words]).shared == 1


def test_anagrams_are_different_words() -> None:
    words = ["stop", "pots", "tops", "spot", "opts", "post"] * 3
    assert measured([" ".join(words)], [" ".join(word[::-1] for word in words)]).shared == 0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_matter(threads: int) -> None:
    chance = random.Random(3)
    texts = [" ".join(chance.choices("abcde", k=60)) for _ in range(40)]
    assert measured(texts[:30], texts[30:], threads) == counted_overlap(texts[:30], texts[30:])


def test_text_of_several_chunks_is_searched_completely() -> None:
    chance = random.Random(5)
    train = [" ".join(f"{chance.randrange(10**6)}" for _ in range(100_000)) for _ in range(6)]
    held_out = " ".join(train[5].split()[-300:])
    assert measured(train, [held_out, " ".join(train[0].split()[:400])]).share == 1


def test_a_split_with_fewer_than_thirteen_words_shares_nothing() -> None:
    assert measured([PASSAGE], ["few words"]) == Overlap(0, 0)
    assert measured([PASSAGE], ["few words"]).share == 0


@pytest.mark.parametrize("most", [200, 1000, 4000])
def test_a_sample_of_runs_approximates_the_true_share(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    train = [" ".join(f"{chance.randrange(10**6)}" for _ in range(200)) for _ in range(200)]
    fresh = [" ".join(f"{chance.randrange(10**6)}" for _ in range(200)) for _ in range(100)]
    held_out = train[:50] + fresh
    whole = measured(train, held_out)
    assert not whole.sampled
    monkeypatch.setattr(overlap, "_MOST_RUNS", most)
    overlaps = measured(train, held_out)
    assert overlaps.sampled
    assert most / 4 < overlaps.runs <= most
    # Four standard errors of a sample of this size.
    error = (whole.share * (1 - whole.share) / overlaps.runs) ** 0.5
    assert abs(overlaps.share - whole.share) < 4 * error


def test_hashes_of_different_runs_are_different() -> None:
    words = [f"{number:x}" for number in range(200_000)]
    runs = runs_of_chunk(Chunk([" ".join(words)], True, 0))
    assert len(runs) == len(np.unique(runs)) == 200_000 - WORDS + 1
