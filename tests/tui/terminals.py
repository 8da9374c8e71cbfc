"""The real program in a real terminal (tmux), and common operations on it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training.event_json import kind_of
from tests import limits
from tests.limits import until

PATIENCE = limits.LIMIT


def plain_environment() -> dict[str, str]:
    """The environment without variables that describe the test runner's own terminal."""
    dropped = ("COLUMNS", "LINES", "TMUX", "NO_COLOR", "SSH_CONNECTION", "PYTEST_CURRENT_TEST")
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**variables, "TERM": "xterm-256color"}


class Terminal:
    """A tmux session with its own server: types keys, reads the screen."""

    def __init__(
        self, folder: Path, columns: int = 120, rows: int = 40, program: str = "sh"
    ) -> None:
        self._socket = folder / "tmux"
        self._folder = folder
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), program
        )
        self._tmux("set-option", "-g", "remain-on-exit", "off")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *words],
            capture_output=True,
            text=True,
            env=plain_environment(),
            check=False,
            timeout=limits.LIMIT,
        )
        return done.stdout

    def run(self, *words: str, program: str = "-m slm_tui") -> None:
        """Start slm-tui with these words; the shell prints ENDED when it exits."""
        self.type(f"clear; {sys.executable} {program} {' '.join(words)}; echo ENDED-$?")
        self.press("Enter")

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self._tmux("send-keys", key)
            # A key too soon after escape is read as alt plus that key.
            time.sleep(0.5 if key == "Escape" else 0.2)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> str:
        """The screen once `pattern` is on it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            text = self.screen()
            if re.search(pattern, text):
                return text
            time.sleep(0.1)
        raise AssertionError(f"{pattern!r} never came:\n{self.screen()}")

    def pane_pid(self) -> int:
        return int(self._tmux("list-panes", "-F", "#{pane_pid}").split()[0])

    def close(self) -> None:
        self._tmux("kill-server")


def train(terminal: Terminal, program: str = "-m slm_tui") -> Run:
    """Start the app and train the preset `quick` from its list."""
    terminal.run(program=program)
    choose_quick(terminal)
    return until(lambda: store.all_runs()[0] if store.all_runs() else None)


def choose_quick(terminal: Terminal) -> None:
    """In the app that is starting, train the preset `quick` from its list."""
    terminal.wait_for("stories-tiny ★")
    # Typed ahead, as from a script or a slow connection: no letter may be taken for a command.
    terminal.type("/quick")
    terminal.wait_for(r"─ quick ─")
    terminal.press("Enter")
    terminal.wait_for("t Train")
    terminal.press("t")
    terminal.wait_for(r"▶ training")


def steps(run: Run) -> int:
    return run.info().step


def events(run: Run) -> list[str]:
    curves = Curves(run)
    curves.read()
    return [kind_of(one.event) for one in curves.events]


def end_runs() -> None:
    """End all runs: they outlive the app, but must not outlive a test."""
    for run in store.all_runs():
        info = run.info()
        if info.state in store.LIVE_STATES and info.pid != os.getpid():
            os.kill(info.pid, signal.SIGKILL)


def choose(terminal: Terminal, label: str) -> None:
    """Choose an answer to the quit question; the default is the last, Cancel."""
    up = {"Save and stop": 1, "Keep training": 2}[label]
    terminal.press(*["Up"] * up, "Enter")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
