"""The inspector: surprisal, candidates, other checkpoints and counts, as they arrive."""

import time
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from slm_tui.corpus.prepare import prepare
from slm_tui.generation.completions import prompt_ids
from slm_tui.generation.inspect import heat
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import LoadedModel, PromptedTokens
from slm_tui.live.inspector import MOST_OTHERS, InspectionStatus, Inspector, others_of
from slm_tui.live.session import Session
from slm_tui.training import checkpoint
from slm_tui.training.device import choose_device as choose
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run

SETTINGS = SamplingSettings(max_tokens=12)


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    thread = Inspector(FairLock())
    yield thread
    thread.close()


def wait(inspector: Inspector, holds: Callable[[InspectionStatus], object]) -> InspectionStatus:
    for _ in range(3000):
        seen = inspector.poll()
        if holds(seen):
            return seen
        time.sleep(0.01)
    raise AssertionError(f"never came: {inspector.poll()}")


def opened(step: int = 20) -> tuple[LoadedModel, PromptedTokens]:
    """A checkpoint of a trained run, and a text in its tokens."""
    session = Session.start(
        make_tiny(
            training__max_steps=30, training__checkpoint_every=5, training__keep_checkpoints=9
        )
    )
    assert session.wait(60)
    path = session.run.checkpoints / checkpoint.name_of(step)
    saved = checkpoint.read(path)
    tokenizer = saved.tokenizer()
    state = saved.state
    loaded = LoadedModel(path, saved.model(choose("cpu")), tokenizer, True, state.corpus)
    ids = prompt_ids(tokenizer, "Once upon a time there was", begin=True)
    return loaded, PromptedTokens(tuple(ids), 5)


def test_all_results_arrive_eventually(inspector: Inspector) -> None:
    loaded, tokens = opened()
    inspector.look(loaded, tokens)
    inspector.focus(7, SETTINGS)
    seen = wait(inspector, lambda one: not one.reading_others and not one.counting)
    assert not seen.error
    assert seen.heat is not None
    assert np.allclose(seen.heat.surprise[1:], heat(loaded.model, tokens.ids).surprise[1:])
    assert seen.candidates is not None
    assert (seen.candidates.place, seen.candidates.chosen) == (7, tokens.ids[7])
    steps = [one.step for one in seen.others]
    assert steps == sorted(steps)
    assert 20 not in steps
    assert {5, 30} <= set(steps)
    for other in seen.others:
        model = checkpoint.read(loaded.checkpoint.parent / checkpoint.name_of(other.step))
        expected = heat(model.model(choose("cpu")), tokens.ids)
        assert np.allclose(other.heat.surprise[1:], expected.surprise[1:])
    corpus = prepare(make_tiny())
    assert seen.counts is not None
    assert seen.counts.sum() == len(corpus.train)
    assert seen.counts[ord("e")] == int((corpus.train == ord("e")).sum())


def test_the_focus_follows_the_last_request(inspector: Inspector) -> None:
    loaded, tokens = opened()
    inspector.look(loaded, tokens)
    for place in (3, 9, 4, 11):
        inspector.focus(place, SETTINGS)
    wait(inspector, lambda one: one.candidates is not None and one.candidates.place == 11)
    cold = SETTINGS.with_(temperature=0.0)
    inspector.focus(11, cold)
    seen = wait(inspector, lambda one: one.candidates is not None and one.candidates.remaining == 1)
    assert seen.candidates is not None
    assert seen.candidates.sampled == seen.candidates.greedy


def test_another_text_replaces_the_previous_one(inspector: Inspector) -> None:
    loaded, tokens = opened()
    inspector.look(loaded, tokens)
    wait(inspector, lambda one: one.heat is not None)
    shorter = PromptedTokens(tokens.ids[:6], 3)
    inspector.look(loaded, shorter)
    seen = wait(inspector, lambda one: one.heat is not None and not one.reading_others)
    assert seen.tokens is shorter
    assert seen.heat is not None
    assert len(seen.heat.surprise) == 6
    assert all(len(other.heat.surprise) == 6 for other in seen.others)


def test_a_damaged_checkpoint_and_a_lost_corpus_affect_nothing_else(inspector: Inspector) -> None:
    loaded, tokens = opened()
    (loaded.checkpoint.parent / checkpoint.name_of(10) / "model.safetensors").write_bytes(b"x")
    loaded.corpus = "0" * 24
    inspector.look(loaded, tokens)
    seen = wait(inspector, lambda one: not one.reading_others and not one.counting)
    assert not seen.error
    assert seen.counts is None
    assert 10 not in [one.step for one in seen.others]
    assert seen.others


def test_other_checkpoints_are_spread_over_the_run() -> None:
    run = add_run("long", checkpoints=list(range(10, 210, 10)), best=10)
    result = others_of(run.checkpoints / checkpoint.name_of(100))
    steps = [checkpoint.step_of(one) for one in result]
    assert len(steps) == MOST_OTHERS
    assert steps[0] == 10
    assert steps[-1] == 200
    assert 100 not in steps


class CountedTurns(FairLock):
    """A lock that counts its acquisitions and calls a hook at number `at`."""

    def __init__(self, at: int = 0, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.count, self._at, self._then = 0, at, then

    def __enter__(self) -> None:
        super().__enter__()
        self.count += 1
        if self.count == self._at:
            self._then()


def test_a_long_text_lets_generation_take_turns() -> None:
    loaded, tokens = opened()
    lock = CountedTurns()
    inspector = Inspector(lock)
    inspector.look(loaded, PromptedTokens(tokens.ids * 5, 5))
    wait(inspector, lambda one: one.heat is not None)
    inspector.close()
    # A pass for every quarter of the context, 16 tokens.
    assert lock.count > len(tokens.ids)


def test_leave_stops_immediately_and_releases_the_model() -> None:
    loaded, tokens = opened()
    lock = CountedTurns(3, lambda: inspector.leave())
    inspector = Inspector(lock)
    model = weakref.ref(loaded.model)
    inspector.look(loaded, PromptedTokens(tokens.ids * 5, 5))
    del loaded
    for _ in range(1000):
        if model() is None:
            break
        time.sleep(0.01)
    assert model() is None
    assert lock.count == 3
    assert inspector.poll().heat is None
    # It works again on the next request.
    loaded, tokens = opened()
    inspector.look(loaded, tokens)
    wait(inspector, lambda one: one.heat is not None and not one.counting)
    inspector.close()


def test_close_ends_the_thread() -> None:
    inspector = Inspector(FairLock())
    loaded, tokens = opened()
    inspector.look(loaded, tokens)
    inspector.close()
    inspector._thread.join(10)
    assert not inspector._thread.is_alive()
