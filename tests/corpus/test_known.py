"""The same parameters, epochs and tokens per parameter everywhere, once a corpus is prepared."""

from collections.abc import Callable

import pytest

from slm_tui import paths
from slm_tui.commands.presets import budget
from slm_tui.config.estimate import estimate
from slm_tui.config.preset import Preset
from slm_tui.corpus.known import cost_of, size_of
from slm_tui.corpus.prepare import cached, fingerprint, prepare
from slm_tui.corpus.statistics import plan
from slm_tui.formatting import ratio_text
from slm_tui.safe_files import write_atomically

Make = Callable[..., Preset]


def test_before_a_corpus_is_prepared_the_cost_is_the_estimate(tiny: Make) -> None:
    assert size_of(tiny()) is None
    assert cost_of(tiny()) == estimate(tiny())


def test_after_that_the_sizes_are_those_of_the_corpus(tiny: Make) -> None:
    preset = tiny(tokenizer={"kind": "bpe", "vocab_size": 2000})
    corpus = prepare(preset)
    cost, planned = cost_of(preset), plan(preset, corpus)
    assert cost.n_vocab == corpus.tokenizer.n_vocab < 2000
    assert cost.train_tokens == len(corpus.train)
    assert cost.parameters == planned.parameters
    assert cost.epochs == planned.epochs
    assert cost.tokens_per_parameter == planned.tokens_per_parameter
    shown = dict(budget(preset))
    assert shown["vocabulary"] == f"{corpus.tokenizer.n_vocab:,}"
    assert ratio_text(planned.tokens_per_parameter) in shown["tokens per parameter"]


@pytest.mark.parametrize("text", ["{}", '{"n_vocab": "9"}', "[]", "no JSON"])
def test_a_damaged_manifest_counts_as_not_prepared(tiny: Make, text: str) -> None:
    prepare(tiny())
    assert cached(tiny()) is not None
    write_atomically(paths.corpora_dir() / fingerprint(tiny()) / "manifest.json", text)
    assert size_of(tiny()) is None
