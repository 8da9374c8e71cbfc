"""Presets whose text is not here are marked, and `t` offers what works."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.config import library, needs
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Ask, Question
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.widgets.line_list import LineList
from tests.tui.made_runs import until
from tests.tui.two_presets import Recorder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_built_in_preset_says_what_it_needs(home: Path) -> None:
    found = {one.name: needs.need_of(one.preset) for one in library.entries() if one.preset}
    assert found["stories-tiny"] == ""
    assert found["educational-tiny"] == ""
    assert found["shakespeare-tiny"] == "file"
    assert found["experiments-baseline"] == "network"
    (home / "shakespeare.txt").write_text("To be, or not to be.\n" * 100)
    entry = library.find("shakespeare-tiny")
    assert entry is not None
    assert entry.preset is not None
    assert needs.need_of(entry.preset) == ""


async def ask(app: SlmTuiApp, pilot: Pilot[Any], name: str) -> LineList:
    await pilot.pause()
    assert isinstance(app.screen, PresetsScreen)
    app.screen.choose(name)
    await pilot.pause()
    await pilot.press("t")
    await until(pilot, lambda: isinstance(app.screen, Question))
    return app.screen.query_one(LineList)


@pytest.mark.parametrize("name", ["shakespeare-tiny", "experiments-baseline"])
async def test_the_built_in_stories_train_instead(name: str) -> None:
    workshop = Recorder()
    app = SlmTuiApp(workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        choices = await ask(app, pilot, name)
        choices.select("stories")
        await pilot.press("enter")
        await until(pilot, lambda: bool(workshop.trained))
        (preset,) = workshop.trained
        assert preset.data.kind == "stories"
        entry = library.find(name)
        assert entry is not None
        assert entry.preset is not None
        assert preset.model == entry.preset.model


async def test_a_text_can_be_chosen(home: Path) -> None:
    app = SlmTuiApp(Recorder(), load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        choices = await ask(app, pilot, "shakespeare-tiny")
        choices.select("open")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        assert app.current_mode == "data"


async def test_a_download_is_only_tried_when_asked_for() -> None:
    workshop = Recorder()
    app = SlmTuiApp(workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await ask(app, pilot, "experiments-baseline")
        assert workshop.trained == []
        await pilot.press("enter")
        await until(pilot, lambda: bool(workshop.trained))
        assert workshop.trained[0].data.kind == "huggingface"
