"""Steps whose tensors stay where they are, as CUDA graphs need them: the same texts.

Without a GPU the same operations run on the CPU, and a stand-in that runs them again takes the
place of the captured graph.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from slm_tui.generation import engine as engines
from slm_tui.generation import replayed_steps
from slm_tui.generation.engine import Continuation, Engine
from slm_tui.generation.replayed_steps import (
    ReplayedSteps,
    claim,
    problem_of,
    rounded_count,
    rounded_length,
)
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel
from tests import extent
from tests.generation.test_engine import BLOCK, GREEDY, PENALISED, SAMPLED, model_of
from tests.models.test_gpt import SWITCHES, named

END = 3


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines use fixed tensors, without graphs."""
    monkeypatch.setattr(engines, "claim", functools.partial(claim, replays=False))


def texts_of(model: LanguageModel, settings: SamplingSettings, **options: Any) -> list[list[int]]:
    """Texts of different lengths, some of which end early and make room for others."""
    prompts = [[1], [5, 9, 2], list(range(10, 10 + BLOCK + 3)), [7, 7], [4] * (BLOCK - 1)]
    texts = [Continuation(list(prompt), seed) for seed, prompt in enumerate(prompts)]
    engine = Engine(model, texts, settings, END, **options)
    while engine.step():
        pass
    assert all(text.ended for text in texts)
    return [text.ids for text in texts]


@extent.sample(6)
@pytest.mark.parametrize("at_once", [1, 3, 5])
@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_texts_are_the_same(
    monkeypatch: pytest.MonkeyPatch, switches: dict[str, object], at_once: int
) -> None:
    model = model_of(**switches)
    for settings in (GREEDY, SAMPLED):
        expected = texts_of(model, settings, at_once=at_once)
        with monkeypatch.context() as patch:
            patch.setattr(engines, "claim", functools.partial(claim, replays=False))
            assert texts_of(model, settings, at_once=at_once) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"ngram_order": 3, "ngram_rows": 50},
        {"value_embeddings": True},
        {"n_kv_head": 1},
    ],
    ids=["n-grams", "values", "groups"],
)
def test_texts_of_other_embeddings_and_shared_heads_are_the_same(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    model = model_of(**changes)
    expected = texts_of(model, SAMPLED)
    monkeypatch.setattr(engines, "claim", functools.partial(claim, replays=False))
    assert texts_of(model, SAMPLED) == expected


def test_two_engines_of_a_model_do_not_disturb_each_other(fixed: None) -> None:
    model = model_of()
    alone = texts_of(model, SAMPLED)
    texts = [[Continuation([1], 0)], [Continuation([5, 9, 2], 1)]]
    both = [Engine(model, one, SAMPLED, END) for one in texts]
    while any(not one[0].ended for one in texts):
        for engine in both:
            engine.step()
    assert [one[0].ids for one in texts] == alone[:2]


def test_the_next_engine_uses_the_same_tensors(fixed: None) -> None:
    """Capturing graphs anew for every message would take longer than most answers."""
    model = model_of()
    first = Engine(model, [Continuation([1], 0)], SAMPLED, None)
    used = first._replayed
    first.step()
    del first
    again = Engine(model, [Continuation([2], 0)], SAMPLED.with_(seed=9, max_tokens=3), None)
    assert again._replayed is used
    # Ended, but not dropped.
    while again.step():
        pass
    assert Engine(model, [Continuation([2], 0)], SAMPLED, None)._replayed is used
    other = Engine(model, [Continuation([2], 0)], SAMPLED.with_(top_k=3), None)
    assert other._replayed is not used


def test_moved_weights_are_not_read_from_their_old_place(fixed: None) -> None:
    model = model_of()
    used = Engine(model, [Continuation([1], 0)], GREEDY, None)._replayed
    weight = next(model.parameters())
    weight.data = weight.data.clone()
    assert Engine(model, [Continuation([1], 0)], GREEDY, None)._replayed is not used


def test_steps_are_not_fixed_where_they_would_differ() -> None:
    model = model_of()
    assert claim(model, SAMPLED, 1) is None  # on a CPU
    assert claim(model, PENALISED, 1, replays=False) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert claim(model, SAMPLED, 1, replays=False) is None
    assert claim(model.train(), SAMPLED, 1, replays=False) is None


def test_without_memory_for_a_second_cache_texts_are_written_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(ReplayedSteps, "__init__", full)
    assert claim(model_of(), SAMPLED, 1, replays=False) is None


def test_the_memory_of_unused_steps_can_be_freed(fixed: None) -> None:
    model = model_of()
    first = Engine(model, [Continuation([1], 0)], SAMPLED, None)
    used = first._replayed
    del first
    replayed_steps.forget(model)
    assert Engine(model, [Continuation([1], 0)], SAMPLED, None)._replayed is not used


def test_shapes_are_rounded() -> None:
    assert [rounded_count(texts) for texts in (1, 2, 3, 5, 64, 65)] == [1, 2, 4, 8, 64, 128]
    lengths = (1, 64, 65, 200, 256, 300)
    assert [rounded_length(tokens, 300) for tokens in lengths] == [64, 64, 128, 256, 256, 300]


class FakeGraph:
    """Runs what was captured again."""

    def __init__(self) -> None:
        self.replay: Callable[[], object] = lambda: None


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    """Stand-ins for torch's graphs; a capture records and computes nothing, as on a GPU."""
    made: list[FakeGraph] = []
    running: list[Callable[[], object]] = []
    whole = ReplayedSteps._run

    def run(steps: ReplayedSteps, most: int) -> None:
        if running:
            running[0] = functools.partial(whole, steps, most)
        else:
            whole(steps, most)

    class Stream:
        def __init__(self, _: object) -> None: ...

        def wait_stream(self, _: object) -> None: ...

    @contextmanager
    def capture(graph: FakeGraph, **_: object) -> Iterator[None]:
        running.append(lambda: None)
        yield
        graph.replay = running.pop()
        made.append(graph)

    @contextmanager
    def within(_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(ReplayedSteps, "_run", run)
    monkeypatch.setattr(engines, "claim", functools.partial(claim, replays=True))
    for name, stand_in in {
        "CUDAGraph": FakeGraph,
        "graph": capture,
        "Stream": Stream,
        "stream": within,
        "current_stream": Stream,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return made


def launched(
    monkeypatch: pytest.MonkeyPatch, model: LanguageModel, settings: SamplingSettings
) -> list[list[int]]:
    """The texts of ordinary steps."""
    with monkeypatch.context() as patch:
        patch.setattr(engines, "claim", claim)
        return texts_of(model, settings)


def test_captured_steps_give_the_same_texts(
    graphs: list[FakeGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(block_size=200)
    settings = SAMPLED.with_(max_tokens=150)
    expected = launched(monkeypatch, model, settings)
    assert not graphs
    assert texts_of(model, settings) == expected
    assert problem_of(model) == ""
    # One for each rounded length, and none for the second message.
    count = len({rounded_length(length, 200) for length in range(1, max(map(len, expected)))})
    assert len(graphs) == count > 1
    assert texts_of(model, settings) == expected
    assert len(graphs) == count


def test_a_replay_that_differs_is_not_used(
    graphs: list[FakeGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    expected = launched(monkeypatch, model, SAMPLED)
    monkeypatch.setattr(replayed_steps, "_SAME", -1.0)
    assert texts_of(model, SAMPLED) == expected
    assert "differ by" in problem_of(model)
    # It is not tried again for this model.
    assert claim(model, SAMPLED, 1, replays=True) is None


def test_a_capture_that_fails_is_told_and_the_text_goes_on(
    graphs: list[FakeGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    expected = launched(monkeypatch, model, SAMPLED)

    @contextmanager
    def failing(graph: object, **_: object) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "graph", failing)
    monkeypatch.setattr(ReplayedSteps, "_run", ReplayedSteps._run)
    assert texts_of(model, SAMPLED) == expected
    assert problem_of(model) == "operation not permitted when stream is capturing"
