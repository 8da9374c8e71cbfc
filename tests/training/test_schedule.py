"""The learning rate: warm-up, shape, end."""

import itertools
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.training import Schedule
from slm_tui.training.schedule import (
    learning_rate,
    minimum_rate,
    warmup_steps,
    windows_in_one,
)

SCHEDULES = st.builds(
    Schedule,
    kind=st.sampled_from(["constant", "linear", "cosine"]),
    warmup_steps=st.none() | st.integers(0, 40),
    minimum_ratio=st.none() | st.floats(0, 1),
)


def rates(schedule: Schedule, steps: int, peak: float = 1.0) -> list[float]:
    return [learning_rate(schedule, peak, step, steps) for step in range(steps)]


@settings(max_examples=100, deadline=None)
@given(schedule=SCHEDULES, steps=st.integers(1, 100))
def test_the_rate_rises_to_the_peak_and_never_again(schedule: Schedule, steps: int) -> None:
    rates_by_step = rates(schedule, steps)
    warmup = min(warmup_steps(schedule, steps), steps)
    assert all(rate > 0 for rate in rates_by_step[:warmup])
    assert all(a < b for a, b in pairwise(rates_by_step[:warmup]))
    after = rates_by_step[max(0, warmup - 1) :]
    assert all(a >= b - 1e-12 for a, b in pairwise(after))
    assert all(
        minimum_rate(schedule, 1.0) - 1e-12 <= rate <= 1.0 for rate in rates_by_step[warmup:]
    )


def test_the_minimum_is_reached_at_the_last_step() -> None:
    for kind in ("linear", "cosine"):
        schedule = Schedule(kind=kind, warmup_steps=10, minimum_ratio=0.1)
        rates_by_step = rates(schedule, 100, 0.02)
        assert rates_by_step[9:11] == pytest.approx([0.02, 0.02])
        assert rates_by_step[-1] == pytest.approx(0.002)
        assert rates_by_step[-2] > rates_by_step[-1]


def test_a_cosine_is_halfway_down_at_half_the_steps() -> None:
    schedule = Schedule(kind="cosine", minimum_ratio=0.0)
    assert learning_rate(schedule, 1.0, 50, 101) == pytest.approx(0.5)
    assert learning_rate(schedule, 1.0, 25, 101) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_a_minimum_may_be_a_rate_or_a_fraction() -> None:
    assert minimum_rate(Schedule(minimum=1e-5), 1e-3) == 1e-5
    assert minimum_rate(Schedule(minimum_ratio=0.1), 1e-3) == pytest.approx(1e-4)
    assert minimum_rate(Schedule(), 1e-3) == 0


def test_warm_up_may_be_steps_or_a_fraction() -> None:
    assert warmup_steps(Schedule(warmup_steps=7), 1000) == 7
    assert warmup_steps(Schedule(warmup_fraction=0.1), 1000) == 100
    assert warmup_steps(Schedule(), 1000) == 0


def test_steps_beyond_the_end_stay_at_the_minimum() -> None:
    schedule = Schedule(kind="linear", minimum_ratio=0.1)
    assert learning_rate(schedule, 1.0, 500, 100) == pytest.approx(0.1)


def test_wsd_is_constant_then_linear() -> None:
    schedule = Schedule(kind="wsd", warmup_steps=10, decay_fraction=0.25, minimum_ratio=0.1)
    rates = [learning_rate(schedule, 2.0, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
    assert set(rates[10:76]) == {2.0}
    falls = [before - after for before, after in itertools.pairwise(rates[75:])]
    assert falls == pytest.approx([falls[0]] * 24)
    assert rates[-1] == pytest.approx(0.2)


def test_decay_never_begins_during_warm_up() -> None:
    schedule = Schedule(kind="wsd", warmup_steps=80, decay_fraction=1.0)
    rates = [learning_rate(schedule, 1.0, step, 100) for step in range(100)]
    assert max(rates) == rates[79] == rates[80] == 1.0
    assert rates[-1] == 0


def test_an_extended_run_decays_at_its_new_end() -> None:
    schedule = Schedule(kind="wsd", warmup_steps=0, decay_fraction=0.5)
    assert learning_rate(schedule, 1.0, 99, 100) == 0
    assert learning_rate(schedule, 1.0, 99, 200, 100) == 1.0


def test_warm_up_may_begin_at_a_fraction_of_the_peak() -> None:
    schedule = Schedule(kind="constant", warmup_steps=4, warmup_start_ratio=1 / 3)
    rates = [learning_rate(schedule, 3.0, step, 100) for step in range(6)]
    assert rates == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0, 3.0])


def test_windows_are_halved_while_the_length_warms_up() -> None:
    schedule = Schedule(length_warmup_fraction=0.5)
    assert [windows_in_one(schedule, step, 5) for step in range(5)] == [2, 2, 1, 1, 1]
    assert windows_in_one(Schedule(), 0, 5) == 1
