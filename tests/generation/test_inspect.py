"""Inspection: its values are those that generation would have seen."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from slm_tui.generation.engine import Continuation, Engine, window_start
from slm_tui.generation.inspect import WARM, candidates, heat, logits_at
from slm_tui.generation.sampling import SamplingSettings, filtered
from tests.generation.test_engine import BLOCK, model_of

SETTINGS = SamplingSettings(temperature=0.9, top_k=12, top_p=0.9, seed=4, max_tokens=30)


def written(settings: SamplingSettings, prompt: int = 3) -> list[int]:
    text = Continuation([(5 * one) % 61 for one in range(prompt)], settings.seed)
    engine = Engine(model_of(), [text], settings, None)
    while engine.step():
        pass
    return text.ids


@pytest.mark.parametrize("position", ["learned", "rope"])
def test_heat_is_the_surprisal_of_each_token_given_its_window(position: str) -> None:
    model, ids = model_of(position=position), written(SETTINGS)
    result = heat(model, ids)
    assert math.isnan(result.surprise[0])
    assert result.rank[0] == 0
    assert result.best[0] == -1
    for place in range(1, len(ids)):
        # One by one, without shared passes.
        window = ids[window_start(place, BLOCK) : place]
        chances = torch.softmax(model(torch.tensor([window]))[0, -1].detach().double(), 0)
        assert result.surprise[place] == pytest.approx(-math.log(chances[ids[place]]), abs=1e-5)
        assert result.best_chance[place] == pytest.approx(float(chances.max()), abs=1e-6)
        assert result.best[place] == int(chances.argmax())
        assert result.rank[place] == 1 + int((chances > chances[ids[place]]).sum())


def test_heat_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = model_of(), written(SETTINGS)
    whole = heat(model, ids)
    monkeypatch.setattr("slm_tui.generation.inspect._MOST_LOGITS", 2 * 61)
    parts = heat(model, ids)
    assert np.array_equal(parts.surprise, whole.surprise, equal_nan=True)
    for one, other in ((parts.rank, whole.rank), (parts.best, whole.best)):
        assert np.array_equal(one, other)


def test_the_mean_covers_only_generated_tokens() -> None:
    result = heat(model_of(), written(SETTINGS))
    assert result.mean(3) == pytest.approx(float(np.mean(result.surprise[3:])))
    assert result.mean() == pytest.approx(float(np.nanmean(result.surprise)))
    assert math.isnan(result.mean(len(result.surprise)))
    assert math.isnan(heat(model_of(), [1]).mean())


@pytest.mark.parametrize("penalty", [1.0, 1.4])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_sampled_candidate_is_the_generated_token(temperature: float, penalty: float) -> None:
    settings = SETTINGS.with_(temperature=temperature, repetition_penalty=penalty)
    model, ids = model_of(), written(settings)
    for place in range(3, len(ids)):
        result = candidates(
            logits_at(model, ids, place), ids, place, settings, context=BLOCK, prompt=3
        )
        assert result.chosen == result.sampled == ids[place]


def test_candidates_have_probabilities_before_and_after_filtering() -> None:
    model, ids = model_of(), written(SETTINGS)
    logits = logits_at(model, ids, 10)
    result = candidates(logits, ids, 10, SETTINGS, context=BLOCK, most=61)
    before = torch.softmax(logits.double(), 0)
    after = torch.softmax(filtered(logits[None], SETTINGS)[0].double(), 0)
    assert [one.before for one in result.rows] == sorted(before.tolist(), reverse=True)
    assert sum(one.before for one in result.rows) == pytest.approx(1)
    assert sum(one.after for one in result.rows) == pytest.approx(1)
    for one in result.rows:
        assert one.after == pytest.approx(float(after[one.id]), abs=1e-9)
    assert result.remaining == sum(one.after > 0 for one in result.rows) <= 12
    cut = sum(one.before for one in result.rows if not one.after)
    assert result.cut_mass == pytest.approx(cut)
    assert result.entropy == pytest.approx(-sum(p * math.log2(p) for p in before.tolist()))
    assert result.entropy_after < result.entropy < result.uniform == math.log2(61)
    assert result.greedy == int(logits.argmax())


def test_an_unlikely_chosen_token_is_still_shown() -> None:
    model, ids = model_of(), written(SETTINGS)
    logits = logits_at(model, ids, 5)
    ids[5] = int(logits.argmin())
    result = candidates(logits, ids, 5, SETTINGS, context=BLOCK, most=4)
    assert len(result.rows) == 4
    assert result.rows[-1].id == result.chosen == ids[5]
    assert result.rank == 61
    assert result.rows[-1].after == 0


def test_after_the_end_candidates_are_for_the_next_token() -> None:
    model, ids = model_of(), written(SETTINGS)
    end = len(ids)
    result = candidates(logits_at(model, ids, end), ids, end, SETTINGS, context=BLOCK, prompt=3)
    assert result.chosen is None
    assert result.rank == 0
    more = SETTINGS.with_(max_tokens=31)
    assert result.sampled == written(more)[end]


def test_the_warm_choice_is_sampled_at_its_temperature() -> None:
    model, ids = model_of(), written(SETTINGS)
    logits = logits_at(model, ids, 4)
    free = SamplingSettings(temperature=0.3)
    counts = Counter(
        candidates(logits, ids, 4, free.with_(seed=seed), context=BLOCK, prompt=3).warm
        for seed in range(400)
    )
    chances = torch.softmax(logits.double() / WARM, 0)
    likely = int(chances.argmax())
    share = float(chances[likely])
    assert abs(counts[likely] / 400 - share) < 4 * math.sqrt(share * (1 - share) / 400)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_model_has_finite_probabilities(value: float, temperature: float) -> None:
    settings = SETTINGS.with_(temperature=temperature)
    result = candidates(torch.full((61,), value), [1, 2, 3], 2, settings, context=BLOCK)
    for one in result.rows:
        assert 0 <= one.before <= 1
        assert 0 <= one.after <= 1
    for number in (result.cut_mass, result.entropy, result.entropy_after):
        assert math.isfinite(number)
