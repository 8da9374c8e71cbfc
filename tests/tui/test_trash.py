"""The trash dialog restores presets, runs and conversations."""

from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config import library
from slm_tui.config.preset import Preset
from slm_tui.errors import RunError, SlmTuiError
from slm_tui.runs import conversation, trash
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Notice
from slm_tui.tui.screens.trash.screen import TrashScreen


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


def deleted(name: str) -> None:
    library.save(Preset(name=name))
    library.delete(name)


async def test_a_preset_is_restored_from_the_trash() -> None:
    deleted("my-own")
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.open_trash()
        await pilot.pause()
        assert isinstance(app.screen, TrashScreen)
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(app.screen, TrashScreen)
        assert library.find("my-own") is not None
        presets = app._presets
        assert presets is not None
        presets.choose("my-own")
        assert presets.presets.key == "my-own"
    assert trash.entries() == []


async def test_an_unrestorable_item_is_explained_and_stays() -> None:
    deleted("my-own")
    library.save(Preset(name="my-own"))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.open_trash()
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Notice)
    assert [one.name for one in trash.entries()] == ["my-own"]


async def test_an_empty_trash_is_reported() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.open_trash()
        await pilot.pause()
        await pilot.press("enter", "escape")
        await pilot.pause()
        assert not isinstance(app.screen, TrashScreen)


def test_a_conversation_is_restored_only_to_its_own_run() -> None:
    run = paths.runs_dir() / "it-1"
    run.mkdir(parents=True)
    (run / conversation.FILE).write_text("said\n")
    conversation.clear(run)
    (one,) = trash.entries()
    assert (one.kind, one.name) == ("conversation", "it-1")
    (run / conversation.FILE).write_text("said since\n")
    with pytest.raises(SlmTuiError, match="another conversation"):
        trash.restore(one)
    (run / conversation.FILE).unlink()
    trash.restore(one)
    assert (run / conversation.FILE).read_text() == "said\n"
    conversation.clear(run)
    run.rmdir()
    with pytest.raises(RunError, match="is gone"):
        trash.restore(trash.entries()[0])


def test_the_newest_deletion_comes_first_and_names_may_have_dashes() -> None:
    deleted("first-of-all")
    deleted("second")
    assert {one.name for one in trash.entries()} == {"first-of-all", "second"}
    assert trash.entries()[0].when >= trash.entries()[1].when
