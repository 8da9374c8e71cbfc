"""Batches of texts: each equals the text generated alone, a prompt takes one pass, and
probabilities are exact."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from slm_tui.config.model import GptModel
from slm_tui.generation.engine import Continuation, Engine, spread_over_threads, texts_at_once
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests import extent
from tests.generation.test_engine import (
    BLOCK,
    CPU,
    GREEDY,
    PENALISED,
    SAMPLED,
    model_of,
    next_ids,
)
from tests.models.test_gpt import SWITCHES, named


class Counted:
    """Counts the passes of a model, and the tokens in each: `(texts, time)`."""

    def __init__(self, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[tuple[int, ...]] = []
        step = model.step

        def counted(ids: Tensor, state: Any, lengths: Sequence[int] | None = None) -> Tensor:
            self.passes.append(tuple(ids.shape))
            return step(ids, state, lengths)

        monkeypatch.setattr(model, "step", counted)


def written(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    end_of_text: int | None = None,
    **options: Any,
) -> list[Continuation]:
    """Texts with consecutive seeds, all at once."""
    texts = [Continuation(list(ids), settings.seed + at) for at, ids in enumerate(prompts)]
    engine = Engine(model, texts, settings, end_of_text, **options)
    while engine.step():
        assert len(engine._rows) <= engine._at_once
    return texts


def prompts_of(*lengths: int) -> list[list[int]]:
    return [[(5 * place + 3 * at) % 61 for place in range(n)] for at, n in enumerate(lengths)]


LENGTHS = (1, 5, BLOCK, BLOCK - 1, 30, 2, 7, BLOCK + 1)


@extent.sample(2)
@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("chosen", [GREEDY, SAMPLED, PENALISED], ids=["greedy", "drawn", "penal"])
def test_batched_texts_equal_separate_ones(chosen: SamplingSettings, position: str) -> None:
    """Different lengths, so that their windows slide at different times; some end early."""
    model, prompts = model_of(position=position), prompts_of(*LENGTHS)
    # A token that some of them sample, at different times.
    for end in (None, 18):
        alone = [
            written(model, [ids], chosen.with_(seed=chosen.seed + at), end)[0]
            for at, ids in enumerate(prompts)
        ]
        for options in ({"at_once": 8}, {"at_once": 3}, {"at_once": 1}, {}, {"cached": False}):
            assert written(model, prompts, chosen, end, **options) == alone


def test_batched_texts_end_at_different_times() -> None:
    texts = written(model_of(), prompts_of(*LENGTHS), SAMPLED, 18)
    grown = {len(text.ids) - n for text, n in zip(texts, LENGTHS, strict=True)}
    assert {text.ended for text in texts} == {"end of text", "max tokens"}
    assert len(grown) > 2


@extent.sample(6)
@pytest.mark.parametrize("switches", SWITCHES[::3], ids=named)
def test_batched_texts_equal_separate_ones_for_every_option(
    switches: dict[str, object],
) -> None:
    model, prompts = model_of(**switches), prompts_of(1, 9, 14, 4)
    alone = [written(model, [ids], SAMPLED.with_(seed=5 + at))[0] for at, ids in enumerate(prompts)]
    assert written(model, prompts, SAMPLED) == alone


def test_a_prompt_costs_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(block_size=64)
    counted = Counted(model, monkeypatch)
    written(model, prompts_of(40), SAMPLED.with_(max_tokens=10))
    assert counted.passes == [(1, 40), *[(1, 1)] * 9]
    counted.passes.clear()
    written(model, prompts_of(3, 40, 7), SAMPLED.with_(max_tokens=10))
    assert counted.passes == [(3, 40), *[(3, 1)] * 9]


def test_samples_of_one_prompt_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(block_size=64)
    counted = Counted(model, monkeypatch)
    prompt, other = prompts_of(40, 41)
    texts = written(model, [prompt, other, prompt, prompt], SAMPLED.with_(max_tokens=10))
    assert counted.passes == [(2, 41), *[(4, 1)] * 9]
    assert len({tuple(text.ids) for text in texts}) == 4


def test_a_sliding_window_is_read_again_once_per_stride(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(block_size=16)
    counted = Counted(model, monkeypatch)
    written(model, prompts_of(16), SAMPLED.with_(max_tokens=33))
    # The stride is 4: 13 tokens are read, then one for each generated token.
    assert counted.passes == [(1, 16), *[(1, 13), (1, 1), (1, 1), (1, 1)] * 8]


def test_seeds_reproduce_whatever_the_batch_size() -> None:
    model, (prompt,) = model_of(), prompts_of(5)
    alone = [list(next_ids(model, prompt, SAMPLED.with_(seed=5 + n), None)) for n in range(8)]
    for many in (1, 3, 8):
        for at_once in (1, 2, 8):
            texts = written(model, [prompt] * many, SAMPLED, at_once=at_once)
            assert [text.ids[5:] for text in texts] == alone[:many]


def test_a_continued_text_equals_one_generated_in_one_go() -> None:
    model, (prompt, other) = model_of(), prompts_of(5, 9)
    whole = list(next_ids(model, prompt, SAMPLED, None))
    for cut in (1, 7, 13):
        texts = [Continuation(list(prompt), SAMPLED.seed), Continuation(list(other), 1)]
        while len(texts[0].ids) < len(prompt) + len(whole):
            left = len(prompt) + len(whole) - len(texts[0].ids)
            texts[0].ended = ""
            engine = Engine(model, texts, SAMPLED.with_(max_tokens=min(cut, left)), None)
            while engine.step():
                pass
            assert texts[0].ended == "max tokens"
        assert texts[0].ids[5:] == whole


def test_texts_that_ended_before_they_started_are_skipped() -> None:
    texts = [Continuation([1], at, ended="stopped" if at < 3 else "") for at in range(5)]
    engine = Engine(model_of(), texts, GREEDY.with_(max_tokens=4), None, at_once=1)
    while engine.step():
        pass
    assert [len(text.ids) for text in texts] == [1, 1, 1, 5, 5]


def test_a_caller_can_end_one_of_the_texts() -> None:
    model, prompts = model_of(), prompts_of(3, 8, 5)
    whole = written(model, prompts, SAMPLED)
    texts = [Continuation(list(ids), SAMPLED.seed + at) for at, ids in enumerate(prompts)]
    engine = Engine(model, texts, SAMPLED, None)
    for _ in range(4):
        assert engine.step() == texts
    texts[1].ended = "stop string"
    while grown := engine.step():
        assert texts[1] not in grown
    assert texts[1].ids == whole[1].ids[: 8 + 4]
    assert [texts[0], texts[2]] == [whole[0], whole[2]]


def test_the_number_of_concurrent_texts_is_limited_by_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from slm_tui.generation import engine

    model = model_of()
    size = model.start(1).nbytes
    assert texts_at_once(model) == 32
    monkeypatch.setattr(engine, "_MOST_STATE_BYTES", size * 5 + 1)
    assert texts_at_once(model) == 5
    monkeypatch.setattr(engine, "_MOST_STATE_BYTES", 1)
    assert texts_at_once(model) == 1


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sharing_passes_among_threads_changes_no_text(threads: int, bias: bool) -> None:
    model, prompts = model_of(activation="swiglu", bias=bias), prompts_of(3, 8, 14)
    texts = [written(model, [prompt], SAMPLED) for prompt in prompts]
    spread_over_threads(model)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert [written(model, [prompt], SAMPLED) for prompt in prompts] == texts
        ids = torch.tensor([[4]])
        plain = model_of(activation="swiglu", bias=bias)
        assert torch.allclose(model(ids), plain(ids), atol=1e-4, rtol=1e-4)
    finally:
        torch.set_num_threads(before)


def test_an_undone_draw_is_repeated_identically() -> None:
    whole = written(model_of(), [[4, 9]], SAMPLED)[0].ids
    text = Continuation([4, 9], SAMPLED.seed)
    engine = Engine(model_of(), [text], SAMPLED.with_(max_tokens=10), None)
    for _ in range(5):
        engine.step()
    text.ids.pop()
    text.draws -= 1
    again = Engine(model_of(), [text], SAMPLED, None)
    while again.step():
        pass
    assert text.ids[: len(whole)] == whole


# The 99.9th percentiles of chi-squared.
CRITICAL = {4: 18.47, 60: 99.61}


@pytest.mark.parametrize(
    ("chosen", "freedom"),
    [
        (SamplingSettings(temperature=3.0), 60),
        (SamplingSettings(temperature=3.0, top_k=5), 4),
        (SamplingSettings(temperature=2.0, top_p=0.5), None),
    ],
    ids=["all", "top-k", "top-p"],
)
def test_many_samples_of_a_prompt_follow_the_models_probabilities(
    chosen: SamplingSettings, freedom: int | None
) -> None:
    """One token each, in batches, with consecutive seeds: against the softmax by definition."""
    model = build(GptModel(n_layer=1, n_head=2, n_embd=16, block_size=BLOCK), 61, CPU, 3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
        logits = model(torch.tensor([[4, 9, 2]]))[0, -1].double() / chosen.temperature
    ranked = logits.argsort(descending=True)
    chances = torch.softmax(logits, 0)
    if chosen.top_k:
        ranked = ranked[: chosen.top_k]
    if chosen.top_p:
        mass = chances[ranked].cumsum(0)
        ranked = ranked[: int((mass < chosen.top_p).sum()) + 1]
    allowed = chances[ranked] / chances[ranked].sum()
    many = 6000
    texts = written(model, [[4, 9, 2]] * many, chosen.with_(max_tokens=1), at_once=500)
    counts = torch.bincount(torch.tensor([text.ids[-1] for text in texts]), minlength=61)
    assert int(counts.sum()) == int(counts[ranked].sum()) == many
    expected = allowed * many
    assert float(expected.min()) > 5
    statistic = float(((counts[ranked] - expected) ** 2 / expected).sum())
    degrees = len(ranked) - 1
    assert freedom is None or degrees == freedom
    # Wilson and Hilferty's approximation of the same percentile.
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * (2 / (9 * degrees)) ** 0.5) ** 3
    assert statistic < CRITICAL.get(degrees, limit)
