"""Embeddings of n-grams: which tokens they depend on, and that generating gives the same."""

import pytest
import torch

from slm_tui.generation.engine import Continuation, Engine
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.ngrams import NgramEmbeddings
from tests.models.test_gpt import model_of, some_ids

V = 61


def embeddings(order: int, rows: int) -> NgramEmbeddings:
    made = NgramEmbeddings(order, rows, V, 8)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for table in made.tables:
            table.copy_(torch.randn(table.shape, generator=generator))
    return made


@pytest.mark.parametrize("order", [2, 3, 5])
def test_an_embedding_depends_on_exactly_the_last_tokens(order: int) -> None:
    made, ids = embeddings(order, 509), some_ids(1)
    before = made(ids)
    for changed in range(12):
        other = ids.clone()
        other[0, changed] = (other[0, changed] + 1) % V
        differs = (made(other) != before).any(-1)[0].nonzero().flatten().tolist()
        assert differs == list(range(changed, min(12, changed + order)))


def test_each_pair_has_its_own_row_if_there_are_enough() -> None:
    made = embeddings(2, (V + 1) ** 2)
    pairs = torch.cartesian_prod(torch.arange(V), torch.arange(V))
    rows = made._row((pairs[:, 1] + 1) * (V + 1) + pairs[:, 0] + 1, 2)
    assert len(rows.unique()) == V * V


def test_few_rows_are_shared_evenly() -> None:
    made = embeddings(3, 1000)
    codes = torch.arange((V + 1) ** 3)
    counts = made._row(codes, 3).bincount(minlength=1000)
    assert counts.min() > 0.7 * len(codes) / 1000
    assert counts.max() < 1.3 * len(codes) / 1000


@pytest.mark.parametrize("position", ["rope", "learned"])
def test_generating_token_by_token_gives_the_logits_of_the_whole_text(position: str) -> None:
    model, ids = model_of(position=position, ngram_order=4, ngram_rows=97), some_ids()
    with torch.no_grad():
        whole = model(ids)
        state = model.start(3)
        torch.testing.assert_close(model.step(ids[:, :5], state), whole[:, 4])
        for at in range(5, 12):
            torch.testing.assert_close(model.step(ids[:, at : at + 1], state), whole[:, at])


def test_texts_of_different_lengths_keep_their_own_last_tokens() -> None:
    model, ids = model_of(ngram_order=4, ngram_rows=97), some_ids()
    lengths = [2, 6, 1]
    with torch.no_grad():
        state = model.start(3)
        first = model.step(ids[:, :6], state, lengths)
        following = torch.stack([ids[text, at] for text, at in enumerate(lengths)])[:, None]
        second = model.step(following, state)
        for text, length in enumerate(lengths):
            alone = model(ids[text : text + 1, : length + 1])[0]
            torch.testing.assert_close(first[text], alone[length - 1])
            torch.testing.assert_close(second[text], alone[length])


def test_states_can_be_taken_and_joined() -> None:
    model, ids = model_of(ngram_order=3, ngram_rows=97), some_ids()
    with torch.no_grad():
        state = model.start(3)
        model.step(ids[:, :4], state)
        expected = model(ids[:, :5])[:, 4]
        joined = state.take([2]).joined(state.take([0, 1]))
        next_ids = ids[[2, 0, 1], 4:5]
        torch.testing.assert_close(model.step(next_ids, joined), expected[[2, 0, 1]])


@pytest.mark.parametrize("order", [0, 1])
def test_without_them_a_model_has_the_same_weights_as_before(order: int) -> None:
    plain, off = model_of(), model_of(ngram_order=order, ngram_rows=5)
    assert list(plain.state_dict()) == list(off.state_dict())
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, off.state_dict()[name])


def test_texts_written_together_equal_those_written_alone_beyond_the_context() -> None:
    model = model_of(ngram_order=4, ngram_rows=97)
    prompts = [[5, 9, 2, 40], [17], list(range(15))]
    together = [Continuation(list(ids), 3 + at) for at, ids in enumerate(prompts)]
    alone = [Continuation(list(ids), 3 + at) for at, ids in enumerate(prompts)]
    sampling = SamplingSettings(max_tokens=20)
    for texts in (together, *([one] for one in alone)):
        engine = Engine(model, texts, sampling, None)
        while engine.step():
            pass
    assert [one.ids for one in together] == [one.ids for one in alone]
