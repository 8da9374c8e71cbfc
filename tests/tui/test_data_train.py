"""Training from the Data screen: `t` trains the chosen preset on the text that is shown."""

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from slm_tui.config import library
from slm_tui.config.preset import parse
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Ask, Notice, Question
from slm_tui.tui.screens.data.screen import DataScreen
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.widgets.key_footer import KeyFooter
from tests.tui.made_runs import until
from tests.tui.test_data_screen import Tiny, chosen, opened, written
from tests.tui.two_presets import Recorder

TEXT = "The fox ran home. The bear slept in the snow. " * 200


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    return path


async def open_own_text(pilot: Pilot[None], screen: DataScreen, path: Path) -> None:
    """Open a file with `o`, and wait until it is shown."""
    await pilot.press("o")
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")
    await until(pilot, lambda: "book.txt" in str(screen.query_one("#summary").border_title))


async def asked(pilot: Pilot[None]) -> str:
    """Press `t` and return what the question says."""
    await pilot.press("t")
    await until(pilot, lambda: isinstance(pilot.app.screen, Question))
    question = pilot.app.screen
    assert isinstance(question, Question)
    return question._text


async def test_t_trains_the_chosen_preset_on_the_own_text_that_is_shown(
    tiny: Tiny, book: Path
) -> None:
    preset, workshop = chosen(tiny()), Recorder()
    app = SlmTuiApp(workshop=workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset)
        await open_own_text(pilot, screen, book)
        text = await asked(pilot)
        assert "Text: " in text
        assert "book.txt" in text
        assert "tokens) for training" in text
        assert f"Preset: {preset.name} with your edits" in text
        assert f"{preset.training.max_steps:,} steps or " in text
        assert "epochs" in text
        await pilot.press("enter")
        await until(pilot, lambda: workshop.trained)
        trained = workshop.trained[0]
        assert trained.data.kind == "file"
        assert trained.data.location == str(book)
        assert trained.model == preset.model
        await until(pilot, lambda: app.current_mode == "train")


async def test_t_can_go_to_the_form_first_or_be_cancelled(tiny: Tiny) -> None:
    preset, workshop = chosen(tiny()), Recorder()
    app = SlmTuiApp(workshop=workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, preset)
        assert "with your edits" not in await asked(pilot)
        await pilot.press("escape")
        assert isinstance(app.screen, DataScreen)
        await asked(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, PresetsScreen))
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        await until(pilot, lambda: presets.form.properties.key == "training.max_steps")
        assert workshop.trained == []


async def test_t_prepares_a_text_that_is_not_prepared_yet(tiny: Tiny) -> None:
    preset, workshop = chosen(tiny(), prepared=False), Recorder()
    app = SlmTuiApp(workshop=workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "missing")
        await until(pilot, lambda: "t Train" in written(screen).splitlines()[-1])
        assert "prepared first" in await asked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: [one.name for one in workshop.trained] == [preset.name])


async def test_t_offers_what_works_for_a_text_that_is_gone(tiny: Tiny, tmp_path: Path) -> None:
    preset, workshop = chosen(tiny()), Recorder()
    source = {"kind": "file", "path": str(tmp_path / "no")}
    library.save(parse({**preset.to_dict(), "data": source}, "a preset"), replace=True)
    app = SlmTuiApp(workshop=workshop, load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, preset, "failed")
        assert "There is no file" in await asked(pilot)
        await pilot.press("escape")
        assert workshop.trained == []


async def test_t_on_an_invalid_preset_says_what_is_wrong(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, preset)
        assert app.chosen_draft is not None
        app.chosen_draft.put("model.n_head", 5)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Notice))
        notice = app.screen
        assert isinstance(notice, Notice)
        assert "n_head" in notice.error.why


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_the_footer_shows_t_first(size: tuple[int, int], tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, preset)
        places = screen.query_one(KeyFooter).places
        assert (places[0].key, places[0].label) == ("t", "Train")
