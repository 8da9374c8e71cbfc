"""The keys of the checkpoint list on the Runs screen act on the checkpoint, not on the run."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint_dir
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Ask, Question
from slm_tui.tui.screens.runs.table import CheckpointList
from tests.tui.made_runs import add_run, until


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return add_run("one", checkpoints=(30, 60, 90), best=60)


async def on_checkpoints(app: SlmTuiApp, pilot: Pilot[Any]) -> CheckpointList:
    await pilot.press("3")
    await until(pilot, lambda: bool(app.screen.query(CheckpointList)))
    listed = app.screen.query_one(CheckpointList)
    await until(pilot, lambda: len(listed.checkpoints) == 3)
    listed.focus()
    await pilot.pause()
    return listed


def steps(run: Run) -> list[int]:
    return [checkpoint_dir.step_of(one) for one in checkpoint_dir.all_in(run.checkpoints)]


async def test_delete_asks_about_the_checkpoint_and_undo_restores_it(run: Run) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        listed = await on_checkpoints(app, pilot)
        assert listed.current is not None
        assert listed.current.step == 60
        await pilot.press("D")
        await pilot.pause()
        assert isinstance(app.screen, Question)
        await pilot.press("up", "enter")
        await until(pilot, lambda: steps(run) == [30, 90])
        assert store.find("one") == run
        await until(pilot, lambda: len(listed.checkpoints) == 2)
        await pilot.press("u")
        await until(pilot, lambda: steps(run) == [30, 60, 90])


async def test_keep_promote_and_label(run: Run) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        listed = await on_checkpoints(app, pilot)
        path = run.checkpoints / "step-000090"
        listed.select(str(path))
        await pilot.press("K")
        await until(pilot, lambda: checkpoint_dir.is_kept(path))
        await until(pilot, lambda: listed.checkpoints[str(path)].is_kept)
        await pilot.press("K")
        await until(pilot, lambda: not checkpoint_dir.is_kept(path))
        await pilot.press("B")
        await until(pilot, lambda: checkpoint_dir.linked(run.checkpoints, "best") == path)
        await pilot.press("R")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        await pilot.press(*"final", "enter")
        await until(pilot, lambda: checkpoint_dir.label_of(path) == "final")
        await until(pilot, lambda: listed.checkpoints[str(path)].label == "final")


async def test_an_empty_undo_is_a_hint_and_no_dialog(run: Run) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_checkpoints(app, pilot)
        await pilot.press("u")
        await pilot.pause()
        assert app.screen.query(CheckpointList)
        assert any("nothing to restore" in one.message for one in app._notifications)
