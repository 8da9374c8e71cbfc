"""The Data screen's token view, its tables and verdicts, and opening another text."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Ask, Question, TextDialog
from slm_tui.tui.screens.data.charts import Lengths
from slm_tui.tui.screens.data.screen import DataScreen
from slm_tui.tui.screens.data.tables import TokenTable
from slm_tui.tui.screens.presets.screen import PresetsScreen
from tests import extent
from tests.tui.test_data_screen import chosen, file_preset, opened, shows, written

Tiny = Callable[..., Preset]
TEXT = "Once there was a café in Zürich, and it had “quotes” and 🐻 bears. " * 20


@pytest.fixture
def bears(tmp_path: Path) -> Preset:
    file = tmp_path / "bears.txt"
    file.write_text("\n<|endoftext|>\n".join(f"{n}. {TEXT * (n + 1)}" for n in range(8)))
    return chosen(file_preset(file, kind="bpe", vocab_size=300))


def token_line(screen: DataScreen) -> str:
    return str(screen.query_one("#token", Static).render())


async def comparing(pilot: Pilot[None], screen: DataScreen, choice: str) -> None:
    await pilot.press("w")
    await pilot.pause()
    assert isinstance(pilot.app.screen, Question)
    pilot.app.screen.dismiss(choice)
    for _ in range(200):
        await pilot.pause(0.02)
        if screen.reader.compares:
            return
    raise AssertionError("no second tokenizer came")


async def test_arrows_move_between_tokens_and_name_each(bears: Preset) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, bears)
        assert not screen.query_one("#token").display
        await pilot.press("v")
        await pilot.pause()
        tokenizer = prepare(bears).tokenizer
        ids = screen.text.passage.ids
        for place in range(4):
            assert screen.text.cursor == place
            data = tokenizer.token_bytes(ids[place])
            assert f"id {ids[place]:,} " in token_line(screen)
            assert data[:8].hex(" ") in token_line(screen)
            await pilot.press("right")
            await pilot.pause()
        await pilot.press("left", "end")
        await pilot.pause()
        assert screen.text.cursor == len(ids) - 1
        assert token_line(screen) in written(screen)
        await pilot.press("v")
        await pilot.pause()
        assert not screen.query_one("#token").display


async def test_the_cursor_goes_down_a_line_and_the_view_follows_it(bears: Preset) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, bears)
        await pilot.press("v")
        before = screen.text.cursor or 0
        for _ in range(12):
            await pilot.press("down")
            await pilot.pause()
            now = screen.text.cursor
            assert now is not None
            assert now > before
            before = now
        assert screen.text.scroll_y > 0
        y = screen.text._line_of(before)
        assert screen.text.scroll_y <= y < screen.text.scroll_y + screen.text.size.height


@extent.sample(2)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_two_tokenizers_show_side_by_side_with_cursors_on_one_byte(
    size: tuple[int, int], bears: Preset
) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, bears)
        await comparing(pilot, screen, "bytes")
        await pilot.pause()
        mine, other = screen.text, screen.reader.other
        assert other.size.width > 20
        assert other.size.height > 3
        assert len(other.passage.ids) == other.passage.size == mine.passage.size
        assert f"bytes 256 · {other.passage.size:,} tokens" in str(other.border_title)
        for _ in range(12):
            await pilot.press("right")
        await pilot.pause()
        place = mine.passage.bytes[mine.cursor or 0]
        assert place > 12
        assert other.passage.bytes[other.cursor or 0] == place
        assert "bpe: id" in token_line(screen)
        assert "bytes: id" in token_line(screen)
        other.focus()
        await pilot.press("left")
        await pilot.pause()
        back = mine.cursor or 0
        assert mine.passage.bytes[back] <= place - 1 < mine.passage.bytes[back + 1]
        await pilot.press("escape")
        await pilot.pause()
        assert not screen.reader.compares
        assert not other.display
        assert screen.focused is mine


async def test_the_second_tokenizer_tokenizes_the_same_text(bears: Preset) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, bears)
        for choice in ("chars", "gpt2", "gpt2 512"):
            await comparing(pilot, screen, choice)
            await pilot.pause(0.1)
            for _ in range(100):
                if choice.split()[0] in str(screen.reader.other.border_title):
                    break
                await pilot.pause(0.02)
            beside = screen.reader.other.passage
            assert beside.size == screen.text.passage.size
            if choice == "gpt2 512":
                assert max(beside.ids) < 512


async def test_arrows_switch_between_tables(bears: Preset) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, bears)
        table = screen.query_one(TokenTable)
        table.focus()
        titles = []
        for _ in range(5):
            titles.append(str(table.border_title).strip("◀▶ "))
            assert table.as_text().count("\n") == len(table.rows) > 0
            assert all(table.draw_row(row, 0, 40).cell_length > 0 for row in table.rows)
            await pilot.press("right")
            await pilot.pause()
        assert titles == [
            "most frequent tokens",
            "rarest tokens",
            "first merges",
            "bytes per token by vocabulary size",
            "words as tokens",
        ]
        assert "most frequent" in str(table.border_title)
        lengths = screen.query_one(Lengths)
        lengths.focus()
        first = str(lengths.border_title)
        await pilot.press("right")
        assert str(lengths.border_title) != first


async def test_problems_of_the_text_are_reported_and_explained(tmp_path: Path) -> None:
    directory = tmp_path / "texts"
    directory.mkdir()
    (directory / "a.txt").write_text("word by word the same story is told again and again " * 40)
    (directory / "b.txt").write_text("word by word the same story is told again and again " * 41)
    (directory / "c[red].txt").write_bytes(b"\xff\xfd")
    data = {"kind": "directory", "path": str(directory), "on_encoding_error": "skip"}
    values = {**file_preset(tmp_path / "x").to_dict(), "name": "texts"}
    values["data"] = {**data, "split": {"validation": 0.45}}
    from slm_tui.config.preset import parse

    preset = chosen(parse(values, "texts"))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, preset)
        text = written(screen)
        assert "leak: 100.0% of validation's 13-grams are in training" in text
        assert "1 file was skipped" in text
        await pilot.press("d")
        await pilot.pause()
        assert isinstance(pilot.app.screen, TextDialog)
        lines = "\n".join(line.plain for line in pilot.app.screen.lines)
        assert "skipped c[red].txt: byte 0 is 0xff" in lines
        assert "its loss looks better than it is" in lines
        assert "one document of 2,080 tokens" in lines


async def test_a_validation_split_below_one_window_names_a_ratio(tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text(" ".join(f"word{number}" for number in range(300)))
    values = file_preset(file).to_dict()
    values["data"]["split"]["validation"] = 0.01
    values["model"]["block_size"] = 128
    from slm_tui.config.preset import parse

    preset = chosen(parse(values, "mine"))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset)
        assert "▲ validation has" in written(screen)
        await pilot.press("d")
        await pilot.pause()
        assert isinstance(pilot.app.screen, TextDialog)
        lines = " ".join(line.plain for line in pilot.app.screen.lines)
        assert "set data.split.validation to 0.0" in lines


async def test_o_opens_another_text_in_the_preset(tiny: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "other.txt"
    file.write_text("another text altogether. " * 400)
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset)
        await pilot.press("o")
        await pilot.pause()
        ask = pilot.app.screen
        assert isinstance(ask, Ask)
        ask.query_one(Input).value = str(tmp_path / "gone.txt")
        await pilot.pause()
        await pilot.press("enter")
        assert pilot.app.screen is ask
        assert "there is no text at" in str(ask.query_one("#wrong", Static).render())
        ask.query_one(Input).value = str(file)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await shows(pilot, screen, "ready")
        for _ in range(100):
            if screen.text.text.startswith("another text"):
                break
            await pilot.pause(0.05)
        assert screen.text.text.startswith("another text")
        await pilot.press("1")
        presets = pilot.app.screen
        assert isinstance(presets, PresetsScreen)
        assert presets.draft is not None
        assert presets.draft.values["data"]["kind"] == "file"
        assert presets.draft.can_train
        await pilot.press("u")
        assert presets.draft.values["data"]["kind"] == "stories"


async def test_rows_without_text_columns_are_explained_on_screen(tmp_path: Path) -> None:
    file = tmp_path / "numbers.jsonl"
    file.write_text("\n".join(json.dumps({"a": n, "b": n * n}) for n in range(50)))
    preset = chosen(file_preset(file), prepared=False)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "missing")
        await pilot.press("p")
        await shows(pilot, screen, "failed")
        text = " ".join(written(screen).split())
        assert "has no text column" in text
        assert "set data.text_column" in text


async def test_tab_completes_the_path_of_a_text(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "a play with spaces.txt").write_text("words " * 400)
    (tmp_path / "aa").mkdir()
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, preset)
        await pilot.press("o")
        await pilot.pause()
        box = app.screen.query_one(Input)
        box.value = f"{tmp_path}/a"
        box.cursor_position = len(box.value)
        for _ in range(50):
            await pilot.pause(0.02)
            if box._suggestion:
                break
        await pilot.press("tab")
        assert box.value == f"{tmp_path}/a play with spaces.txt"
