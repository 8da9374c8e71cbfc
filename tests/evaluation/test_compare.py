"""Tables of several models: the same bytes, baselines, the floor, and what is noise."""

from typing import Any

import pytest
import torch

from slm_tui.corpus.prepare import Corpus, prepare
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.tokenizers import Tokenizer, byte_tokenizer, train_bpe
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.compare import (
    Comparison,
    ComparisonData,
    ComparisonRow,
    ScoredModel,
    compare,
    smallest_context,
)
from slm_tui.evaluation.scored_text import ScoredText, decoded
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests.conftest import make_tiny

CPU = torch.device("cpu")
STORIES = [f"Once there was a cat of {number} years. It sat on the mat." for number in range(30)]


def model_of(tokenizer: Tokenizer, seed: int, steps: int = 0) -> LanguageModel:
    """A small model, trained for a few steps on the stories above."""
    model = build(make_tiny(model__block_size=32).model, tokenizer.n_vocab, CPU, seed)
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    end = tokenizer.end_of_text
    texts = [[end, *tokenizer.encode(one), end][:33] for one in STORIES]
    length = min(map(len, texts))
    ids = torch.tensor([one[:length] for one in texts])
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(ids[:, :-1], ids[:, 1:]).total.backward()
        optimizer.step()
    return model.eval()


def subject(name: str, tokenizer: Tokenizer, seed: int, steps: int = 0) -> ScoredModel:
    return ScoredModel(name, tokenizer, 32, lambda: model_of(tokenizer, seed, steps))


def text(documents: list[str] = STORIES) -> ScoredText:
    return ScoredText("stories", [one.encode() for one in documents], len(documents))


def rows(comparison: Comparison) -> dict[str, ComparisonRow]:
    return {row.name: row for row in comparison.rows}


def compared(*subjects: ScoredModel, on: ScoredText | None = None, **options: Any) -> Comparison:
    on = on or text()
    return compare(subjects, on, ComparisonData(on.documents), Meter(), resamples=500, **options)


def test_a_trained_model_is_significantly_better_than_an_untrained_one() -> None:
    tokenizer = byte_tokenizer()
    comparison = rows(compared(subject("new", tokenizer, 1), subject("trained", tokenizer, 1, 60)))
    assert (comparison["trained"].rank, comparison["new"].rank) == (1, 2)
    assert comparison["new"].is_noise is False
    assert comparison["new"].difference_interval is not None
    assert comparison["new"].difference_interval[0] > 0
    assert comparison["uniform"].bits_per_byte == 8
    assert comparison["bigram"].bits_per_byte < comparison["unigram"].bits_per_byte < 8
    assert comparison["bigram"].interval is not None
    assert comparison["lzma"].interval is None
    assert comparison["trained"].bits_per_byte < comparison["unigram"].bits_per_byte


def test_a_model_differs_from_itself_only_by_noise() -> None:
    tokenizer = byte_tokenizer()
    comparison = compared(subject("one", tokenizer, 1), subject("two", tokenizer, 1)).models
    assert [row.is_noise for row in comparison] == [None, True]
    assert comparison[1].difference == 0


def test_tokenizers_are_compared_on_the_same_bytes() -> None:
    bpe = train_bpe(STORIES, 300)
    subjects = [subject("bytes", byte_tokenizer(), 1), subject("bpe", bpe, 1)]
    comparison = compared(*subjects)
    counted = [row.scores.bytes.sum() for row in comparison.models if row.scores]
    assert counted == [comparison.bytes] * 2 == [sum(len(one) for one in STORIES)] * 2
    assert comparison.context_bytes == 32 == smallest_context(subjects, text())
    tokens = {row.name: row.scores.tokens.sum() for row in comparison.models if row.scores}
    assert tokens["bpe"] < tokens["bytes"] == comparison.bytes + len(STORIES)


def test_few_documents_are_split_into_blocks_and_tiny_texts_have_no_interval() -> None:
    tokenizer = byte_tokenizer()
    one = compared(subject("a", tokenizer, 1), on=text([" ".join(STORIES * 3)]))
    assert one.unit.startswith("blocks")
    assert one.models[0].interval is not None
    little = compared(subject("a", tokenizer, 1), subject("b", tokenizer, 2), on=text(STORIES[:3]))
    assert (little.unit, little.resamples) == ("", 0)
    assert [row.is_noise for row in little.models] == [None, None]


def test_a_broken_model_ranks_last_and_does_not_affect_the_others() -> None:
    def broken() -> LanguageModel:
        model = model_of(byte_tokenizer(), 1)
        with torch.no_grad():
            next(model.parameters()).fill_(float("nan"))
        return model

    tokenizer = byte_tokenizer()
    comparison = compared(
        ScoredModel("broken", tokenizer, 32, broken), subject("sound", tokenizer, 1)
    )
    assert comparison.rows[-1].name == "broken"
    assert comparison.rows[-1].interval is None
    assert rows(comparison)["sound"].interval is not None


def test_without_text_there_is_nothing_to_evaluate() -> None:
    with pytest.raises(SlmTuiError, match="nothing to evaluate"):
        compared(subject("a", byte_tokenizer(), 1), on=text([""]))


@pytest.fixture
def corpus() -> Corpus:
    return prepare(make_tiny(data__split={"validation": 0.1, "test": 0.1}))


def test_a_stored_split_scores_like_its_encoded_bytes(corpus: Corpus) -> None:
    stored = ScoredText.of_corpus(corpus, "val")
    encoded = stored.encoded(corpus.tokenizer)
    again = ScoredText("again", stored.documents, stored.whole).encoded(corpus.tokenizer)
    assert len(encoded) == len(again) == stored.whole
    assert all(encoded[at].tolist() == again[at].tolist() for at in range(len(encoded)))
    # Every token of the split but the first is a target.
    targets = sum(len(encoded[at]) - 1 for at in range(len(encoded)))
    assert targets == len(corpus.val) - 1
    assert sum(map(len, stored.documents)) == corpus.manifest["parts"]["val"]["bytes"]


def test_the_floor_matches_the_stories_and_is_below_every_model(corpus: Corpus) -> None:
    from slm_tui.runs.evaluation_text import comparison_data_of

    part = ScoredText.of_corpus(corpus, "val")
    data = comparison_data_of(part, corpus, Meter())
    comparison = compare([subject("a", byte_tokenizer(), 1)], part, data, Meter(), resamples=500)
    floor = rows(comparison)["floor"]
    assert floor.bits_per_byte == pytest.approx(corpus.floor)
    assert floor.interval is not None
    model = comparison.models[0]
    assert model.interval is not None
    assert floor.interval[1] < model.interval[0]
    assert list(decoded(corpus.train, corpus.tokenizer)) == list(data.training)


def test_documents_are_spread_evenly_and_bounded() -> None:
    some = text().spread(3, 10_000)
    assert [one.decode() for one in some.documents] == [STORIES[0], STORIES[14], STORIES[29]]
    few = text().spread(30, 70)
    assert sum(map(len, few.documents)) == 70
    assert few.is_open
