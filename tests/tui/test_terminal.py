"""The real program in a real terminal (tmux): the main workflow, and never losing a run."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from slm_tui.config.preset import Preset
from slm_tui.runs import conversation, store
from tests import extent
from tests.tui.terminals import Terminal, choose, events, steps, train, until

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
    pytest.mark.xdist_group("terminal"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return tmp_path / "home"


def test_the_main_workflow_from_the_first_frame_to_a_resumed_run(
    terminal: Terminal, quick: Preset
) -> None:
    run = train(terminal)
    terminal.wait_for(r"val \d")
    terminal.press("s")
    until(lambda: "saved" in events(run))
    terminal.press("g")
    terminal.wait_for(r"step [\d,]+\s*[│\n]")
    terminal.press("Space")
    terminal.wait_for("paused")
    at = steps(run)
    terminal.press("Space")
    terminal.wait_for("training")
    until(lambda: steps(run) > at)
    terminal.press("4")
    terminal.wait_for("quick @ [0-9]")
    terminal.type("The fox")
    terminal.press("Enter")
    terminal.wait_for(r"tok/s.*✓|✓.*tok/s|[0-9]+ tokens")
    terminal.press("C-q")
    terminal.wait_for("Save and stop")
    terminal.press("Escape", "F3")
    terminal.wait_for("loss ·")
    terminal.press("C-q")
    terminal.wait_for("Save and stop")
    choose(terminal, "Save and stop")
    terminal.wait_for(r"ENDED-0")
    assert run.info().state == "stopped"
    stopped = steps(run)

    terminal.run("train", "--resume", "last", "--json")
    until(lambda: run.info().state == "running" and steps(run) > stopped)
    terminal.press("C-c")
    terminal.wait_for("ENDED-130")
    assert run.info().state == "stopped"
    assert "failed" not in events(run)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=extent.only_in_all)]
)
def test_a_signal_to_the_app_saves_the_training(
    terminal: Terminal, quick: Preset, number: signal.Signals
) -> None:
    run = train(terminal)
    until(lambda: steps(run) > 50)
    os.kill(run.info().pid, number)
    until(lambda: run.info().state == "stopped")
    assert store.checkpoint_of(run, "last").name >= "step-000050"
    terminal.wait_for("ENDED-0")


def test_ctrl_c_does_not_end_a_run(terminal: Terminal, quick: Preset) -> None:
    run = train(terminal)
    terminal.press("C-c")
    at = steps(run)
    until(lambda: steps(run) > at + 20)
    assert run.info().state == "running"


def test_from_overfitting_to_a_remedy_that_helped_to_chat(home: Path, tmp_path: Path) -> None:
    """The first minutes of a learner, by keys alone at 80x24."""
    terminal = Terminal(tmp_path, 80, 24)
    try:
        terminal.run()
        terminal.wait_for("stories-tiny ★")
        terminal.type("/educational-tiny")
        terminal.wait_for(r"─ ?educational-tiny ?─")
        terminal.press("Enter")
        terminal.wait_for("t Train")
        terminal.press("t")
        # Seen, and why.
        shown = terminal.wait_for(r"▲ OVERFITTING since step \d+")
        until(lambda: store.all_runs()[0].info().state == "done")
        shown = terminal.wait_for(r"try more text: 800 tokens")
        assert max(len(line) for line in shown.splitlines()) <= 80
        terminal.press("d")
        terminal.wait_for("memorise")
        terminal.press("Escape")
        # The remedy, and that it helped, with figures.
        terminal.press("a")
        terminal.wait_for("what to try")
        terminal.press("Enter")
        before = until(lambda: store.all_runs()[-1] if len(store.all_runs()) == 2 else None)
        terminal.wait_for(r"It helped: best \d\.\d{3} bits per byte, \d\.\d{3} before")
        after = store.all_runs()[0]
        assert after.info().before == before.id
        assert after.preset().data.limit.tokens == 800
        # Chat, with the sampling of the preset.
        terminal.press("4")
        terminal.wait_for("T 0.80 · top-k 40")
        terminal.type("Once upon a time")
        terminal.press("Enter")
        # It is kept once it is complete; the screen counts its tokens before.
        kept = until(lambda: conversation.read(after.path))
        assert kept[0].prompt == "Once upon a time"
        terminal.press("C-q")
        terminal.wait_for("ENDED-0")
    finally:
        terminal.close()
