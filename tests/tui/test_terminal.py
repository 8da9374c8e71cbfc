"""The real program in a real terminal (tmux): its main way, and what must never lose a run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
    pytest.mark.xdist_group("terminal"),
]
_PATIENCE = 120.0


def _plain_environment() -> dict[str, str]:
    """The environment without what a test runner may say of its own terminal."""
    dropped = ("COLUMNS", "LINES", "TMUX", "NO_COLOR", "SSH_CONNECTION", "PYTEST_CURRENT_TEST")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "TERM": "xterm-256color"}


class Terminal:
    """A tmux session of its own server: types keys, reads the screen."""

    def __init__(self, folder: Path, columns: int = 120, rows: int = 40) -> None:
        self._socket = folder / "tmux"
        self._folder = folder
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "sh"
        )
        self._tmux("set-option", "-g", "remain-on-exit", "off")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *words],
            capture_output=True,
            text=True,
            env=_plain_environment(),
            check=False,
        )
        return done.stdout

    def run(self, *words: str, program: str = "-m slm_tui") -> None:
        """Start slm-tui with these words; the shell says when it has ended."""
        self.type(f"clear; {sys.executable} {program} {' '.join(words)}; echo ENDED-$?")
        self.press("Enter")

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self._tmux("send-keys", key)
            # A key that follows escape too soon is taken for alt and that key.
            time.sleep(0.5 if key == "Escape" else 0.2)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def wait_for(self, pattern: str, seconds: float = _PATIENCE) -> str:
        """The screen once `pattern` is on it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            shown = self.screen()
            if re.search(pattern, shown):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} never came:\n{self.screen()}")

    def pane_pid(self) -> int:
        return int(self._tmux("list-panes", "-F", "#{pane_pid}").split()[0])

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return tmp_path / "home"


@pytest.fixture
def quick(home: Path) -> Preset:
    """A user preset that trains for a while, in small steps."""
    preset = parse(
        {
            "name": "quick",
            "data": {"kind": "stories", "richness": "tiny", "documents": 300},
            "tokenizer": {"kind": "bytes"},
            "model": {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 32},
            "training": {
                "max_steps": 100_000,
                "micro_batch": 4,
                "threads": 1,
                "evaluate_every": 200,
                "evaluate_batches": 2,
                "sample_every": 400,
                "checkpoint_every": 500,
            },
            "sampling": {"max_tokens": 40},
        },
        "the test's preset",
    )
    library.save(preset)
    return preset


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


def _train(terminal: Terminal, program: str = "-m slm_tui") -> Run:
    """Start the app and train the preset `quick` from its list."""
    terminal.run(program=program)
    terminal.wait_for("stories-tiny ★")
    # Typed ahead, as a script or a slow line does it: no letter of it is a command.
    terminal.type("/quick")
    terminal.wait_for(r"─ quick ─")
    terminal.press("Enter")
    terminal.wait_for("t Train")
    terminal.press("t")
    terminal.wait_for(r"▶ training")
    return _until(lambda: store.all_runs()[0] if store.all_runs() else None)


def _until(look: Callable[[], object], seconds: float = _PATIENCE) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it never happened")


def _steps(run: Run) -> int:
    return run.info().step


def _events(run: Run) -> list[str]:
    curves = Curves(run)
    curves.read()
    return [str(event["event"]) for event in curves.events]


def test_the_main_way_from_the_first_frame_to_a_resumed_run(
    terminal: Terminal, quick: Preset
) -> None:
    run = _train(terminal)
    terminal.wait_for(r"val \d")
    terminal.press("s")
    _until(lambda: "saved" in _events(run))
    terminal.press("g")
    terminal.wait_for(r"step [\d,]+\s*[│\n]")
    terminal.press("Space")
    terminal.wait_for("paused")
    at = _steps(run)
    terminal.press("Space")
    terminal.wait_for("training")
    _until(lambda: _steps(run) > at)
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
    _choose(terminal, "Save and stop")
    terminal.wait_for(r"ENDED-0")
    assert run.info().state == "stopped"
    stopped = _steps(run)

    terminal.run("train", "--resume", "last", "--json")
    _until(lambda: run.info().state == "running" and _steps(run) > stopped)
    terminal.press("C-c")
    terminal.wait_for("ENDED-130")
    assert run.info().state == "stopped"
    assert "failed" not in _events(run)


def _choose(terminal: Terminal, label: str) -> None:
    """Take an answer of the quit question, whose default is the last: Cancel."""
    up = {"Save and stop": 1, "Keep training": 2}[label]
    terminal.press(*["Up"] * up, "Enter")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_app_saves_what_was_trained(
    terminal: Terminal, quick: Preset, number: signal.Signals
) -> None:
    run = _train(terminal)
    _until(lambda: _steps(run) > 50)
    os.kill(run.info().pid, number)
    _until(lambda: run.info().state == "stopped")
    assert store.checkpoint_of(run, "last").name >= "step-000050"


def test_a_killed_terminal_saves_what_was_trained(terminal: Terminal, quick: Preset) -> None:
    run = _train(terminal)
    _until(lambda: _steps(run) > 50)
    pid = run.info().pid
    terminal.close()
    _until(lambda: run.info().state == "stopped")
    _until(lambda: not _alive(pid))
    state = json.loads((store.checkpoint_of(run, "last") / "state.json").read_text())
    assert state["step"] == run.info().step


def test_an_error_on_the_screen_saves_what_was_trained(
    terminal: Terminal, quick: Preset, tmp_path: Path
) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "from slm_tui.tui.screens.train import TrainScreen\n"
        "from slm_tui.verbs.app import open_app\n"
        "shown = TrainScreen.refresh_room\n"
        "def fails(self):\n"
        "    shown(self)\n"
        "    if self.session and self.session.status.step > 300:\n"
        "        raise RuntimeError('the screen broke')\n"
        "TrainScreen.refresh_room = fails\n"
        "open_app('')\n"
    )
    run = _train(terminal, str(script))
    terminal.wait_for("ENDED-1")
    assert run.info().state == "stopped"
    assert store.checkpoint_of(run, "last").name == f"step-{_steps(run):06}"


def test_ctrl_c_does_not_end_a_run(terminal: Terminal, quick: Preset) -> None:
    run = _train(terminal)
    terminal.press("C-c")
    at = _steps(run)
    _until(lambda: _steps(run) > at + 20)
    assert run.info().state == "running"


def test_kept_training_goes_on_in_the_terminal(terminal: Terminal, quick: Preset) -> None:
    run = _train(terminal)
    terminal.press("C-q")
    terminal.wait_for("Keep training")
    _choose(terminal, "Keep training")
    terminal.wait_for(r"goes on here")
    at = _steps(run)
    _until(lambda: _steps(run) > at + 20)
    terminal.press("C-c")
    terminal.wait_for("ENDED-130")
    assert run.info().state == "stopped"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
