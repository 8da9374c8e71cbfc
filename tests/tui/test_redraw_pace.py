"""Redraws take a fixed share of a core at most, and come at least once a second."""

import pytest

from slm_tui.tui.redraw_pace import RedrawPace

TICK = 0.25


def redraws(cost: float, seconds: float = 20.0, other: float = 0.0) -> int:
    """How many there are if each takes `cost` seconds of processor time; what the user does takes
    `other` in each tick."""
    pace, cpu, count = RedrawPace(TICK), 0.0, 0
    for tick in range(round(seconds / TICK)):
        if pace.is_due(tick * TICK, cpu):
            count += 1
            cpu += cost
        cpu += other
    return count


@pytest.mark.parametrize(("cost", "per_second"), [(0.001, 4), (0.0035, 4), (0.0075, 2), (0.015, 1)])
def test_expensive_redraws_come_less_often(cost: float, per_second: int) -> None:
    assert redraws(cost) == pytest.approx(20 * per_second, abs=1)


def test_they_come_once_a_second_however_long_they_take() -> None:
    assert redraws(3.0) == pytest.approx(20, abs=1)


def test_one_long_answer_to_a_key_delays_one_redraw_only() -> None:
    pace = RedrawPace(TICK)
    assert pace.is_due(100.0, 0.0)
    # A key was pressed meanwhile, and a dialog built.
    assert not pace.is_due(100.25, 0.5)
    due = [pace.is_due(100.25 + tick * TICK, 0.5) for tick in range(1, 8)]
    assert due == [False, False, True, True, True, True, True]
