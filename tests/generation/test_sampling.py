"""Sampling follows exactly the distribution that the settings describe."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slm_tui.generation.sampling import SamplingSettings, draw, filtered, noise

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0])
DRAWS = 4000
# The 99.9th percentiles of chi-squared with 1 to 6 degrees of freedom.
CRITICAL = {0: 0.0, 1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46}


def softmax(logits: list[float]) -> list[float]:
    """Computed by hand, in double precision: the reference shares no code with the tested one."""
    highest = max(logits)
    powers = [math.exp(one - highest) for one in logits]
    return [power / sum(powers) for power in powers]


def expected(
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    penalty: float = 1.0,
    history: tuple[int, ...] = (),
) -> list[float]:
    """The distribution of `LOGITS`, by definition."""
    logits = [float(one) for one in LOGITS]
    for seen in set(history):
        logits[seen] = logits[seen] / penalty if logits[seen] > 0 else logits[seen] * penalty
    logits = [one / temperature for one in logits]
    ranked = sorted(range(len(logits)), key=lambda index: -logits[index])
    remaining = ranked[:top_k] if top_k else ranked
    if top_p is not None:
        chances = softmax([logits[index] for index in remaining])
        mass, nucleus = 0.0, []
        for index, chance in zip(remaining, chances, strict=True):
            if mass >= top_p:
                break
            nucleus.append(index)
            mass += chance
        remaining = nucleus
    chances = softmax([logits[index] for index in remaining])
    probabilities = [0.0] * len(logits)
    for index, chance in zip(remaining, chances, strict=True):
        probabilities[index] = chance
    return probabilities


CASES = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 1},
    {"top_k": 3},
    {"top_k": 100},
    {"top_p": 0.5},
    {"top_p": 0.9},
    {"top_p": 1.0},
    {"top_p": 1e-9},
    {"temperature": 0.7, "top_k": 5, "top_p": 0.8},
    {"penalty": 1.5, "history": (0, 5, 5)},
    {"temperature": 0.7, "penalty": 3.0, "history": (0, 1), "top_k": 4},
]


def settings_of(case: dict[str, object]) -> tuple[SamplingSettings, Tensor | None]:
    names = {"penalty": "repetition_penalty"}
    values = {names.get(name, name): value for name, value in case.items() if name != "history"}
    seen = marks(case["history"]) if "history" in case else None  # type: ignore[arg-type]
    return SamplingSettings(**{"temperature": 1.0, **values}), seen  # type: ignore[arg-type]


def marks(history: tuple[int, ...], n_vocab: int = len(LOGITS)) -> Tensor:
    seen = torch.zeros(1, n_vocab, dtype=torch.bool)
    seen[0, list(history)] = True
    return seen


def samples(
    logits: Tensor,
    settings: SamplingSettings,
    count: int,
    seen: Tensor | None = None,
    seed: int = 11,
) -> list[int]:
    """The first `count` draws of a text, computed at once as separate texts."""
    noises = torch.tensor(noise(seed, 0, count), dtype=torch.float64)
    many = None if seen is None else seen.expand(count, -1)
    tokens: list[int] = draw(logits.expand(count, -1), settings, noises, many).tolist()
    return tokens


@pytest.mark.parametrize("case", CASES, ids=str)
def test_probabilities_match_the_definition(case: dict[str, object]) -> None:
    chosen, seen = settings_of(case)
    (chances,) = torch.softmax(filtered(LOGITS[None], chosen, seen), 1)
    assert chances.tolist() == pytest.approx(expected(**case), abs=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sampled_tokens_have_these_probabilities(case: dict[str, object]) -> None:
    chosen, seen = settings_of(case)
    counts = Counter(samples(LOGITS, chosen, DRAWS, seen))
    chances = expected(**case)  # type: ignore[arg-type]
    assert set(counts) <= {index for index, chance in enumerate(chances) if chance > 0}
    possible = [(index, chance * DRAWS) for index, chance in enumerate(chances) if chance > 0]
    statistic = sum((counts[index] - mean) ** 2 / mean for index, mean in possible)
    assert statistic <= CRITICAL[len(possible) - 1] + 1e-9


def test_greedy_always_takes_the_likeliest() -> None:
    greedy = SamplingSettings(temperature=0.0)
    assert set(samples(LOGITS, greedy, 10)) == {0}
    penalised = SamplingSettings(temperature=0.0, repetition_penalty=4.0)
    assert samples(LOGITS, penalised, 1, marks((0,))) == [1]


@pytest.mark.parametrize("temperature", [1e-3, 1e-9, 1e-45, 1e-300])
def test_a_tiny_temperature_is_nearly_greedy(temperature: float) -> None:
    cold = SamplingSettings(temperature=temperature)
    logits = torch.tensor([-5.0, 40.0, 39.0])
    assert set(samples(logits, cold, 50)) == {1}


def test_exactly_k_remain_if_several_tie_for_the_last_place() -> None:
    flat = filtered(torch.zeros(1, 10), SamplingSettings(top_k=3))
    assert int(torch.isfinite(flat).sum()) == 3


def test_top_p_keeps_the_token_that_crosses_the_threshold() -> None:
    # 0.5, 0.3, 0.2: the first reaches 0.5 and suffices for it; 0.51 needs the second.
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    for top_p, count in ((0.49, 1), (0.51, 2), (0.79, 2), (0.81, 3)):
        chosen = SamplingSettings(temperature=1.0, top_p=top_p)
        assert int(torch.isfinite(filtered(logits[None], chosen)).sum()) == count


def test_the_penalty_lowers_positive_and_negative_logits() -> None:
    chosen = SamplingSettings(temperature=0.0, repetition_penalty=2.0)
    logits = torch.tensor([2.0, -2.0, 1.0])
    assert filtered(logits[None], chosen, marks((0, 1), 3)).tolist() == [[1.0, -4.0, 1.0]]
    assert logits.tolist() == [2.0, -2.0, 1.0]


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(
        st.one_of(
            st.floats(-1e30, 1e30),
            st.sampled_from([math.nan, math.inf, -math.inf, 3e38, -3e38]),
        ),
        min_size=1,
        max_size=12,
    ),
    temperature=st.sampled_from([0.0, 1e-300, 1e-6, 0.7, 1.0, 10.0]),
    top_k=st.one_of(st.none(), st.integers(1, 20)),
    top_p=st.one_of(st.none(), st.floats(0.001, 1.0)),
    penalty=st.sampled_from([1.0, 1.5, 10.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_no_logits_raise_an_error(
    logits: list[float],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    penalty: float,
    dtype: torch.dtype,
) -> None:
    chosen = SamplingSettings(temperature, top_k, top_p, penalty)
    values = torch.tensor(logits).to(dtype)
    (result,) = samples(values, chosen, 1, marks((0,), len(logits)))
    assert 0 <= result < len(logits)
    numbers = values[torch.isfinite(values)]
    if numbers.numel() and penalty == 1.0 and not torch.isnan(values[result]):
        assert values[result] != -math.inf


def test_nan_logits_are_never_sampled_if_there_is_a_choice() -> None:
    logits = torch.tensor([math.nan, -math.inf, 0.0, math.nan])
    assert set(samples(logits, SamplingSettings(), 50)) == {2}
    assert samples(torch.full((3,), math.nan), SamplingSettings(), 1) == [0]


def test_noise_is_uniform_and_independent() -> None:
    numbers = [one for seed in (0, 7, 2**63 - 1) for one in noise(seed, 0, 2000)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= one < 1 for one in numbers)
    counts = Counter(int(one * 7) for one in numbers)
    assert sum((counts[part] - 6000 / 7) ** 2 / (6000 / 7) for part in range(7)) <= CRITICAL[6]
    row = noise(7, 0, 100)
    assert row == [one for number in range(100) for one in noise(7, number)]
    assert row[90:] == noise(7, 90, 10)


def test_each_text_depends_only_on_its_own_noise() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(64, 500, generator=generator)
    noises = torch.rand(64, dtype=torch.float64, generator=generator)
    chosen = SamplingSettings(temperature=0.9, top_k=50, top_p=0.95)
    together = draw(logits, chosen, noises)
    alone = [draw(logits[at : at + 1], chosen, noises[at : at + 1]) for at in range(64)]
    assert together.tolist() == torch.cat(alone).tolist()


def test_the_ends_of_the_unit_interval_select_possible_tokens() -> None:
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]])
    ends = (0.0, 0.5 - 2**-53, 0.5, 1 - 2**-53)
    noises = torch.tensor(ends, dtype=torch.float64)
    assert draw(logits.expand(4, -1), SamplingSettings(), noises).tolist() == [1, 1, 2, 2]
