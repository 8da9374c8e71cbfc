"""No edit or deletion on the Presets screen loses data silently."""

from pathlib import Path

import pytest
from textual.widgets import Input

from slm_tui.config import library
from slm_tui.config.preset import from_file
from slm_tui.tui import dialogs
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.trash.screen import TrashScreen
from tests.tui.two_presets import MINE, Recorder, an_app, draft, enter, room


@pytest.fixture(autouse=True)
def home(two_presets: Path) -> Path:
    return two_presets


async def test_delete_moves_to_the_trash_and_undo_restores_it(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await pilot.press("D")
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Question)
        await pilot.press("enter")
        await pilot.pause()
        assert library.find("mine") is not None
        await pilot.press("D", "up", "enter")
        await pilot.pause()
        assert library.find("mine") is None
        await pilot.press("u")
        await pilot.pause()
        assert room(app).presets.key == "mine"
        assert (home / "config" / "presets" / "mine.toml").read_text() == MINE


async def test_delete_asks_when_a_setting_is_focused_too(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await pilot.press("enter", "down", "D")
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Question)
        await pilot.press("escape")
        await pilot.pause()
    assert (home / "config" / "presets" / "mine.toml").read_text() == MINE


async def test_undo_restores_a_deleted_preset_after_other_changes(home: Path) -> None:
    other = home / "config" / "presets" / "other.toml"
    other.write_text(MINE.replace("mine", "other"))
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for name in ("mine", "other"):
            room(app).choose(name)
            await pilot.pause()
            await pilot.press("D", "up", "enter")
            await pilot.pause()
        assert not other.exists()
        room(app).choose("stories-tiny")
        await pilot.pause()
        await enter(pilot, "model.n_layer", "7")
        draft = room(app).draft
        assert draft is not None
        await pilot.press("u")
        await pilot.pause()
        assert not draft.is_changed
        assert not other.exists()
        await pilot.press("u")
        await pilot.pause()
        assert other.exists()
        assert library.find("mine") is None
        room(app).choose("stories-tiny")
        await pilot.pause()
        await pilot.press("u")
        await pilot.pause()
    assert (home / "config" / "presets" / "mine.toml").read_text() == MINE


async def test_quit_asks_about_edits_and_stays_by_default() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Question)
        # Asked once, however often the key is pressed; the safe answer is the default.
        await pilot.press("ctrl+q", "enter")
        await pilot.pause()
        assert isinstance(app.screen, PresetsScreen)
        assert app._exit is False
        await pilot.press("ctrl+q", "up", "enter")
        await pilot.pause()
        assert app._exit is True
    assert [entry.name for entry in library.entries() if not entry.builtin] == ["mine"]


async def test_quit_saves_all_edits_when_asked_to(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("escape", "escape")
        room(app).choose("mine")
        await pilot.pause()
        await enter(pilot, "model.n_layer", "3")
        # From another screen as well.
        await pilot.press("2")
        await pilot.pause()
        await pilot.press("ctrl+q", "up", "up", "enter")
        await pilot.pause()
        assert app._exit is True
    folder = home / "config" / "presets"
    assert from_file(folder / "my-stories-tiny.toml").to_dict()["model"]["n_layer"] == 7
    assert from_file(folder / "mine.toml").to_dict()["model"]["n_layer"] == 3


async def test_quit_names_an_edit_that_cannot_be_saved_and_stays(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await enter(pilot, "model.n_head", "5")
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("ctrl+q", "up", "up", "enter")
        await pilot.pause()
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Notice)
        assert app._exit is False
        await pilot.press("enter")
        await pilot.pause()
        assert room(app).presets.key == "mine"
        draft = room(app).draft
        assert draft is not None
        assert draft.is_changed
    assert (home / "config" / "presets" / "mine.toml").read_text() == MINE


async def test_a_text_opened_on_the_data_screen_is_an_edit_that_quit_asks_about(
    home: Path,
) -> None:
    text = home / "text.txt"
    text.write_text("once upon a time there was a word " * 200)
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.press("5")
        await pilot.pause()
        await pilot.press("o")
        await pilot.pause()
        app.screen.query_one(Input).value = str(text)
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Question)
        assert "mine" in app.screen._text


async def test_undo_skips_what_was_restored_from_the_trash(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await pilot.press("D", "up", "enter")
        await pilot.pause()
        app.open_trash()
        await pilot.pause()
        assert isinstance(app.screen, TrashScreen)
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("u")
        await pilot.pause()
        assert isinstance(app.screen, PresetsScreen)
    assert (home / "config" / "presets" / "mine.toml").read_text() == MINE


class RecorderInTraining(Recorder):
    is_training = True


async def test_quit_asks_about_edits_first_and_then_the_run() -> None:
    app = an_app(RecorderInTraining())
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("ctrl+q", "up", "up", "enter")
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Question)
        assert "training" in app.screen._title
        await pilot.press("escape")
        await pilot.pause()
        assert app._exit is False
        # The edits were saved before.
        assert "my-stories-tiny" in [row.key for row in room(app).presets.rows]
        assert not draft(app).is_changed
