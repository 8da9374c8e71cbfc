"""Subwords for comparison: learned from the training text of a corpus."""

from collections.abc import Callable

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.subwords import VOCABULARY, SubwordSplitter


def test_frequent_words_of_the_corpus_are_single_subwords(tiny: Callable[..., Preset]) -> None:
    corpus = prepare(tiny(data__documents=300))
    text = b"Once upon a time there was caf\xc3\xa9"
    cut = SubwordSplitter().split(corpus.fingerprint, text)
    assert cut is not None
    assert cut.vocabulary <= VOCABULARY
    assert cut.starts[:3] == (0, len(b"Once"), len(b"Once upon"))
    assert len(cut.starts) < len(text) / 2
    assert all(a < b < len(text) for a, b in zip(cut.starts, cut.starts[1:], strict=False))


def test_a_corpus_that_is_gone_has_none_and_another_one_is_learned_anew(
    tiny: Callable[..., Preset],
) -> None:
    splitter = SubwordSplitter()
    assert splitter.split("0" * 16, b"Once upon") is None
    corpus = prepare(tiny())
    assert splitter.split(corpus.fingerprint, b"Once upon") is not None
    assert splitter.split(corpus.fingerprint, b"") is not None
