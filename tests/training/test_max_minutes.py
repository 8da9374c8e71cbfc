"""A run that ends by time: its schedule follows the clock, and it can be resumed and extended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.estimate import Calibration, estimate
from slm_tui.config.preset import Preset
from slm_tui.config.training import Schedule
from slm_tui.training import launched
from slm_tui.training import trainer as trainers
from slm_tui.training.events import Changed, Evaluated, Stepped
from slm_tui.training.schedule import learning_rate
from tests.training.harness import train

Make = Callable[..., Preset]
MANY = 10**9


class Clock:
    """`monotonic` advances at every look: there are four in a step, which takes half a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.25
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Steps that take half a second of this clock, whatever the machine does."""
    clock = Clock()
    for module in (trainers, launched):
        monkeypatch.setattr(module, "time", clock)
    return clock


def timed(tiny: Make, seconds: float, **changes: Any) -> Preset:
    usual = {"training__max_steps": MANY, "training__evaluate_every": 1000}
    return tiny(**usual | changes, training__max_minutes=seconds / 60)


def test_it_ends_when_its_time_is_used_up_and_evaluates_last(
    tiny: Make, tmp_path: Path, clock: Clock
) -> None:
    done = train(timed(tiny, 10), tmp_path)
    assert done.reason == "done"
    assert done.trainer.state.elapsed_seconds == pytest.approx(10)
    steps = done.trainer.state.step
    assert steps == 20
    assert max(done.losses) == steps
    assert [event.step for event in done.of(Evaluated)] == [0, steps]
    # From then on its steps are all it had: 100% in lists.
    assert done.of(Changed)[-1].what == "max_steps"
    assert done.trainer.state.max_steps == steps


def test_the_steps_end_it_if_they_are_done_first(tiny: Make, tmp_path: Path, clock: Clock) -> None:
    done = train(timed(tiny, 1000, training__max_steps=8), tmp_path)
    assert (done.reason, done.trainer.state.step) == ("done", 8)


def test_the_learning_rate_falls_with_the_clock(tiny: Make, tmp_path: Path, clock: Clock) -> None:
    schedule = {"kind": "linear", "warmup_fraction": 0.2, "minimum_ratio": 0.0}
    preset = timed(tiny, 10, schedule=schedule)
    rates = [event.learning_rate for event in train(preset, tmp_path).of(Stepped)]
    peak = preset.optimizer.learning_rate
    assert max(rates) == pytest.approx(peak, rel=0.01)
    assert rates.index(max(rates)) == pytest.approx(4, abs=1)
    middle = rates[12]
    assert middle == pytest.approx(peak * 0.5, rel=0.02)
    assert rates[-1] < 0.1 * peak


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd", "constant"])
def test_half_the_time_is_half_the_schedule(kind: Any) -> None:
    schedule = Schedule(kind=kind, warmup_fraction=0.1, minimum_ratio=0.1)
    for share in (0.0, 0.05, 0.3, 0.5, 0.85, 1.0):
        by_steps = learning_rate(schedule, 1.0, round(share * 10_000), 10_000)
        by_time = learning_rate(schedule, 1.0, 0, 10_000, time_share=share)
        assert by_time == pytest.approx(by_steps, abs=2e-3)


def test_a_warm_up_in_steps_counts_steps() -> None:
    schedule = Schedule(kind="cosine", warmup_steps=100)
    rate = learning_rate(schedule, 1.0, 49, MANY, time_share=0.2)
    assert rate == pytest.approx(0.5)


def test_a_stopped_run_uses_the_rest_of_its_time(tiny: Make, tmp_path: Path, clock: Clock) -> None:
    preset = timed(tiny, 10)
    first = train(preset, tmp_path, wishes={6: lambda control: control.stop()})
    assert first.reason == "stopped"
    rest = train(preset, tmp_path, resume=True)
    assert rest.reason == "done"
    assert rest.trainer.state.elapsed_seconds == pytest.approx(10)
    assert rest.trainer.state.step == 20


def test_a_run_that_ended_by_time_can_be_extended_by_steps(
    tiny: Make, tmp_path: Path, clock: Clock
) -> None:
    preset = timed(tiny, 5)
    train(preset, tmp_path)
    more = train(preset, tmp_path, resume=True, more_steps=7)
    assert (more.reason, more.trainer.state.step) == ("done", 17)


def test_an_extended_run_that_ended_by_time_does_not_warm_up_again(
    tiny: Make, tmp_path: Path, clock: Clock
) -> None:
    schedule = {"kind": "cosine", "warmup_fraction": 0.2, "minimum_ratio": 0.1}
    preset = timed(tiny, 5, schedule=schedule)
    ended = train(preset, tmp_path).of(Stepped)[-1]
    more = train(preset, tmp_path, resume=True, more_steps=7)
    rates = [event.learning_rate for event in more.of(Stepped)]
    final = 0.1 * preset.optimizer.learning_rate
    assert final <= ended.learning_rate < 3 * final
    assert rates == [pytest.approx(final)] * 7


def test_the_budget_counts_the_time_that_the_run_has(tiny: Make) -> None:
    slow = Calibration("cpu", 1e6, 0.0)
    whole = estimate(tiny(training__max_steps=1000), calibration=slow)
    assert whole.seconds is not None
    half = tiny(training__max_steps=1000, training__max_minutes=whole.seconds / 120)
    timed = estimate(half, calibration=slow)
    assert timed.seconds == pytest.approx(whole.seconds / 2, rel=0.01)
    assert timed.tokens == pytest.approx(whole.tokens / 2, rel=0.01)
    longer = tiny(training__max_steps=1000, training__max_minutes=whole.seconds)
    assert estimate(longer, calibration=slow).seconds == pytest.approx(whole.seconds)
