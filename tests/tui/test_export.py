"""Exporting a checkpoint on the Runs screen: format, path, progress, and the command to copy."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from slm_tui import paths
from slm_tui.runs.store import Run
from slm_tui.tui.dialogs import Ask, Notice, Question
from slm_tui.tui.screens.runs.export import ExportDialog
from slm_tui.tui.widgets.line_list import LineList
from tests import extent
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until
from tests.tui.test_runs_screen import SIZES, an_app, on_screen, open_runs, with_checkpoints

HGRN = {"kind": "hgrn", "n_layer": 1, "n_embd": 16, "block_size": 16}


async def ask(pilot: Pilot[Any], key: str = "E") -> Question:
    screen = await open_runs(pilot, 1)
    await with_checkpoints(pilot, screen)
    await pilot.press("tab", key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Question))
    assert isinstance(pilot.app.screen, Question)
    return pilot.app.screen


async def export_to(pilot: Pilot[Any], target: Path) -> ExportDialog:
    """Accept the chosen format, enter the path, and wait for the end."""
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one(Input).value = str(target)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ExportDialog))
    dialog = pilot.app.screen
    assert isinstance(dialog, ExportDialog)
    await until(pilot, lambda: dialog.worker.snapshot.state != "working")
    await until(pilot, lambda: dialog._drawn is dialog.worker.snapshot)
    await pilot.pause()
    return dialog


@extent.sample(2)
@pytest.mark.parametrize("size", SIZES)
async def test_a_checkpoint_is_exported_and_the_command_is_copied(
    size: tuple[int, int], tmp_path: Path
) -> None:
    add_run("mine", checkpoints=[10, 50])
    target = tmp_path / "out"
    async with an_app().run_test(size=size) as pilot:
        await ask(pilot)
        text = on_screen(pilot)
        assert "Export mine-50" in text
        assert "gguf q8_0" in text
        assert "ternary" not in text
        dialog = await export_to(pilot, target)
        # On the screen the sentence is wrapped where the path is long.
        await until(pilot, lambda: "GPT2" in on_screen(pilot))
        await pilot.press("c")
        written = dialog.worker.snapshot.written
        assert written is not None
        assert "GPT2 for transformers" in str(written)
        copied = (paths.data_dir() / "clipboard.txt").read_text()
        assert copied == written.usage[0].command
        assert str(target) in copied
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, ExportDialog)
    assert (target / "model.safetensors").is_file()


async def test_a_gguf_file_comes_with_two_commands(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    add_run("mine", checkpoints=[10])
    async with an_app().run_test(size=(120, 40)) as pilot:
        await ask(pilot, "w")
        await pilot.press("down")
        dialog = await export_to(pilot, tmp_path / "it.gguf")
        commands = [row.key for row in dialog.query_one(LineList).rows if row.selectable]
        assert [one.split()[0] for one in commands] == ["ollama", "llama-completion"]
        assert "▲ llama.cpp computes the tanh form" in on_screen(pilot)
        await pilot.press("down", "c")
        assert (paths.data_dir() / "clipboard.txt").read_text() == commands[1]


async def test_only_formats_that_hold_the_model_are_offered() -> None:
    add_run("mine", preset=make_tiny(model=HGRN), checkpoints=[10])
    async with an_app().run_test(size=(120, 40)) as pilot:
        await ask(pilot)
        text = on_screen(pilot)
        assert "huggingface" in text
        assert "ternary" in text
        assert "gguf" not in text


async def test_a_path_that_exists_is_not_accepted(tmp_path: Path) -> None:
    add_run("mine", checkpoints=[10])
    async with an_app().run_test(size=(120, 40)) as pilot:
        await ask(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        pilot.app.screen.query_one(Input).value = str(tmp_path)
        await pilot.pause()
        assert "it already exists" in on_screen(pilot)
        pilot.app.screen.query_one(Input).value = str(tmp_path / "no" / "where")
        await pilot.pause()
        assert "there is no directory" in on_screen(pilot)
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, Ask)


async def test_a_damaged_checkpoint_is_reported(tmp_path: Path) -> None:
    run: Run = add_run("mine", checkpoints=[10])
    async with an_app().run_test(size=(120, 40)) as pilot:
        await ask(pilot)
        file = run.checkpoints / "step-000010" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"!")
        dialog = await export_to(pilot, tmp_path / "out")
        assert dialog.worker.snapshot.state == "failed"
        assert "✗ " in on_screen(pilot)
        await pilot.press("enter")
        assert not isinstance(pilot.app.screen, ExportDialog)
    assert not (tmp_path / "out").exists()


async def test_a_run_without_checkpoints_says_so() -> None:
    add_run("mine")
    async with an_app().run_test(size=(120, 40)) as pilot:
        await open_runs(pilot, 1)
        await pilot.press("E")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
