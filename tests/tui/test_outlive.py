"""The app in a real terminal that goes away: the run does not, and another app takes over."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slm_tui.config import library
from slm_tui.config.preset import Preset
from slm_tui.live import steering
from slm_tui.runs import store
from slm_tui.runs.store import Run
from tests import extent
from tests.tui.terminals import (
    Terminal,
    alive,
    choose,
    choose_quick,
    end_runs,
    events,
    steps,
    train,
    until,
)

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
    pytest.mark.xdist_group("terminal"),
]
# Clock ticks of CPU time in two seconds: a busy loop takes all 200.
_FEW_TICKS = 30


@pytest.fixture
def closed(quick: Preset, tmp_path: Path) -> Iterator[Run]:
    """A run whose terminal was closed while it trained.

    The program is the leader of its terminal's session: no shell stands between them.
    """
    folder = tmp_path / "closed"
    folder.mkdir()
    app = Terminal(folder, program=f"exec {sys.executable} -m slm_tui")
    choose_quick(app)
    run = until(lambda: store.all_runs()[0] if store.all_runs() else None)
    until(lambda: steps(run) > 50)
    pid = run.info().pid
    app.close()
    yield run
    assert run.info().pid == pid
    end_runs()


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_a_run_survives_its_terminal_and_another_app_takes_over(
    closed: Run, terminal: Terminal
) -> None:
    pid, at = closed.info().pid, steps(closed)
    until(lambda: steps(closed) > at + 50)
    assert closed.info().state == "running"
    # It no longer reads from a terminal.
    if Path("/proc").is_dir():
        files = [
            os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()
        ]
        assert not [name for name in files if name.startswith(("/dev/pts", "/dev/tty"))]
    terminal.run()
    terminal.wait_for(r"▶ training")
    terminal.press("2")
    terminal.wait_for("loss ·")
    terminal.press("Space")
    until(lambda: closed.info().state == "paused")
    terminal.wait_for("‖ paused")
    if Path("/proc").is_dir():
        before = _ticks(pid)
        time.sleep(2.0)
        assert _ticks(pid) - before < _FEW_TICKS
    steering.ask(closed.path, "rate", 0.5, seconds=60)
    terminal.press("U", "Space")
    terminal.wait_for(r"▶ training")
    until(lambda: events(closed).count("changed") == 2)
    # Only followed: quitting asks nothing and ends nothing.
    terminal.press("C-q")
    terminal.wait_for("ENDED-0")
    at = steps(closed)
    until(lambda: steps(closed) > at)
    assert (closed.info().pid, closed.info().state) == (pid, "running")
    steering.ask(closed.path, "extend", 1, seconds=60)
    terminal.run("runs", "steer", "last", "stop")
    until(lambda: closed.info().state == "stopped")
    until(lambda: not alive(pid))


def test_a_run_finishes_without_its_terminal(quick: Preset, terminal: Terminal) -> None:
    changed = quick.training.model_copy(update={"max_steps": 1500})
    library.save(quick.model_copy(update={"training": changed}))
    run = train(terminal)
    # Even on a fast machine, the terminal closes before the run ends.
    steering.ask(run.path, "pause", seconds=60)
    until(lambda: run.info().state == "paused")
    pid, at = run.info().pid, steps(run)
    terminal.close()
    until((run.path / "console.log").exists)
    steering.ask(run.path, "continue", seconds=60)
    until(lambda: run.info().state == "done")
    until(lambda: not alive(pid))
    info = run.info()
    assert (info.pid, info.step) == (pid, 1500)
    assert at < 1500
    state = json.loads((store.checkpoint_of(run, "last") / "state.json").read_text())
    assert state["step"] == 1500
    assert "finished" in (run.path / "console.log").read_text()


@extent.only_in_all
def test_a_hangup_signal_returns_the_prompt(terminal: Terminal, quick: Preset) -> None:
    run = train(terminal)
    os.kill(run.info().pid, signal.SIGHUP)
    terminal.wait_for(f"slm-tui --run {run.id}")
    terminal.wait_for("ENDED-0")
    at = steps(run)
    until(lambda: steps(run) > at + 20)


@extent.only_in_all
def test_keep_training_continues_without_the_terminal(terminal: Terminal, quick: Preset) -> None:
    run = train(terminal)
    terminal.press("C-q")
    terminal.wait_for("Keep training")
    choose(terminal, "Keep training")
    terminal.wait_for("keeps training in the background")
    terminal.wait_for("ENDED-0")
    at = steps(run)
    until(lambda: steps(run) > at + 20)
    os.kill(run.info().pid, signal.SIGTERM)
    until(lambda: run.info().state == "stopped")
    assert store.checkpoint_of(run, "last").name == f"step-{steps(run):06}"


def test_an_error_in_the_ui_ends_only_the_ui(
    terminal: Terminal, quick: Preset, tmp_path: Path
) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "from slm_tui.tui.screens.train.screen import TrainScreen\n"
        "from slm_tui.commands.app import open_app\n"
        "shown = TrainScreen.refresh_room\n"
        "def fails(self):\n"
        "    shown(self)\n"
        "    if self.session and self.session.status.step > 300:\n"
        "        raise RuntimeError('the screen broke')\n"
        "TrainScreen.refresh_room = fails\n"
        "open_app('')\n"
    )
    run = train(terminal, str(script))
    shown = terminal.wait_for("ENDED-1")
    assert "the app failed: RuntimeError: the screen broke" in shown
    assert f"slm-tui --run {run.id}" in shown
    at = steps(run)
    until(lambda: steps(run) > at + 20)


def test_a_killed_parent_is_noticed(terminal: Terminal, quick: Preset) -> None:
    run = train(terminal)
    pid = run.info().pid
    parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(parent, signal.SIGKILL)
    until(lambda: os.getsid(pid) == pid)
    at = steps(run)
    until(lambda: steps(run) > at + 20)


def test_a_killed_app_leaves_a_sane_terminal(terminal: Terminal, quick: Preset) -> None:
    run = train(terminal)
    os.kill(run.info().pid, signal.SIGKILL)
    terminal.wait_for("ENDED-137")
    terminal.type("stty -a")
    terminal.press("Enter")
    assert " -icanon" not in terminal.wait_for("icanon")


@extent.only_in_all
def test_a_stopped_app_comes_back(terminal: Terminal, quick: Preset) -> None:
    run = train(terminal)
    pid = run.info().pid
    os.killpg(os.getpgid(pid), signal.SIGTSTP)
    terminal.wait_for("(?i)stopped")
    at = steps(run)
    terminal.type("fg")
    terminal.press("Enter")
    until(lambda: steps(run) > at)
    terminal.wait_for("▶ training")


def test_ctrl_z_suspends_the_app_and_ignores_keys_for_the_shell(
    terminal: Terminal, quick: Preset
) -> None:
    run = train(terminal)
    terminal.press("2")
    terminal.wait_for("loss ·")
    # In one burst, like a user who is typing at the shell already.
    terminal.type("\x1a x")
    terminal.wait_for("(?i)stopped")
    at = steps(run)
    terminal.press("C-u")
    terminal.type("echo the shell$((6*7))")
    terminal.press("Enter")
    terminal.wait_for("the shell42")
    terminal.type("fg")
    terminal.press("Enter")
    until(lambda: steps(run) > at)
    shown = terminal.wait_for("▶ training")
    assert "1 Presets  2 Train" in shown
    # The footer is drawn last.
    until(lambda: "? Help" in terminal.wait_for("1 Presets").rstrip().splitlines()[-1])
    assert run.info().state == "running"


@extent.only_in_all
def test_the_train_command_outlives_its_terminal(terminal: Terminal, quick: Preset) -> None:
    terminal.run("train", "quick")
    run = until(lambda: store.all_runs()[0] if store.all_runs() else None)
    until(lambda: steps(run) > 50)
    pid = run.info().pid
    terminal.close()
    at = steps(run)
    until(lambda: steps(run) > at + 50)
    assert run.info().pid == pid
    until(lambda: "bits per byte" in (run.path / "console.log").read_text())


@extent.only_in_all
def test_ctrl_c_saves_and_stops_the_train_command(terminal: Terminal, quick: Preset) -> None:
    terminal.run("train", "quick")
    run = until(lambda: store.all_runs()[0] if store.all_runs() else None)
    until(lambda: steps(run) > 50)
    terminal.press("C-c")
    terminal.wait_for("ENDED-130")
    assert run.info().state == "stopped"


def test_detached_training_returns_the_prompt(terminal: Terminal, quick: Preset) -> None:
    terminal.run("train", "quick", "--detach")
    terminal.wait_for("ENDED-0")
    run = store.all_runs()[0]
    assert run.id in terminal.screen()
    terminal.close()
    at = steps(run)
    until(lambda: steps(run) > at + 20)
