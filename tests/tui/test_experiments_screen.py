"""The Experiments screen: suites, their runs and the queue; variations from the form."""

import functools
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from slm_tui import paths
from slm_tui.config import library
from slm_tui.experiments import background, queue, shelf, worker
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.plan import plan
from slm_tui.experiments.started_suite import StartedSuite
from slm_tui.experiments.suite import from_toml
from slm_tui.experiments.worker import Worker
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Ask, Notice, Question
from slm_tui.tui.screens.comparison.screen import ComparisonDialog
from slm_tui.tui.screens.experiments.lists import QueueList, SuiteRuns
from slm_tui.tui.screens.experiments.screen import ExperimentsScreen
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.train.screen import TrainScreen
from slm_tui.tui.widgets.line_list import ReadingList
from tests.cli.test_suite import SUITE
from tests.conftest import make_tiny
from tests.experiments.test_worker import Watch
from tests.tui.made_runs import until

SIZES = [(80, 24), (120, 40), (160, 45)]


@pytest.fixture
def started_workers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the workers that would be started, instead of starting processes."""
    calls: list[int] = []
    monkeypatch.setattr(background, "start_worker", lambda: bool(calls.append(1)) or True)
    return calls


@pytest.fixture
def rates(home: Path, started_workers: list[int]) -> None:
    library.save(make_tiny(training__threads=1))
    shelf.save(from_toml(SUITE))


def app() -> SlmTuiApp:
    return SlmTuiApp(load_torch=False)


async def opened(pilot: Pilot[Any], suite: str = "rates") -> ExperimentsScreen:
    open_it = functools.partial(pilot.app.open_experiments, suite)  # type: ignore[attr-defined]
    pilot.app.call_later(open_it)
    await until(pilot, lambda: isinstance(pilot.app.screen, ExperimentsScreen))
    screen = pilot.app.screen
    assert isinstance(screen, ExperimentsScreen)
    await until(pilot, lambda: screen.current is not None and screen.current.name == suite)
    return screen


def run_everything() -> StartedSuite:
    started = started_suites.create(plan(shelf.get("rates")))
    worker.start(started)
    Worker(Watch()).work()
    return started


def text_of(screen: ExperimentsScreen) -> str:
    return "\n".join(row.content.plain for row in screen.query_one(ReadingList).rows)


@pytest.mark.parametrize("size", SIZES)
async def test_a_suite_says_what_it_is_for_before_it_starts(
    rates: None, size: tuple[int, int]
) -> None:
    async with app().run_test(size=size) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "What will happen?" in text_of(screen))
        assert "Shows what the learning rate does." in text_of(screen)
        assert not screen.query_one("#runs-pane").display
        width = screen.query_one(ReadingList).size.width
        assert all(len(line) <= width for line in text_of(screen).splitlines())


async def test_r_starts_a_suite_and_its_runs_wait_in_the_queue(
    rates: None, started_workers: list[int]
) -> None:
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("r")
        await until(pilot, lambda: len(screen.query_one(QueueList).rows) == 6)
        assert len(screen.query_one(SuiteRuns).rows) == 6
        assert started_workers == [1]
        assert screen.current is not None
        assert screen.current.state == "waiting"
        # Reorder: the last run to the front.
        screen.query_one(QueueList).focus()
        await pilot.press("end", *["K"] * 5)
        await until(pilot, lambda: queue.runs()[0].name == "high-s3")
        await pilot.press("D")
        await until(pilot, lambda: len(queue.runs()) == 5)
        screen.suites.focus()
        await pilot.press("x")
        await until(pilot, lambda: queue.runs() == ())
        await until(pilot, lambda: screen.current is not None and screen.current.state == "stopped")
        await pilot.press("r")
        await until(pilot, lambda: len(queue.runs()) == 6)


async def test_a_finished_suite_shows_its_lesson_and_opens_its_runs(rates: None) -> None:
    run_everything()
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "better than low by" in text_of(screen))
        assert " became " in text_of(screen)
        assert "{" not in text_of(screen)
        await pilot.press("enter")
        assert screen.focused is screen.query_one(SuiteRuns)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen))


async def test_the_comparison_is_shown_and_written(rates: None, home: Path) -> None:
    run_everything()
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "better than low by" in text_of(screen))
        await pilot.press("=")
        await until(pilot, lambda: isinstance(pilot.app.screen, ComparisonDialog))
        dialog = pilot.app.screen
        await until(pilot, lambda: bool(dialog.query_one(ReadingList).rows))
        shown = "\n".join(row.content.plain for row in dialog.query_one(ReadingList).rows)
        assert "paired over 3 seeds" in shown
        assert "optimizer.learning_rate" in shown
        for key, name in (("p", "two-rates.png"), ("v", "two-rates.csv"), ("m", "two-rates.md")):
            await pilot.press(key)
            await until(pilot, (paths.data_dir() / "reports" / name).exists)
        await pilot.press("escape")
        await pilot.press("e")
        started = started_suites.find("rates")
        await until(pilot, (started.path / "report.md").exists)


async def test_a_done_suite_asks_before_it_repeats(rates: None) -> None:
    run_everything()
    async with app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Question))
        await pilot.press("up", "enter")
        await until(pilot, lambda: len(queue.runs()) == 6)
        assert len(started_suites.all_started()) == 2


async def test_a_damaged_suite_is_listed_with_its_reason(rates: None) -> None:
    (paths.user_suites_dir() / "broken.toml").write_text("name = 1")
    async with app().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, "broken")
        await until(pilot, lambda: "broken.toml" in text_of(screen).replace("\n", ""))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))


async def test_a_damaged_queue_is_reported_and_hides_no_suite(rates: None) -> None:
    (paths.data_dir()).mkdir(parents=True, exist_ok=True)
    (paths.data_dir() / "queue.json").write_text("{")
    async with app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert "the queue cannot be read" in screen.watcher.snapshot.queue.problem
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))


async def test_w_on_presets_starts_the_first_lesson(
    rates: None, started_workers: list[int]
) -> None:
    async with app().run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExperimentsScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ExperimentsScreen)
        await until(pilot, lambda: len(screen.query_one(SuiteRuns).rows) == 3)
        assert screen.current is not None
        assert screen.current.name == "week-1"
        await until(pilot, lambda: "Predict" in text_of(screen))
        assert started_workers == [1]
        # Again: no second start.
        await pilot.press("escape", "w")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExperimentsScreen))
        await pilot.pause(0.3)
        assert len(started_suites.all_started()) == 1


async def test_q_adds_the_preset_with_its_edits(rates: None, started_workers: list[int]) -> None:
    async with app().run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("Q")
        await until(pilot, lambda: len(queue.runs()) == 1)
        assert queue.runs()[0].name == library.DEFAULT
        assert started_workers == [1]


async def test_values_typed_in_the_form_become_a_suite(
    rates: None, started_workers: list[int]
) -> None:
    async with app().run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, PresetsScreen)
        screen.choose("tiny")
        for path, values in (
            ("model.n_layer", "1, 2"),
            ("optimizer.learning_rate", "1e-3, 3e-3, 1e-2"),
            ("training.seed", "1, 2"),
        ):
            screen.form.properties.focus()
            screen.form.properties.reveal(path)
            await pilot.pause()
            await pilot.press("m")
            await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
            pilot.app.screen.query_one(Input).value = values
            await pilot.press("enter")
            await until(pilot, lambda: pilot.app.screen is screen)
        screen.presets.focus()
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, Question))
        question = pilot.app.screen
        shown = "\n".join(str(one.render()) for one in question.query("Static"))
        assert "12 runs" in shown
        assert "MB of checkpoints" in shown or "kB of checkpoints" in shown
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExperimentsScreen))
        assert len(queue.runs()) == 12
        assert started_workers == [1]
        presets = [item.made() for item in queue.runs()]
        assert {preset.model.layers for preset in presets} == {1, 2}
        assert {preset.optimizer.learning_rate for preset in presets} == {1e-3, 3e-3, 1e-2}
        assert {preset.training.seed for preset in presets} == {1, 2}
        assert shelf.get("tiny-varied").base == "tiny"


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        ("model.n_layer", "1, 0", "model.n_layer"),
        ("model.n_layer", "1, 1", "a value occurs twice"),
        ("model.n_layer", "one", "not a whole number"),
    ],
)
async def test_an_impossible_value_is_refused_while_it_is_typed(
    rates: None, path: str, values: str, expected: str
) -> None:
    async with app().run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, PresetsScreen)
        screen.choose("tiny")
        screen.form.properties.focus()
        screen.form.properties.reveal(path)
        await pilot.pause()
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        dialog = pilot.app.screen
        dialog.query_one(Input).value = values
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen is dialog
        assert expected in str(dialog.query_one("#wrong").render())
