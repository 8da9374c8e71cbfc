"""Side by side: one prompt and one seed through several independent checkpoints."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.config.training import Sampling
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.runs import conversation, store
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.chat.picker import SeveralPicker
from slm_tui.tui.screens.chat.prompt_input import PromptInput
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.screens.side_by_side import screen as side_by_side
from slm_tui.tui.screens.side_by_side.column import Column
from slm_tui.tui.screens.side_by_side.screen import SideBySide
from slm_tui.tui.widgets.key_footer import KeyFooter
from slm_tui.tui.widgets.line_list import LineList
from tests import extent
from tests.tui.made_runs import add_run, until
from tests.tui.test_chat_screen import HOSTILE, on_screen, open_chat, type_line

SHORT = ChatSettings(Sampling(max_tokens=12))


def saved(run: Run, *steps: int) -> list[Path]:
    return [run.checkpoints / f"step-{step:06}" for step in steps]


async def open_side(
    pilot: Pilot[Any], chosen: list[Path], settings: ChatSettings = SHORT
) -> SideBySide:
    chat = await open_chat(pilot)
    chat.change(settings)
    chat.show_side_by_side(tuple(map(str, chosen)))
    await until(pilot, lambda: isinstance(pilot.app.screen, SideBySide))
    screen = pilot.app.screen
    assert isinstance(screen, SideBySide)
    await until(pilot, lambda: len(screen.columns) == len(chosen))
    return screen


def loaded(screen: SideBySide) -> bool:
    return all(column.generation.state == "ready" for column in screen.columns)


def texts(screen: SideBySide) -> list[str]:
    """The last completion of each column that has finished."""
    result = [[one for one in column.entries if one.kind == "text"] for column in screen.columns]
    return [own[-1].text for own in result if own and own[-1].ending]


def text_of(column: Column) -> str:
    return "\n".join(line.plain for line in column._lines)


def generators() -> int:
    return sum(thread.name == "generator" for thread in threading.enumerate())


async def test_the_same_prompt_and_seed_go_through_all_columns() -> None:
    run = add_run("grown", checkpoints=[10, 20], best=10)
    twin = shutil.copytree(run.path, run.path.with_name("twin"))
    chosen = [*saved(run, 10, 20), *saved(Run(twin), 10)]
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await open_side(pilot, chosen)
        await type_line(pilot, "Once upon")
        await until(pilot, lambda: len(texts(screen)) == 3)
        first, other, same = texts(screen)
        for column in screen.columns:
            assert [one.kind for one in column.entries].count("text") == 1
        assert first == same
        assert first != other
        assert all("12 tokens" in text_of(column) for column in screen.columns)
        assert all("Once upon" in text_of(column) for column in screen.columns)
        await type_line(pilot, "/seed 8")
        await type_line(pilot, "Once upon")
        await until(pilot, lambda: len(texts(screen)) == 3 and texts(screen)[0] != first)
        await until(pilot, lambda: not screen.is_writing)
        assert texts(screen)[0] == texts(screen)[2]
        # Every completion is saved with its run.
        exchanges = conversation.read(run.path)
        assert sorted((one.step, one.seed) for one in exchanges) == [
            (10, 7),
            (10, 8),
            (20, 7),
            (20, 8),
        ]


async def test_an_empty_prompt_continues_all_columns() -> None:
    run = add_run("grown", checkpoints=[10, 20])
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_side(pilot, saved(run, 10, 20))
        await type_line(pilot, "Once")
        await until(pilot, lambda: len(texts(screen)) == 2)
        before = texts(screen)
        await type_line(pilot, "")
        await until(pilot, lambda: all("24 tokens" in text_of(one) for one in screen.columns))
        assert all(
            longer.startswith(text) for text, longer in zip(before, texts(screen), strict=True)
        )


async def test_escape_stops_all_and_then_goes_back_with_the_settings() -> None:
    run = add_run("grown", checkpoints=[10, 20])
    before = generators()
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        chat = await open_chat(pilot)
        await until(pilot, lambda: chat.generation.state == "ready")
        await type_line(pilot, "/max 100000")
        await type_line(pilot, f"/side {run.id}@10 {run.id}@20")
        screen = pilot.app.screen
        assert isinstance(screen, SideBySide)
        await type_line(pilot, "Once")
        await until(pilot, lambda: all(one.generation.tokens > 3 for one in screen.columns))
        assert generators() == before + 3
        await pilot.press("escape")
        assert not screen.is_writing
        # An untrained model may have ended its text by chance.
        assert all(
            " · stopped" in text_of(one) or " · end of" in text_of(one) for one in screen.columns
        )
        await type_line(pilot, "/temp 0.5")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        assert chat.settings.sampling.temperature == 0.5
        await until(pilot, lambda: generators() == before + 1)
        assert all(column.generator.loaded() is None for column in screen.columns)


async def test_a_damaged_or_missing_checkpoint_is_reported_and_others_generate() -> None:
    run = add_run("grown", checkpoints=[10, 20])
    damaged, missing = saved(run, 20)[0], run.checkpoints / "step-000099"
    weights = damaged / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await open_side(pilot, [*saved(run, 10), damaged, missing])
        await type_line(pilot, "Once")
        await until(pilot, lambda: len(texts(screen)) == 1 and not screen.is_writing)
        assert "✗" in text_of(screen.columns[1])
        assert "not found" in text_of(screen.columns[2]).replace("\n", "")
        await type_line(pilot, "")
        await until(pilot, lambda: "24 tokens" in text_of(screen.columns[0]))


async def test_the_picker_marks_two_to_four_with_sensible_defaults() -> None:
    run = add_run("grown", checkpoints=[10, 20, 30, 40, 50], best=20)
    add_run("other", checkpoints=[60], created=5.0)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        chat = await open_chat(pilot)
        chat.load(saved(run, 30)[0])
        await until(pilot, lambda: chat.generation.state == "ready")
        await type_line(pilot, "/side")
        picker = pilot.app.screen
        assert isinstance(picker, SeveralPicker)
        await until(pilot, lambda: picker.query_one(LineList).rows)
        assert picker._marked == {str(path) for path in saved(run, 10, 20, 30, 50)}
        assert "4 marked" in on_screen(pilot)
        # By position: typed digits may also occur in a run's date.
        choices = picker.query_one(LineList)
        assert choices.select(str(saved(run, 40)[0]))
        await pilot.press("space")
        assert "Four are marked" in on_screen(pilot)
        assert choices.select(str(saved(run, 30)[0]))
        await pilot.press("space")
        await pilot.press(*"other", "space", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SideBySide))
        screen = pilot.app.screen
        assert isinstance(screen, SideBySide)
        await until(pilot, lambda: loaded(screen))
        facts = [column.generation.facts for column in screen.columns]
        assert [one.step for one in facts if one] == [10, 20, 50, 60]
        # Other checkpoints replace these, and the old generators stop.
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(pilot.app.screen, SeveralPicker))
        again = pilot.app.screen
        await until(pilot, lambda: again.query_one(LineList).rows)
        await pilot.press(*"50", "space", "enter")
        await until(pilot, lambda: pilot.app.screen is screen and len(screen.columns) == 2)
        await until(pilot, lambda: loaded(screen))
        await until(pilot, lambda: generators() == 3)


async def test_with_one_mark_the_cursor_line_is_added() -> None:
    add_run("one", checkpoints=[10], created=9.0)
    add_run("two", checkpoints=[20], created=5.0)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        picker = SeveralPicker(None)
        await pilot.app.push_screen(picker)
        await until(pilot, lambda: picker.query_one(LineList).rows)
        await pilot.press("enter")
        assert "two to four" in on_screen(pilot)
        await pilot.press("space", "down", "enter")
        await until(pilot, lambda: picker not in pilot.app.screen_stack)


async def test_hostile_text_is_shown_as_plain_symbols() -> None:
    run = add_run("grown", checkpoints=[10, 20])
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_side(pilot, saved(run, 10, 20))
        await until(pilot, lambda: loaded(screen))
        await type_line(pilot, HOSTILE.replace("\ud83d", ""))
        await until(pilot, lambda: len(texts(screen)) == 2)
        screen.columns[0].scroll_home(animate=False)
        await pilot.pause()
        text = on_screen(pilot)
        assert "[bold]x[/bold]" in text
        assert not {"\x1b", "\x00", "\x07", "\x9b", "\t", "\r", "\u202e", "\ud83d"} & set(text)


async def test_chat_only_commands_are_rejected(tmp_path: Path) -> None:
    run = add_run("grown", checkpoints=[10, 20])
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await open_side(pilot, saved(run, 10, 20))
        await until(pilot, lambda: loaded(screen))
        await type_line(pilot, "/history")
        assert "works only in the chat" in on_screen(pilot)
        await type_line(pilot, "/samples 3")
        assert screen.settings.samples == 1
        await type_line(pilot, "/side grown")
        assert "takes 2 to 4" in on_screen(pilot)
        await type_line(pilot, "Once")
        await until(pilot, lambda: len(texts(screen)) == 2)
        await type_line(pilot, f"/save {tmp_path / 'both.txt'}")
        both = (tmp_path / "both.txt").read_text()
        assert "grown @ 10" in both
        assert "grown @ 20" in both
        await type_line(pilot, f"/save {tmp_path / 'both.jsonl'}")
        assert len((tmp_path / "both.jsonl").read_text().splitlines()) == 2


async def test_a_checkpoint_passed_by_another_screen_opens_in_the_chat() -> None:
    run = add_run("grown", checkpoints=[10, 20], best=20)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_side(pilot, saved(run, 10, 20))
        app = pilot.app
        assert isinstance(app, SlmTuiApp)
        await app.switch_mode("runs")
        app.open_chat(store.checkpoint_of(run, "10"))
        await app.switch_mode("chat")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        chat = pilot.app.screen
        assert isinstance(chat, ChatScreen)
        await until(pilot, lambda: chat.generation.facts and chat.generation.facts.step == 10)


@pytest.mark.parametrize("side_by_side", [False, True])
async def test_a_checkpoint_chosen_in_the_palette_loads_on_the_same_screen(
    side_by_side: bool,
) -> None:
    """The screen is shown already, so nothing shows it again."""
    run = add_run("grown", checkpoints=[10, 20], best=20)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        if side_by_side:
            await open_side(pilot, saved(run, 10, 20))
        else:
            chat = await open_chat(pilot)
            await until(pilot, lambda: chat.generation.facts and chat.generation.facts.step == 20)
        app = pilot.app
        assert isinstance(app, SlmTuiApp)
        app.open_chat(store.checkpoint_of(run, "10"))
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.generation.facts and screen.generation.facts.step == 10)


@extent.sample(4)
@pytest.mark.parametrize("many", [2, 3, 4])
@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (160, 45)])
async def test_every_size_shows_all_columns_footer_and_input(
    size: tuple[int, int], many: int
) -> None:
    run = add_run("grown")  # no checkpoints: what is missing is shown, and loads at once
    async with SlmTuiApp(load_torch=False).run_test(size=size) as pilot:
        screen = await open_side(pilot, saved(run, 10, 20, 30, 40)[:many])
        await until(pilot, lambda: all(column.is_lost for column in screen.columns))
        await pilot.pause()
        lines = on_screen(pilot).split("\n")
        for column in screen.columns:
            assert column.size.width >= 24
            assert column.size.height >= 3
            assert screen.region.contains_region(column.region)
        regions = [column.region for column in screen.columns]
        assert not any(
            one.overlaps(other) for one in regions for other in regions if one is not other
        )
        footer = screen.query_one(KeyFooter)
        assert [one.label for one in footer.places][-1] == "Help"
        assert all(one.label in lines[-1] for one in footer.places)
        assert "T 0.80" in "\n".join(lines)
        assert screen.query_one(PromptInput).region.width > 20
        assert screen.query_one(PromptInput).region.bottom < size[1]


def test_closing_does_not_wait_for_a_token() -> None:
    from slm_tui.live.fair_lock import FairLock
    from slm_tui.live.generation_thread import GenerationThread

    lock = FairLock()
    many = [GenerationThread(lock) for _ in range(3)]
    for generator in many:
        generator.load(Path("/nowhere"))
    side_by_side.close(many)
    for generator in many:
        generator._thread.join(60)
        assert not generator._thread.is_alive()
