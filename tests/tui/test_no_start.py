"""A run that cannot start shows why on the Train screen, and leaves nothing behind."""

from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config import library
from slm_tui.config.preset import parse
from slm_tui.live.training_workshop import TrainingWorkshop
from slm_tui.runs import store
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.dialogs import Notice, Question
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.train.screen import TrainScreen


async def reason(preset: str) -> str:
    """The text shown in place of the curve after `preset` failed to start."""
    app = SlmTuiApp(TrainingWorkshop())
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(800):
            await pilot.pause(0.05)
            if app.torch_ready.is_set():
                break
        assert isinstance(app.screen, PresetsScreen)
        app.screen.choose(preset)
        await pilot.press("t")
        await pilot.pause()
        if isinstance(app.screen, Question):
            # A preset that downloads its text asks first.
            await pilot.press("enter")
        for _ in range(800):
            await pilot.pause(0.05)
            screen = app.screen
            session = screen.session if isinstance(screen, TrainScreen) else None
            if session is not None and not session.is_live:
                break
        await pilot.pause(0.5)
        chart = screen.query_one(Chart)
        lines = [chart.render_line(y).text.strip() for y in range(chart.size.height)]
        return " ".join(" ".join(lines).split())


async def test_a_missing_dataset_shows_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    message = await reason("experiments-optimal-fast")
    assert "the dataset roneneldan/TinyStories is not on this machine" in message
    assert "data.kind=stories and data.kind=file work without a network" in message
    assert store.all_runs() == []


async def test_a_validation_split_below_a_window_names_a_ratio(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a few words of text. " * 60)
    values = library.get("shakespeare-tiny").to_dict()
    values["data"] = {
        "kind": "file",
        "path": str(tmp_path / "text.txt"),
        "split": {"validation": 0.01},
    }
    library.save(parse({**values, "name": "short", "tokenizer": {"kind": "bytes"}}, "short"))
    message = await reason("short")
    assert "set data.split.validation to 0." in message


async def test_an_unwritable_directory_is_named_and_the_next_start_works() -> None:
    values = library.get("stories-tiny").to_dict()
    library.save(parse({**values, "name": "mine", "group": "mine"}, "mine"))
    runs = paths.runs_dir()
    runs.parent.mkdir(parents=True, exist_ok=True)
    runs.write_text("a file where the runs should be")
    workshop = TrainingWorkshop()
    app = SlmTuiApp(workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, PresetsScreen)
        app.screen.choose("mine")
        await pilot.press("t")
        await pilot.pause()
        assert isinstance(app.screen, Notice)
        assert str(runs) in str(app.screen.error)
        assert "SLM_TUI_HOME" in app.screen.error.remedy
        await pilot.press("enter")
        assert runs.read_text() == "a file where the runs should be"
        runs.unlink()
        await pilot.press("t")
        for _ in range(400):
            await pilot.pause(0.05)
            if isinstance(app.screen, TrainScreen) and app.screen.session is not None:
                break
        assert isinstance(app.screen, TrainScreen)
        session = app.screen.session
        assert session is not None
        session.stop()
        assert session.wait(60)
