"""Trained byte-pair encoding: learned the same each time, and no run is too long for it."""

import os
import sys
import time
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import Tokenizer, long_runs, train_bpe
from slm_tui.errors import CorpusError
from tests import extent, limits
from tests.corpus.helpers import STORY, documents
from tests.corpus.strategies import knotty, quick


@quick
@given(st.lists(st.one_of(knotty, st.text(max_size=40)), max_size=12), st.integers(257, 320))
def test_training_twice_gives_the_same_tokenizer(lines: list[str], size: int) -> None:
    first, second = train_bpe(lines, size), train_bpe(iter(lines), size)
    assert first.fingerprint == second.fingerprint
    assert first.to_json() == second.to_json()
    assert 257 <= first.n_vocab <= size
    assert first.end_of_text == first.n_vocab - 1


def test_merges_do_not_cross_words() -> None:
    learned = train_bpe(["the cat sat. the cat sat. " * 50], 400)
    tokens = [learned.token_bytes(id) for id in range(256, learned.end_of_text)]
    assert b" cat" in tokens
    assert all(b" " not in token[1:] for token in tokens)


def test_a_short_text_gives_fewer_tokens_and_reports_it() -> None:
    learned = train_bpe(["ab ab"], 4096)
    assert learned.n_vocab == 258
    assert train_bpe([], 4096).n_vocab == 257


def test_a_vocabulary_too_small_for_the_bytes_is_rejected() -> None:
    with pytest.raises(CorpusError, match="257"):
        train_bpe([STORY], 256)


def test_merging_can_be_stopped_by_its_callback() -> None:
    class EnoughError(Exception):
        pass

    def enough() -> None:
        raise EnoughError

    words = (" ".join(f"word{n:x}{n * 7919:x}" for n in range(at, at + 1000)) for at in range(200))
    with pytest.raises(EnoughError):
        train_bpe(words, 30_000, merging=enough)


def test_the_merging_callback_starts_after_the_texts_are_read() -> None:
    calls: list[bool] = []
    done = False

    def slowly() -> Iterator[str]:
        nonlocal done
        for number in range(4):
            time.sleep(0.15)
            yield " ".join(f"w{n:x}" for n in range(number * 40_000, (number + 1) * 40_000))
        done = True

    train_bpe(slowly(), 8000, merging=lambda: calls.append(done))
    assert calls
    assert all(calls)


def test_an_error_while_reading_texts_ends_training_with_that_error() -> None:
    def broken() -> Iterator[str]:
        yield STORY
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        train_bpe(broken(), 300)


def test_a_pair_that_occurs_once_is_not_merged() -> None:
    assert train_bpe(["qz"], 300).n_vocab == 257
    twice = train_bpe(["qz qz"], 300)
    assert b"qz" in tokens_of(twice)
    assert b"zq" not in tokens_of(twice)


def test_no_token_is_longer_than_thirty_two_symbols() -> None:
    learned = train_bpe(["-" * 5000 + " " + "ab" * 3000 + " " + "漢字" * 2000] * 3, 900)
    assert max(map(len, tokens_of(learned))) <= 32


def tokens_of(learned: Tokenizer) -> list[bytes]:
    return [learned.token_bytes(id) for id in range(learned.end_of_text)]


@quick
@given(st.lists(knotty, min_size=1, max_size=12), st.integers(1, 60))
def test_the_chunks_of_the_documents_do_not_matter(lines: list[str], size: int) -> None:
    with documents(*lines) as spans:
        parts = [text for chunk in spans.chunks(size) for text in chunk.texts]
        whole = list(spans.texts())
    assert train_bpe(parts, 300).fingerprint == train_bpe(whole, 300).fingerprint


def test_another_process_learns_the_same_merges() -> None:
    program = (
        "from slm_tui.corpus.tokenizers import train_bpe\n"
        "words = [f'w{n * n % 977:x} and {n % 131:o}s' for n in range(20_000)]\n"
        "print(train_bpe(words, 2000).fingerprint)\n"
    )
    result = set()
    for seed, threads in (("1", "1"), ("2", "4"), ("3", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        done = limits.run([sys.executable, "-c", program], env=environment, capture_output=True)
        result.add(done.stdout)
    assert len(result) == 1


def test_training_accepts_surrogates_and_very_long_words() -> None:
    learned = train_bpe(["a" * 300_000, " " * 300_000, "\ud800"], 300)
    assert learned.token_bytes(256) in {b"aa", b"  "}


# Runs without a break.


@extent.sample(9)
@pytest.mark.parametrize("name", ["bpe", "chars", "gpt2-50257"])
@pytest.mark.parametrize("unit", ["a", " ", "\n \t", "é", "7", "!_", "\x1c!", "a1", "漢"])
def test_a_megabyte_without_a_break_round_trips(
    every_tokenizer: dict[str, Tokenizer], name: str, unit: str
) -> None:
    text = f"one {unit * (1_000_000 // len(unit))} two"
    assert every_tokenizer[name].decode_bytes(every_tokenizer[name].encode(text)) == text.encode()


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from("a é!\n_7漢"), st.integers(1, 3 * long_runs.LONGEST)),
        max_size=6,
    )
)
def test_only_runs_above_the_limit_are_split(runs: list[tuple[str, int]]) -> None:
    text = "".join(char * count for char, count in runs)
    parts = long_runs.cut(text)
    assert "".join(parts) == text
    classes = [_class(char) for char in text]
    longest, at = [0] * (len(text) + 1), 0
    for end in range(1, len(text) + 1):
        if end == len(text) or classes[end] != classes[at]:
            longest[at:end] = [end - at] * (end - at)
            at = end
    place = 0
    for part in parts[:-1]:
        place += len(part)
        assert classes[place - 1] == classes[place]
        assert longest[place] > long_runs.LONGEST
    if all(length <= long_runs.LONGEST for length in longest):
        assert parts == [text]
    for part in parts:
        kinds = "".join(_class(char) for char in part)
        assert all(kind * (long_runs.LONGEST + 1) not in kinds for kind in "wso")


def _class(char: str) -> str:
    if char.isspace():
        return "s"
    return "w" if unicodedata.category(char)[0] in "LN" else "o"
