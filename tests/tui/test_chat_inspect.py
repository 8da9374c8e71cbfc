"""Inspect mode: moving through a text token by token, and continuing from any token."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Static

from slm_tui.corpus.tokenizers import chars_tokenizer
from slm_tui.generation.inspect import candidates
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.live.inspector import InspectionStatus
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.chat.candidates import candidate_row
from slm_tui.tui.screens.chat.heat import LEVELS, HeatView, level_of
from slm_tui.tui.screens.chat.inspect_pane import InspectPane
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.screens.chat.transcript import Entry
from slm_tui.tui.widgets.key_footer import KeyFooter
from slm_tui.tui.widgets.line_list import LineList
from tests import extent
from tests.tui.made_runs import add_run, until
from tests.tui.test_chat_screen import on_screen, open_chat, type_line

SIZES = extent.sizes([(60, 20), (80, 24), (99, 40), (120, 40), (200, 60)])


@pytest.fixture
def run() -> Run:
    return add_run("talker", checkpoints=[10, 20, 30], best=20)


async def written(pilot: Pilot[Any], prompt: str = "Once upon") -> ChatScreen:
    """Chat with a completion of at most 20 tokens."""
    screen = await open_chat(pilot)
    await until(pilot, lambda: screen.generation.state == "ready")
    await type_line(pilot, "/max 20")
    await type_line(pilot, prompt)
    await until(pilot, lambda: (last := last_text(screen)) and last.ending)
    return screen


async def inspected(pilot: Pilot[Any], prompt: str = "Once upon") -> ChatScreen:
    screen = await written(pilot, prompt)
    await pilot.press("ctrl+s")
    await until(pilot, lambda: screen.pane.inspector.poll().candidates is not None)
    screen.refresh_room()
    await pilot.pause()
    return screen


def last_text(screen: ChatScreen) -> Entry | None:
    return screen.transcript.last_text


def shown_candidates(screen: ChatScreen) -> Any:
    return screen.pane.inspector.poll().candidates


def about(screen: ChatScreen) -> str:
    return str(screen.query_one("#this-token", Static).render())


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_all_inspect_panes(run: Run, size: tuple[int, int]) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=size) as pilot:
        screen = await inspected(pilot)
        pane = screen.query_one(InspectPane)
        await until(pilot, lambda: len(screen.pane.inspector.poll().others) == 2)
        assert isinstance(screen.focused, HeatView)
        # After end-of-text and nine prompt bytes, the cursor is on the first generated token.
        assert pane.place == 10
        text = on_screen(pilot)
        assert "Once upon" in text.replace("\n", "")
        assert "mean −ln p" in text
        assert "next after 'n'" in text
        assert pane.choices.size.height > 3
        assert pane.heat.size.height > 3
        last = text.splitlines()[-1]
        assert "Continue" in last
        assert last.rstrip().endswith("? Help")
        assert sum(one.width + 2 for one in screen.query_one(KeyFooter).places) - 2 <= size[0] - 2


async def test_the_cursor_requests_candidates_for_its_token(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await inspected(pilot)
        pane = screen.query_one(InspectPane)
        tokens = screen.pane.inspector.poll().tokens
        assert tokens is not None
        for keys, place in ((("left",), 9), (("home",), 0), (("right", "right"), 2)):
            await pilot.press(*keys)
            assert pane.place == place
        await until(pilot, lambda: shows(screen, 2))
        assert f"id {tokens.ids[2]}" in about(screen)
        assert "rank" in about(screen)
        await until(pilot, lambda: not screen.pane.inspector.poll().reading_others)
        screen.refresh_room()
        await pilot.pause()
        assert "10 " in about(screen)
        assert "30 " in about(screen)
        await pilot.press("home")
        assert "There is no context before the first token" in about(screen)
        await pilot.press("end")
        await until(pilot, lambda: shows(screen, len(tokens.ids)))
        assert "the next token" in about(screen)


async def test_late_counts_are_shown(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await inspected(pilot)
        await until(pilot, lambda: not screen.pane.inspector.poll().counting)
        seen, pane = screen.pane.inspector.poll(), screen.query_one(InspectPane)
        for counts, expected in ((None, False), (np.full(300, 7), True)):
            pane.draw(replace(seen, counts=counts), [], "")
            assert ("7 in training" in about(screen)) is expected


async def test_a_narrow_panel_shows_each_fact_in_one_line(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await inspected(pilot)
        await until(pilot, lambda: len(screen.pane.inspector.poll().others) == 2)
        await until(pilot, lambda: not screen.pane.inspector.poll().counting)
        screen.refresh_room()
        await pilot.pause()
        panel = screen.query_one("#this-token", Static)
        lines = about(screen).split("\n")
        assert max(map(len, lines)) <= panel.content_size.width
        assert [line.split()[0] for line in lines[:4]] == ["id", "rank", "T=0", "entropy"]
        assert len(lines) == 5 + 2
        await pilot.press("k", "k")
        screen.refresh_room()
        await pilot.pause()
        assert "top-k 200" in on_screen(pilot)


async def test_help_explains_inspect_mode_and_the_title_counts_the_texts(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await inspected(pilot)
        assert "text" not in str(screen.pane.heat.border_title)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Inspect mode" in on_screen(pilot))
        assert "Rank 1 is the most likely token" in on_screen(pilot)
        await pilot.press("escape", "ctrl+r")
        await until(pilot, lambda: "text 2/2" in str(screen.pane.heat.border_title))
        await pilot.press("pageup")
        await until(pilot, lambda: "text 1/2" in str(screen.pane.heat.border_title))


def shows(screen: ChatScreen, place: int) -> bool:
    screen.refresh_room()
    result = screen.pane.inspector.poll().candidates
    return result is not None and result.place == place


async def test_counts_without_other_results_are_drawn(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await inspected(pilot)
        seen = screen.pane.inspector.poll()
        screen.pane.inspector.close()
        assert seen.tokens is not None
        before = replace(seen, reading_others=False, counts=None, counting=True)
        counts = np.full(300, 123_457)
        for one in (before, replace(before, counts=counts, counting=False)):
            screen.pane.draw(one, [], "")
        assert "123,457" in about(screen)


async def test_a_broken_model_is_inspected_like_others(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await written(pilot)
        loaded = screen.generator.loaded()
        assert loaded is not None
        for weights in loaded.model.parameters():
            weights.detach().fill_(math.nan)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: screen.pane.inspector.poll().candidates is not None)
        screen.refresh_room()
        await pilot.pause()
        assert "nan" in about(screen)
        assert screen.pane.choices.rows


def test_bars_start_in_one_column_for_any_characters() -> None:
    tokenizer = chars_tokenizer(["日本語 wide, and narrow"])
    ids = tokenizer.encode("日n")
    logits = torch.zeros(tokenizer.n_vocab)
    logits[ids] = 9.0
    result = candidates(logits, [*ids, ids[0]], 1, SamplingSettings(), context=16)
    rows = [candidate_row(tokenizer, result, one, 1.0, 60).plain for one in result.rows[:2]]
    assert len({cell_len(row.partition("█")[0]) for row in rows}) == 1


async def test_settings_change_which_tokens_can_be_sampled(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await inspected(pilot)
        await pilot.press("g")
        await until(pilot, lambda: (one := shown_candidates(screen)) and one.remaining == 1)
        screen.refresh_room()
        await pilot.pause()
        assert "1 can be sampled" in on_screen(pilot)


async def test_typed_text_can_be_inspected(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        await pilot.press("ctrl+s")
        assert not screen.is_inspecting
        await pilot.press(*"a cat")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: screen.pane.inspector.poll().heat is not None)
        tokens = screen.pane.inspector.poll().tokens
        assert tokens is not None
        assert tokens.ids[1:] == tuple(b"a cat")
        await pilot.press("escape")
        assert not screen.is_inspecting
        assert screen.typed() == "a cat"


async def test_resampling_regenerates_from_the_token(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await inspected(pilot)
        first = last_text(screen)
        assert first is not None
        assert first.tokens is not None
        seed = screen.settings.sampling.seed
        await pilot.press("right", "right", "ctrl+r")
        await until(pilot, lambda: screen.is_inspecting and last_text(screen) is not first)
        second = last_text(screen)
        assert second is not None
        assert second.tokens is not None
        assert screen.settings.sampling.seed == second.seed == seed + 1
        assert second.tokens.ids[:12] == first.tokens.ids[:12]
        assert second.tokens.ids != first.tokens.ids
        assert second.prompt == "Once upon"
        assert "from token 12" in second.heading
        assert screen.query_one(InspectPane).place == 12


async def test_a_chosen_candidate_is_continued(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await inspected(pilot)
        await until(pilot, lambda: shows(screen, 10))
        await pilot.pause()
        choices = screen.query_one(InspectPane).query_one(LineList)
        choices.focus()
        await pilot.press("home", "down")
        key = choices.key
        assert key is not None
        first = last_text(screen)
        assert first is not None
        assert first.tokens is not None
        await pilot.press("enter")
        await until(pilot, lambda: screen.is_inspecting and last_text(screen) is not first)
        second = last_text(screen)
        assert second is not None
        assert second.tokens is not None
        assert second.tokens.ids[:11] == (*first.tokens.ids[:10], int(key))


async def test_ctrl_r_in_the_chat_regenerates_the_completion(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await written(pilot)
        first = last_text(screen)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: (last := last_text(screen)) is not first and last.ending)
        second = last_text(screen)
        assert first is not None
        assert second is not None
        assert second.prompt == first.prompt == "Once upon"
        assert second.text != first.text
        assert not screen.is_inspecting


async def test_paging_past_the_edges_shows_earlier_texts(run: Run) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await written(pilot, "One")
        first = last_text(screen)
        await type_line(pilot, "Two")
        await until(pilot, lambda: (last := last_text(screen)) is not first and last.ending)
        await pilot.press("ctrl+s", "pageup")
        assert screen.pane.entry is first
        await pilot.press("pagedown")
        assert screen.pane.entry is last_text(screen)


async def test_another_model_reads_the_same_text(run: Run) -> None:
    other = add_run("reader", checkpoints=[5], best=5)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await inspected(pilot)
        before = screen.pane.inspector.poll()
        screen.load(Path(other.checkpoints / "step-000005"))
        assert not screen.is_inspecting
        await until(pilot, lambda: screen.generation.state == "ready")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: screen.pane.inspector.poll().heat is not None)
        after = screen.pane.inspector.poll()
        assert before.tokens is not None
        assert after.tokens == before.tokens


def test_color_levels_rise_with_surprisal() -> None:
    assert [level_of(one) for one in (float("nan"), 0.0, *LEVELS, 99.0)] == [-1, 0, 1, 2, 3, 4, 4]
    assert InspectionStatus().heat is None
