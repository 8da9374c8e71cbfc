"""While a model trains, a redraw paints the screen once, reads and judges no more than it must."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts import chart as chart_module
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.screens.train import screen as screen_module
from slm_tui.tui.screens.train import view as view_module
from slm_tui.tui.screens.train.charts import SmallCharts
from slm_tui.tui.screens.train.screen import TrainScreen
from slm_tui.tui.screens.train.view import RunView
from tests.evaluation.record_curves import replay
from tests.tui.made_runs import until
from tests.tui.shown import ShownWorkshop
from tests.tui.test_charts import ChartApp, drawn, losses

NEVER = 1000.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


# The chart


def shown_with_next(chart: Chart) -> bool:
    """Whether the second drawing was shown when the next data came."""
    chart.show(losses(901), with_next=True)
    return chart.drawings == 2


async def test_a_drawing_waits_for_the_next_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_module, "_LATEST", NEVER)
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600), with_next=True)
        # The first one is shown at once: there is nothing else to look at.
        await drawn(pilot, chart, 1)
        before = [strip.text for strip in chart._strips]
        chart.show(losses(900), with_next=True)
        await pilot.pause(0.3)
        assert chart.drawings == 1
        await until(pilot, lambda: shown_with_next(chart))
        await pilot.pause()
        assert [strip.text for strip in chart._strips] != before


async def test_a_drawing_is_shown_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_module, "_LATEST", 0.05)
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        chart.show(losses(900), with_next=True)
        await drawn(pilot, chart, 2)


async def test_a_key_does_not_wait_for_the_next_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_module, "_LATEST", NEVER)
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        chart.show(losses(900), with_next=True)
        chart.log_y = True
        await until(pilot, lambda: chart._axes is not None and chart._axes.log_y)


async def test_a_drawing_that_is_asked_for_later_waits_for_the_next_data_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chart_module, "_LATEST", NEVER)
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        # The last drawing is not old enough yet.
        chart.min_interval = 0.2
        chart.show(losses(900), with_next=True)
        assert chart._timer is not None
        await until(pilot, lambda: chart._timer is None)
        await pilot.pause(0.3)
        assert chart.drawings == 1
        await until(pilot, lambda: shown_with_next(chart))


# What is read and judged


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Counted:
    """A view of a run whose log grows, with a clock of its own; counts records and verdicts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = replay("healthy")
        self.log = whole.path / "training_log.csv"
        self.lines = self.log.read_text().splitlines(keepends=True)
        self.at = 22
        self.log.write_text("".join(self.lines[: self.at]))
        self.records = self.judged = 0
        self.clock = Clock()
        monkeypatch.setattr(view_module, "time", self.clock)
        info, diagnose = Run.info, view_module.diagnose

        def read(run: Run) -> object:
            self.records += 1
            return info(run)

        def judge(evidence: object) -> object:
            self.judged += 1
            return diagnose(evidence)  # type: ignore[arg-type]

        monkeypatch.setattr(Run, "info", read)
        monkeypatch.setattr(view_module, "diagnose", judge)
        self.run = whole
        self.view = RunView(whole)
        assert self.view.refresh()
        self.records = self.judged = 0

    def train(self, steps: int = 1) -> None:
        with self.log.open("a") as file:
            file.write("".join(self.lines[self.at : self.at + steps]))
        self.at += steps

    def refresh(self, after: float) -> bool:
        self.clock.now += after
        return self.view.refresh()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_steps_are_read_at_each_redraw_and_judged_every_other_second(counted: Counted) -> None:
    for _ in range(8):
        counted.train()
        assert counted.refresh(after=0.5)
        assert counted.view.curves.steps.step[-1] == int(
            counted.lines[counted.at - 1].split(",")[0]
        )
    assert counted.records <= 2
    assert counted.judged <= 2


def test_the_last_steps_are_judged_although_no_more_come(counted: Counted) -> None:
    counted.train()
    assert counted.refresh(after=0.5)
    assert counted.judged == 0
    assert not counted.refresh(after=0.5)
    assert counted.refresh(after=2.5)
    assert counted.judged == 1
    assert not counted.refresh(after=2.5)
    assert counted.judged == 1


def test_an_evaluation_is_judged_at_once(counted: Counted) -> None:
    evaluations = len(counted.view.curves.evaluations.step)
    while len(counted.view.curves.evaluations.step) == evaluations:
        assert counted.judged == 0
        counted.train()
        assert counted.refresh(after=0.01)
    assert counted.judged == 1


def test_a_new_record_is_read_and_judged_at_once(counted: Counted) -> None:
    info = counted.run.info()
    info.state = "failed"
    counted.records = 0
    counted.run.write_info(info)
    assert counted.refresh(after=0.1)
    assert counted.view.info.state == "failed"
    assert (counted.records, counted.judged) == (1, 1)


def test_a_process_that_died_is_noticed(counted: Counted) -> None:
    info = counted.run.info()
    info.state, info.pid = "running", 1
    counted.run.write_info(info)
    counted.refresh(after=0.1)
    assert counted.view.info.state == "interrupted"
    # Its lock is free, and no file changes.
    counted.view.info.state = "running"
    assert counted.refresh(after=2.5)
    assert counted.view.info.state == "interrupted"


# The small charts


async def test_small_charts_are_drawn_less_often_and_never_left_behind(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = SlmTuiApp(workshop=ShownWorkshop(counted.run.id), load_torch=False, run=counted.run.path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: getattr(app.screen, "view", None) is not None)
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        shown: list[int] = []
        small = screen.query_one(SmallCharts)
        show = small.show

        def count(curves: Curves, targets: Mapping[str, float]) -> None:
            shown.append(curves.steps.step[-1])
            show(curves, targets)

        monkeypatch.setattr(small, "show", count)
        monkeypatch.setattr(screen_module, "_SMALL_SECONDS", NEVER)
        counted.train()
        await until(pilot, lambda: screen._small_are_behind)
        assert shown == []
        # No more steps come.
        monkeypatch.setattr(screen_module, "_SMALL_SECONDS", 0.0)
        await until(pilot, lambda: len(shown) > 0)
        assert shown[-1] == int(counted.lines[counted.at - 1].split(",")[0])
        assert not screen._small_are_behind
