"""Chunks in inspect mode: how an H-Net cuts a text, and how it did at other steps."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.chat.chunk_list import ChunkList
from slm_tui.tui.screens.chat.heat import HeatView
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.widgets.key_footer import KeyFooter
from tests import extent, limits
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until
from tests.tui.test_chat_inspect import about, inspected
from tests.tui.test_chat_screen import on_screen

SIZES = extent.sizes([(60, 20), (80, 24), (99, 40), (120, 40), (200, 60)])
TWO_STAGES: dict[str, Any] = {
    "kind": "hnet",
    "d_model": (16, 16, 24),
    "num_blocks": ((1, 0, 1), (1, 0, 1), (1,)),
    "block_size": 32,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a run with three checkpoints."""
    changes: dict[str, Any] = {
        "max_steps": 30,
        "checkpoint_every": 10,
        "evaluate_every": 10,
        "keep_checkpoints": 9,
    }
    training = {f"training__{name}": value for name, value in changes.items()}
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLM_TUI_HOME", str(home))
        session = Session.start(make_tiny(name="cutter", model=TWO_STAGES, **training))
        assert session.wait(limits.LIMIT)
    return home


@pytest.fixture
def run(trained: Path, home: Path) -> Run:
    shutil.copytree(trained, home, dirs_exist_ok=True, symlinks=True)
    return store.find("last")


async def with_chunks(pilot: Pilot[Any]) -> ChatScreen:
    """Inspect mode with chunks, everything read."""
    screen = await inspected(pilot)
    await until(pilot, lambda: not screen.pane.inspector.poll().reading_others)
    await until(pilot, lambda: not screen.pane.inspector.poll().counting)
    await pilot.press("v")
    screen.refresh_room()
    await pilot.pause()
    return screen


def listed(screen: ChatScreen) -> list[str]:
    return str(screen.query_one(ChunkList).render()).split("\n")


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_the_text_its_steps_and_its_byte(
    run: Run, size: tuple[int, int]
) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=size) as pilot:
        screen = await with_chunks(pilot)
        text = on_screen(pilot)
        assert "Once upon" in text.replace("\n", "")
        assert "bytes/chunk" in text
        lines = listed(screen)
        assert [line[1:8].strip() for line in lines] == ["10", "20", "30", "BPE"]
        assert max(map(len, lines)) <= screen.query_one(ChunkList).content_size.width
        # All show the same passage, one below the other.
        assert len({line[9:].rstrip() for line in lines}) == 1
        facts = about(screen)
        assert "stage 1: " in facts
        assert "…" not in facts.split("\n")[1]
        assert "stage 2:" in facts
        assert "chunk " in facts
        last = text.splitlines()[-1]
        assert last.rstrip().endswith("? Help")
        assert sum(one.width + 2 for one in screen.query_one(KeyFooter).places) - 2 <= size[0] - 2


async def test_chunks_alternate_in_color_and_v_shows_surprisal_again(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await with_chunks(pilot)
        heat = screen.query_one(HeatView)
        cut = screen.pane.inspector.poll().chunks
        assert cut is not None
        styles = [heat.token_style(token) for token in range(cut.probability.shape[1])]
        odd, even = (heat.get_visual_style(f"heat-view--{one}") for one in ("odd", "even"))
        for token, number in enumerate(cut.number(0).tolist()):
            assert styles[token].background == (odd if number % 2 else even).background
        marked = [token for token, style in enumerate(styles) if style.underline]
        assert marked == [token for token, one in enumerate(cut.begins_inner) if one]
        assert not screen.pane.choices.display
        await pilot.press("v")
        await pilot.pause()
        assert screen.pane.choices.display
        assert "mean −ln p" in on_screen(pilot)
        assert heat.token_style(0) == heat.get_visual_style("heat-view--none")


async def test_the_lines_fill_the_panel_also_after_it_is_resized(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await with_chunks(pilot)
        await pilot.press("home")
        for columns in (120, 80, 160):
            await pilot.resize_terminal(columns, 40)
            await pilot.pause()
            room = screen.query_one(ChunkList).content_size.width
            text = screen.pane.heat.text.replace("\n", "")
            assert len(listed(screen)[0]) >= min(room - 2, 8 + len(text)), columns


async def test_the_cursor_moves_through_the_bytes(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await with_chunks(pilot)
        await pilot.press("home")
        await pilot.pause()
        assert "boundary p 100.0%, begins a chunk" in about(screen)
        await pilot.press("end")
        await pilot.pause()
        assert "the next byte" in about(screen)


async def test_a_replay_shows_each_step_and_ends_with_the_loaded_one(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await with_chunks(pilot)
        shown: list[str] = []

        def look() -> bool:
            mark = next(line for line in listed(screen) if line.startswith("▶"))
            if mark[1:8].strip() not in shown[-1:]:
                shown.append(mark[1:8].strip())
            return screen.pane._replay is None and len(shown) > 1

        await pilot.press("r")
        await until(pilot, look)
        await pilot.pause()
        look()
        assert shown == ["10", "20", "30"]
        # A second press stops it.
        await pilot.press("r", "r")
        assert screen.pane._replay is None


async def test_other_models_say_which_ones_cut_text() -> None:
    add_run("talker", checkpoints=[10], best=10)
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await inspected(pilot)
        await pilot.press("v")
        messages = [one.message for one in pilot.app._notifications]
        assert any("Only an H-Net splits text" in one for one in messages)
        assert not screen.pane.has_class("-chunks")
        assert screen.query_one("#this-token", Static).display
