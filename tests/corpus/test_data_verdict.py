"""Verdicts: what is reported about a text follows from its content."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.data_verdict import DataVerdict, verdicts
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.statistics import measure, plan
from slm_tui.corpus.tokenizers import from_json, train_bpe
from slm_tui.corpus.tokenizers.analysis import analyse

Tiny = Callable[..., Preset]


def verdicts_by_topic(preset: Preset) -> dict[str, DataVerdict]:
    corpus = prepare(preset)
    return {one.topic: one for one in verdicts(preset, measure(corpus), plan(preset, corpus))}


def of_text(tiny: Tiny, tmp_path: Path, documents: list[str], **changes: object) -> Preset:
    path = tmp_path / "text.txt"
    path.write_text("<|endoftext|>".join(documents))
    data = {"kind": "file", "path": str(path), "split": {"validation": 0.3}}
    return tiny(data=data, **changes)


def distinct(count: int) -> list[str]:
    return [" ".join(f"w{n * 31 + word}" for word in range(40)) for n in range(count)]


def test_enough_text_is_reported_as_enough(tiny: Tiny, tmp_path: Path) -> None:
    result = verdicts_by_topic(of_text(tiny, tmp_path, distinct(900)))
    assert result["size"].is_fine
    assert "enough text" in result["size"].text
    assert "no leak" in result["leakage"].text


def test_little_text_seen_often_is_reported_as_too_little(tiny: Tiny, tmp_path: Path) -> None:
    preset = of_text(tiny, tmp_path, distinct(40), training__max_steps=5000)
    assert "too little text" in verdicts_by_topic(preset)["size"].text


def test_a_passage_in_both_splits_is_a_leak(tiny: Tiny, tmp_path: Path) -> None:
    documents = distinct(60)
    documents[-1] += " " + documents[0]
    result = verdicts_by_topic(of_text(tiny, tmp_path, documents))["leakage"]
    assert not result.is_fine
    assert result.text.startswith("leak:")


def test_copies_are_counted(tiny: Tiny, tmp_path: Path) -> None:
    result = verdicts_by_topic(
        of_text(tiny, tmp_path, [*distinct(60), distinct(60)[0], distinct(60)[1]])
    )
    assert result["duplicates"].text.startswith("2 copies")


def test_shared_word_runs_of_stories_are_expected(tiny: Tiny) -> None:
    result = verdicts_by_topic(tiny(data__documents=400))["leakage"]
    assert result.is_fine
    assert "as expected" in result.text


def test_a_validation_split_below_a_window_comes_first(tiny: Tiny, tmp_path: Path) -> None:
    preset = of_text(tiny, tmp_path, distinct(20))
    values = preset.to_dict()
    values["data"]["split"]["validation"] = 0.001
    values["model"]["block_size"] = 512
    preset = parse(values, "it")
    corpus = prepare(preset)
    first = verdicts(preset, measure(corpus), plan(preset, corpus))[0]
    assert first.topic == "validation"
    assert "data.split.validation" in first.why


# What a byte-pair encoding has learned

TEXT = "the cat sat on the mat, the dog sat on the log. " * 40 + "zebra crossing " * 3


def test_the_first_merges_form_the_first_tokens() -> None:
    tokenizer = train_bpe([TEXT], 290)
    analysis = analyse(tokenizer, TEXT)
    assert analysis is not None
    for merge in analysis.merges:
        assert merge.left + merge.right == tokenizer.token_bytes(merge.id)
    # The most frequent pair of this text is learned first.
    assert analysis.merges[0].left + analysis.merges[0].right in (b"at", b" t", b"he", b"th")
    ids = {tokenizer.token_bytes(id): id for id in range(tokenizer.end_of_text)}
    assert all(ids[one.left] < one.id and ids[one.right] < one.id for one in analysis.merges)


def test_a_larger_vocabulary_has_longer_tokens() -> None:
    tokenizer = train_bpe([" ".join(f"word{n * n}" for n in range(3000))], 1200)
    analysis = analyse(tokenizer, "word49 word64 word81")
    assert analysis is not None
    sizes = [size for size, _ in analysis.sizes]
    values = [value for _, value in analysis.sizes]
    assert sizes == [257, 512, 1024, tokenizer.n_vocab]
    assert values == sorted(values)
    assert values[0] == 1.0


def test_examples_are_tokenized_like_text() -> None:
    tokenizer = train_bpe([TEXT], 300)
    analysis = analyse(tokenizer, TEXT)
    assert analysis is not None
    for word, cut in analysis.examples:
        assert b"".join(cut) == f" {word}".encode()
        assert [tokenizer.token_bytes(id) for id in tokenizer.encode(f" {word}")] == list(cut)


@pytest.mark.parametrize("text", ["", "1 2 3", "\n\n"])
def test_a_text_without_words_is_not_an_error(text: str) -> None:
    tokenizer = from_json(train_bpe(["abc"], 257).to_json())
    analysis = analyse(tokenizer, text)
    assert analysis is not None
    assert analysis.examples == ()
