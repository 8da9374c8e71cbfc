"""The Data screen: statistics of a prepared corpus, its text, preparing and cancelling."""

import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Static

from slm_tui import paths
from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.prepare import cached, prepare
from slm_tui.corpus.statistics import measure
from slm_tui.corpus.tokenizers import byte_tokenizer
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.data.charts import Lengths, blocks, charts
from slm_tui.tui.screens.data.screen import DataScreen
from slm_tui.tui.screens.data.tables import TokenTable
from slm_tui.tui.screens.data.view import Summary
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.widgets.key_footer import KeyFooter
from slm_tui.tui.widgets.token_text import TextView, TokenPassage, line, passage, wrapped
from tests import extent, limits
from tests.corpus.test_gutenberg import MODERN

SIZES = extent.sizes([(60, 20), (66, 20), (80, 24), (99, 40), (100, 40), (160, 40), (200, 60)])
HOSTILE = [
    "[bold]loud[/bold] [@click=app.quit]quit[/] [/]",
    "escape \x1b[31mred\x1b[0m \x1b]2;title\x07 bell",
    "controls \x7f \x9b31m \x0b \r",
    "right to left \u202eevil\u202c and \u2066isolated\u2069",
    "wide 中文字符 emoji 😀 é",
]
Tiny = Callable[..., Preset]


def chosen(preset: Preset, prepared: bool = True) -> Preset:
    library.save(preset)
    if prepared:
        prepare(preset)
    return preset


def file_preset(path: Path, **tokenizer: Any) -> Preset:
    return parse(
        {
            "name": "mine",
            "data": {"kind": "file", "path": str(path), "split": {"validation": 0.2}},
            "tokenizer": tokenizer or {"kind": "bytes"},
            "model": {"kind": "gpt", "n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 8},
        },
        "a preset",
    )


async def opened(pilot: Pilot[None], preset: Preset, state: str = "ready") -> DataScreen:
    """The Data screen on `preset`, once it shows `state`."""
    await pilot.pause()
    assert isinstance(pilot.app.screen, PresetsScreen)
    pilot.app.screen.choose(preset.name)
    await pilot.press("5")
    screen = pilot.app.screen
    assert isinstance(screen, DataScreen)
    await shows(pilot, screen, state)
    return screen


async def shows(pilot: Pilot[None], screen: DataScreen, state: str) -> None:
    for _ in range(400):
        await pilot.pause(0.02)
        screen.refresh_room()
        if screen.worker.snapshot.state == state:
            await pilot.pause()
            return
    raise AssertionError(f"{screen.worker.snapshot.state} is not {state}")


def written(screen: DataScreen) -> str:
    """All text on the screen, one line per row."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in screen._compositor.render_strips()
    )


async def comes(pilot: Pilot[None], screen: DataScreen, words: str) -> None:
    """Wait until `words` are on the screen, as panes are drawn once they have a size."""
    for _ in range(400):
        if words in written(screen):
            return
        await pilot.pause(0.02)
    raise AssertionError(f"{words!r} is not in {written(screen)}")


# What it shows


@pytest.mark.parametrize("size", SIZES)
async def test_the_footer_is_complete_at_every_size(size: tuple[int, int], tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, preset)
        footer = screen.query_one(KeyFooter)
        last = written(screen).splitlines()[-1]
        assert last.rstrip().endswith("? Help")
        assert "g Random" in last
        assert sum(one.width + 2 for one in footer.places) - 2 <= size[0] - 2
        assert screen.query_one(Summary).region.height > 4
        assert screen.text.size.height >= 2


async def test_a_prepared_corpus_is_shown_at_once(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset)
        text = written(screen)
        for words in ("training", "validation", "bytes/tok", "tokens/param", "epochs", "floor"):
            assert words in text
        assert "most frequent bytes" in text
        await comes(pilot, screen, "document 1 of 40")
        assert screen.query_one(Lengths).region.height > 2
        assert isinstance(screen.focused, TextView)


async def test_edits_of_the_preset_are_used(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, preset)
        plan = screen.worker.snapshot.plan
        assert plan is not None
        await pilot.press("1")
        presets = pilot.app.screen
        assert isinstance(presets, PresetsScreen)
        assert presets.draft is not None
        presets.draft.put("training.max_steps", preset.training.max_steps * 2)
        await pilot.press("5")
        await shows(pilot, screen, "ready")
        for _ in range(100):
            await pilot.pause(0.02)
            twice = screen.worker.snapshot.plan
            assert twice is not None
            if twice.epochs != plan.epochs:
                break
        assert twice.epochs == pytest.approx(2 * (plan.epochs or 0))


async def test_an_invalid_edit_is_reported(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(pilot.app.screen, PresetsScreen)
        pilot.app.screen.choose(preset.name)
        assert pilot.app.screen.draft is not None
        pilot.app.screen.draft.put("model.n_head", 5)
        await pilot.press("5")
        await pilot.pause(0.3)
        message = str(pilot.app.screen.query_one("#nothing", Static).render())
        assert "tiny is invalid" in message
        assert "n_head" in message


async def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    preset = chosen(file_preset(tmp_path / "gone.txt"), prepared=False)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "failed")
        text = written(screen)
        # A long path may wrap anywhere.
        assert "gone.txt" in "".join(text.split())
        assert "p to try again" in text


@extent.sample(2)
@pytest.mark.parametrize("tokenizer", [{"kind": "bytes"}, {"kind": "bpe", "vocab_size": 280}])
@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_hostile_text_is_only_text(
    tokenizer: dict[str, Any], size: tuple[int, int], tmp_path: Path
) -> None:
    file = tmp_path / "[red]hostile\u202e.txt"
    documents = [f"{number} {text}" for number in range(6) for text in HOSTILE]
    file.write_text("<|endoftext|>".join(documents), newline="")
    preset = chosen(file_preset(file, **tokenizer))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, preset)
        for key in ("", "v", *["pagedown"] * 12, *["right"] * 9, "v", *["pagedown"] * 12, "g"):
            if key:
                await pilot.press(key)
                await pilot.pause()
            text = written(screen)
            obeyed = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs")}
            assert obeyed <= {"\n"}
            assert "? Help" in text.splitlines()[-1]
            assert all(cell_len(row) == size[0] for row in text.splitlines())
        reader = screen.reader
        reader._part, reader._document, reader._start = "train", 0, 0
        reader._read()
        await pilot.pause()
        assert HOSTILE[0][:20] in written(screen).replace("\n", "")


async def test_zero_bytes_are_shown_as_symbols_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "zero.txt"
    file.write_bytes(b"zero \x00 byte" * 40)
    library.save(file_preset(file))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(pilot.app.screen, PresetsScreen)
        pilot.app.screen.choose("mine")
        await pilot.press("5", "p")
        screen = pilot.app.screen
        assert isinstance(screen, DataScreen)
        for _ in range(200):
            await pilot.pause(0.02)
            if screen.worker.snapshot.state in ("ready", "failed"):
                break
        await pilot.pause(0.3)
        text = written(screen)
        assert "\x00" not in text
        assert "is NUL (0x00)" in text.replace("\n", " ")


# Preparing


async def test_p_prepares_an_unprepared_corpus(tiny: Tiny) -> None:
    preset = chosen(tiny(data__documents=300), prepared=False)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "missing")
        text = written(screen)
        assert "300 stories (tiny)" in text
        assert "Press p to prepare it." in text
        assert "p Prepare" in text.splitlines()[-1]
        await pilot.press("p")
        await shows(pilot, screen, "ready")
        assert cached(preset) is not None
        await comes(pilot, screen, "document 1 of 300")


async def test_escape_cancels_and_leaves_nothing_behind(tiny: Tiny) -> None:
    preset = chosen(tiny(data__documents=2_000_000), prepared=False)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "missing")
        await pilot.press("p")
        for _ in range(100):
            await pilot.pause(0.02)
            if (progress := screen.worker.snapshot.progress) is not None and progress.done:
                break
        screen.refresh_room()
        await pilot.pause()
        text = written(screen)
        assert "generating stories" in text
        assert "esc cancels" in text
        assert "%" in text
        await pilot.press("escape")
        await shows(pilot, screen, "missing")
        await comes(pilot, screen, "cancelled")
        assert cached(preset) is None
        assert list(paths.corpora_dir().iterdir()) == []


async def test_leaving_the_app_while_preparing_leaves_nothing_behind(tiny: Tiny) -> None:
    preset = chosen(tiny(data__documents=2_000_000), prepared=False)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "missing")
        await pilot.press("p")
        for _ in range(100):
            await pilot.pause(0.02)
            if (progress := screen.worker.snapshot.progress) is not None and progress.done:
                break
    assert list(paths.corpora_dir().iterdir()) == []


async def test_preparing_continues_while_another_screen_is_shown(tiny: Tiny) -> None:
    preset = chosen(tiny(data__documents=3000), prepared=False)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset, "missing")
        await pilot.press("p", "1")
        for _ in range(400):
            await pilot.pause(0.02)
            if screen.worker.snapshot.state == "ready":
                break
        await pilot.press("5")
        await shows(pilot, screen, "ready")
        assert cached(preset) is not None


# Reading


async def test_g_shows_other_documents_and_arrows_the_other_split(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, preset)
        seen = {screen.text.text}
        for _ in range(12):
            await pilot.press("g")
            seen.add(screen.text.text)
        assert len(seen) > 3
        await pilot.press("right")
        assert "validation" in str(screen.text.border_title)
        assert screen.text.text not in seen
        await pilot.press("left")
        assert "training" in str(screen.text.border_title)


async def test_paging_reads_through_a_long_document_and_back(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text(" ".join(f"word{number}" for number in range(2000)))
    preset = chosen(file_preset(file))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(200, 60)) as pilot:
        screen = await opened(pilot, preset)
        assert screen.text.text.startswith("word0 word1 ")
        assert "tokens 1–2,000 of" in str(screen.text.border_title)
        whole = screen.text.text
        for _ in range(30):
            await pilot.press("pagedown")
            if screen.text.text not in whole:
                whole += screen.text.text
        expected = (prepared := prepare(preset)).tokenizer.decode_bytes(prepared.train[1:-1])
        assert whole == expected.decode()
        await pilot.press("home", "pageup")
        assert "tokens 1–2,000" not in str(screen.text.border_title)


async def test_v_shows_token_boundaries(tiny: Tiny) -> None:
    preset = chosen(tiny(tokenizer={"kind": "bpe", "vocab_size": 300}))
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, preset)
        plain = screen.text.render_line(0)
        await pilot.press("v")
        cut = screen.text.render_line(0)
        assert cut.text.rstrip("↵ ") == plain.text.rstrip()
        colours = {segment.style.bgcolor for segment in cut if segment.style}
        assert len(colours) > len({segment.style.bgcolor for segment in plain if segment.style})
        await pilot.press("v")
        assert screen.text.render_line(0).text == plain.text


@extent.sample(2)
@pytest.mark.parametrize("theme", ["slm-dark", "slm-light", "ansi-dark", "ansi-light"])
async def test_neighbouring_tokens_differ_in_every_theme(theme: str, tiny: Tiny) -> None:
    app = SlmTuiApp(load_torch=False)
    preset = chosen(tiny())
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        screen = await opened(pilot, preset)
        await pilot.press("v")
        first, second = list(screen.text.render_line(0))[:2]
        assert first.style != second.style


async def test_the_left_side_can_be_hidden_to_read(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset)
        before = screen.text.size.height
        await pilot.press("[")
        await pilot.pause()
        assert screen.text.size.height > before
        await pilot.press("[", "z")
        await pilot.pause()
        assert screen.text.size.height > before


async def test_c_copies_the_passage_or_the_table(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, preset)
        await pilot.press("c")
        assert app.clipboard == screen.text.text
        screen.query_one(TokenTable).focus()
        await pilot.press("c")
        assert app.clipboard.startswith("token\tcount\n' '\t")


# Individual parts


def test_split_characters_are_hexadecimal_only_in_the_token_view() -> None:
    ids = list("né".encode())
    assert passage(byte_tokenizer(), ids, cuts=False).text == "né"
    cut = passage(byte_tokenizer(), ids, cuts=True)
    assert cut.text == "n‹c3›‹a9›"
    assert cut.starts == (0, 1, 5)


def test_every_token_of_a_line_has_its_own_style() -> None:
    found = line(TokenPassage("one two", (0, 3)), 1, 6, lambda token: "bold" if token else "italic")
    assert found.plain == "ne tw"
    assert [(span.start, span.end, span.style) for span in found.spans] == [
        (0, 2, "italic"),
        (2, 5, "bold"),
    ]


@given(st.text(st.characters() | st.sampled_from(" 0\n中"), max_size=200), st.integers(2, 30))
def test_wrapping_loses_nothing_and_never_overflows(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join(text[begin:end] for begin, end in lines) == text.replace("\n", "")
    assert all(cell_len(text[begin:end].removesuffix(" ")) <= width for begin, end in lines)


def test_lines_break_after_a_space() -> None:
    text = "one two three"
    assert [text[begin:end] for begin, end in wrapped(text, 8)] == ["one two ", "three"]


def test_bars_show_every_nonzero_value() -> None:
    assert blocks([0, 1, 1000], 1) == [" ▁█"]
    assert blocks([8, 16], 2, columns=2) == ["  ██", "████"]


@pytest.mark.parametrize("tokenizer", [{"kind": "bytes"}, {"kind": "bpe", "vocab_size": 300}])
def test_charts_fit_their_size(tokenizer: dict[str, Any], tiny: Tiny) -> None:
    result = charts(measure(prepare(tiny(tokenizer=tokenizer))))
    assert [chart.caption for chart in result][:2] == ["training documents", "validation documents"]
    assert result[-1].caption == ("bytes" if tokenizer["kind"] == "bytes" else "tokens")
    for chart in result:
        for width in (17, 30, 58, 300):
            for height in (2, 5, 16):
                lines = chart.draw(width, height)
                assert len(lines) == height
                assert all(line.cell_length <= width for line in lines[:-1])


def test_the_screen_loads_neither_numpy_nor_torch() -> None:
    code = (
        "import sys, slm_tui.tui.screens.data.screen\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'tokenizers')))"
    )
    assert limits.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_left_out_of_a_book_is_shown(
    home: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "book.txt"
    path.write_text(MODERN)
    preset = chosen(file_preset(path))
    app = SlmTuiApp()
    async with app.run_test(size=size) as pilot:
        await opened(pilot, preset)
        shown = "\n".join(str(line) for line in app.screen.query_one(Summary).render().split("\n"))
        assert "Project Gutenberg's header and licence left out" in shown


@pytest.mark.parametrize("size", SIZES)
async def test_the_files_of_each_split_are_shown(
    home: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    for name, word in (("train", "cat"), ("val", "dog")):
        lines = (f"The {word} saw {number} birds.\n" for number in range(40))
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    values = file_preset(tmp_path).to_dict()
    values["data"] = {"kind": "directory", "path": str(tmp_path)}
    preset = chosen(parse(values, "a preset"))
    app = SlmTuiApp()
    async with app.run_test(size=size) as pilot:
        await opened(pilot, preset)
        shown = "\n".join(str(line) for line in app.screen.query_one(Summary).render().split("\n"))
        assert "split by file name: training train.txt, validation" in shown
