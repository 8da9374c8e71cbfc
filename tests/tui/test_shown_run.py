"""A run that has just started is shown, no matter how it started or what was open."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from slm_tui.config import library
from slm_tui.evaluation.diagnosis.remedy import Remedy
from slm_tui.live.training_workshop import TrainingWorkshop
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.dialogs import Ask, Question
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.runs.screen import RunsScreen
from slm_tui.tui.screens.train.screen import TrainScreen
from slm_tui.tui.screens.train.view import RunView
from slm_tui.tui.widgets.status_line import StatusLine
from tests import extent
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until

LONG = {"training__max_steps": 1_000_000, "training__checkpoint_every": 100_000}


class App:
    """The app with a workshop, and the operations of these tests."""

    def __init__(self, pilot: Pilot[Any]) -> None:
        self.pilot = pilot
        self.app: Any = pilot.app
        self.workshop: TrainingWorkshop = self.app.workshop

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, holds: Callable[[], object]) -> None:
        await until(self.pilot, holds)

    @property
    def train(self) -> TrainScreen:
        assert isinstance(self.app.screen, TrainScreen), self.app.screen
        return self.app.screen

    async def opened(self, run: Run) -> None:
        """Open a run from the table of runs."""
        await self.press("3")
        await self.until(lambda: isinstance(self.app.screen, RunsScreen))
        screen = self.app.screen
        await self.until(lambda: str(run.path) in screen.table.lines)
        screen.table.select(str(run.path))
        screen.table.focus()
        await self.press("enter")
        await self.until(lambda: isinstance(self.app.screen, TrainScreen))
        await self.until(lambda: self.train.view is not None and self.train.view.run == run)

    async def started(self, preset: str) -> Run:
        """Start a preset from the list of presets; the run that the workshop has then."""
        before = self.workshop.session
        await self.press("1")
        await self.until(lambda: isinstance(self.app.screen, PresetsScreen))
        self.app.screen.choose(preset)
        await self.press("t")
        await self.until(lambda: self.workshop.session is not before)
        assert self.workshop.session is not None
        return self.workshop.session.run

    async def is_shown(self, run: Run) -> None:
        await self.until(lambda: isinstance(self.app.screen, TrainScreen))
        await self.until(lambda: self.train.view is not None and self.train.view.run == run)
        assert run.id[:20] in str(self.app.screen.query_one(StatusLine).render())

    async def obeys(self) -> None:
        """The keys apply to the shown run."""
        session = self.workshop.session
        assert session is not None
        await self.until(lambda: session.status.state == "running")
        await self.press("space")
        await self.until(lambda: session.status.state == "paused")

    async def in_the_form(self) -> None:
        """The form holds the settings of a run."""
        await self.until(lambda: isinstance(self.app.screen, PresetsScreen))
        await self.until(lambda: self.app.screen.draft.origin is not None)
        form = self.app.screen.form
        await self.until(lambda: self.app.screen.focused is form.properties)
        await self.until(lambda: form.properties.setting.path == "training.max_steps")

    async def stopped(self) -> None:
        session = self.workshop.session
        if session is not None:
            session.stop()
            await self.until(lambda: not session.is_live)


@asynccontextmanager
async def running(run: Path | None = None) -> AsyncIterator[App]:
    app = SlmTuiApp(TrainingWorkshop(), load_torch=False, run=run)
    async with app.run_test(size=(120, 40)) as pilot:
        result = App(pilot)
        try:
            yield result
        finally:
            await result.stopped()
            result.workshop.close()


@pytest.fixture
def old(home: Path) -> Run:
    preset = make_tiny(name="long", **LONG)
    library.save(preset)
    text = home / "short.txt"
    text.write_text("A text that is too short for its validation part. " * 9)
    values = {**preset.to_dict(), "name": "short"}
    values["data"] = {"kind": "file", "path": str(text), "split": {"validation": 0.01}}
    library.save(type(preset).model_validate(values))
    return add_run("old", checkpoints=[10, 50], best=50, preset=make_tiny(**LONG))


async def test_a_start_after_an_old_run_was_opened(old: Run) -> None:
    async with running() as app:
        await app.opened(old)
        new = await app.started("long")
        await app.is_shown(new)
        await app.obeys()


@extent.only_in_all
async def test_a_start_after_the_app_was_opened_on_an_old_run(old: Run) -> None:
    async with running(run=old.path) as app:
        await app.until(lambda: isinstance(app.app.screen, TrainScreen))
        await app.until(lambda: app.train.view is not None)
        new = await app.started("long")
        await app.is_shown(new)
        await app.obeys()


@extent.only_in_all
async def test_a_start_after_the_checkpoints_of_an_old_run_were_shown(old: Run) -> None:
    add_run("newer", checkpoints=[20])
    async with running() as app:
        await app.opened(old)
        await app.press("k")
        await app.until(lambda: isinstance(app.app.screen, RunsScreen))
        screen = app.app.screen
        await app.until(lambda: screen.current is not None and screen.current.path == old.path)
        await app.until(lambda: screen.on_checkpoints and screen.current_checkpoint is not None)
        # Keys now apply to a checkpoint of that run.
        assert screen.current_checkpoint.parent == old.checkpoints
        new = await app.started("long")
        await app.is_shown(new)
        await app.obeys()


@extent.only_in_all
async def test_checkpoints_are_shown_although_a_filter_hides_their_run(old: Run) -> None:
    other = add_run("other", checkpoints=[20])
    async with running() as app:
        await app.opened(old)
        await app.press("3", "slash", *"other", "enter")
        screen = app.app.screen
        await app.until(lambda: list(screen.table.lines) == [str(other.path)])
        await app.press("2", "k")
        await app.until(lambda: isinstance(app.app.screen, RunsScreen))
        await app.until(lambda: screen.current is not None and screen.current.path == old.path)
        await app.until(lambda: screen.on_checkpoints)


@extent.only_in_all
async def test_a_fork_from_the_table_and_one_from_the_train_screen(old: Run) -> None:
    async with running() as app:
        await app.opened(old)
        await app.press("k")
        await app.until(lambda: isinstance(app.app.screen, RunsScreen))
        await app.until(lambda: app.app.screen.current_checkpoint is not None)
        await app.press("f")
        await app.in_the_form()
        await app.press("enter", *["backspace"] * 9, *"999999", "enter", "t")
        await app.until(lambda: app.workshop.session is not None)
        assert app.workshop.session is not None
        await app.is_shown(app.workshop.session.run)
        await app.obeys()
        await app.stopped()
        first = app.workshop.session
        await app.opened(old)
        await app.press("f")
        await app.in_the_form()
        await app.press("t")
        await app.until(lambda: app.workshop.session is not first)
        await app.is_shown(app.workshop.session.run)
        await app.obeys()


async def test_applying_the_remedy_of_an_old_run(old: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as app:
        await app.opened(old)
        assert app.train.view is not None
        remedy = Remedy("more steps: 500,000", ("training.max_steps=500000",))
        verdict = replace(app.train.view.verdict, remedies=(remedy,))
        monkeypatch.setattr(RunView, "verdict", property(lambda view: verdict))
        app.train.action_apply()
        await app.until(lambda: isinstance(app.app.screen, Question))
        await app.press("f")
        await app.in_the_form()
        await app.press("t")
        await app.until(lambda: app.workshop.session is not None)
        assert app.workshop.session is not None
        assert app.workshop.session.run.preset().training.max_steps == 500_000
        info = app.workshop.session.run.info()
        assert (info.before, info.remedy) == (old.id, "more steps: 500,000")
        await app.is_shown(app.workshop.session.run)
        await app.obeys()


@extent.only_in_all
async def test_a_resumed_run_after_another_was_opened(old: Run) -> None:
    async with running() as app:
        first = await app.started("long")
        await app.is_shown(first)
        await app.obeys()
        await app.stopped()
        await app.opened(old)
        await app.opened(first)
        await app.press("r")
        await app.until(lambda: app.workshop.is_training)
        await app.is_shown(first)
        await app.obeys()


async def test_a_failed_start_shows_its_reason_and_the_next_one_starts(old: Run) -> None:
    async with running() as app:
        await app.opened(old)
        failed = await app.started("short")
        session = app.workshop.session
        assert session is not None
        await app.until(lambda: not session.is_live)
        await app.is_shown(failed)
        chart = app.train.query_one(Chart)

        def text() -> str:
            lines = [chart.render_line(y).text.strip() for y in range(chart.size.height)]
            return " ".join(" ".join(lines).split())

        await app.until(lambda: "set data.split.validation" in text())
        await app.opened(old)
        new = await app.started("long")
        await app.is_shown(new)
        await app.until(lambda: "set data.split.validation" not in text())
        await app.obeys()


async def test_escape_goes_back_from_an_old_run_to_the_one_that_trains(old: Run) -> None:
    async with running() as app:
        new = await app.started("long")
        await app.is_shown(new)
        await app.opened(old)
        await app.press("space")
        messages = [one.message for one in app.app._notifications]
        assert any(f"esc shows {new.id}" in one for one in messages)
        await app.press("escape")
        await app.is_shown(new)
        await app.obeys()


async def test_a_text_that_moved_is_asked_for(home: Path) -> None:
    text = home / "play.txt"
    text.write_text("".join(f"Line {n}: {n * 7919 % 100} ships.\n" for n in range(200)))
    values = make_tiny(name="file", **LONG).to_dict()
    values["data"] = {"kind": "file", "path": str(text)}
    library.save(type(make_tiny()).model_validate(values))
    async with running() as app:
        run = await app.started("file")
        await app.is_shown(run)
        await app.obeys()
        await app.stopped()
        import shutil

        from slm_tui import paths

        shutil.rmtree(paths.corpora_dir())
        text.rename(home / "moved.txt")
        await app.press("r")
        await app.until(lambda: isinstance(app.app.screen, Ask))
        box = app.app.screen.query_one(Input)
        assert box.value == str(text)
        box.value = str(home / "moved.txt")
        await app.press("enter")
        await app.until(lambda: app.workshop.is_training)
        await app.is_shown(run)
        await app.obeys()
    assert run.preset().data.path == str(home / "moved.txt")  # type: ignore[union-attr]
    assert store.all_runs() == [run]
