"""`slm-tui`: the full-screen app, and what happens to a run when it closes."""

import os
import signal
import sys
from typing import Any

from slm_tui import paths
from slm_tui.errors import SlmTuiError


def open_app(run: str) -> int:
    """Run the app until it is left; a run that is kept goes on in this terminal.

    Raises:
        SlmTuiError: this is no terminal, or `run` is not there.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SlmTuiError(
            "the app needs a terminal", "input or output is redirected", "see slm-tui --help"
        )
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    first = _run_path(run) if run else None
    terminal = _keep_terminal_clean()
    from slm_tui.tui.app import SlmTuiApp
    from slm_tui.tui.workshop import TrainingWorkshop

    workshop = TrainingWorkshop()
    app = SlmTuiApp(workshop=workshop, run=first)
    try:
        app.run()
    finally:
        terminal.restore()
        code = _after(workshop)
    code = app.return_code or code
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of torch may still be at work; ending the interpreter under them can crash.
    os._exit(code)


def _run_path(run: str) -> Any:
    from slm_tui.runs import store

    return store.find(run).path


def _after(workshop: Any) -> int:
    """The app is gone: wait for a save, or show the run that goes on."""
    session = workshop.session
    if session is None or not session.is_live:
        return 0
    if workshop.leaving != "keep":
        # Left by a crash or a signal, too: what was trained is saved before the process ends.
        session.stop()
        for name in ("SIGINT", "SIGHUP", "SIGTERM"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        _say(f"saving {session.run.id} …")
        session.wait()
        _say(
            f"saved at step {session.status.step:,}; go on: slm-tui train --resume {session.run.id}"
        )
        return 0
    import queue

    from slm_tui.training.events import Event
    from slm_tui.verbs.train import Lines, follow

    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    session.add_sink(events.put)
    _say(f"{session.run.id} goes on here; ctrl+c saves and stops it")
    return follow(session, events, Lines(sys.stdout))


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        return


class _Terminal:
    """The real terminal, set aside while C libraries write to a log instead."""

    def __init__(self, out: int, error: int, screen: Any) -> None:
        self._out = out
        self._error = error
        self._screen = screen
        self._before = sys.__stdout__, sys.__stderr__

    def restore(self) -> None:
        sys.stdout.flush()
        os.dup2(self._out, 1)
        os.dup2(self._error, 2)
        sys.__stdout__, sys.__stderr__ = self._before  # type: ignore[misc]


def _keep_terminal_clean() -> _Terminal:
    """Send file descriptors 1 and 2 to a log: torch's C++ writes there and would spoil the screen.

    Textual draws through `sys.__stderr__` and asks `sys.__stdout__` for the size: both are
    pointed at the real terminal.
    """
    out, error = os.dup(1), os.dup(2)
    screen = os.fdopen(os.dup(out), "w", encoding="utf-8", errors="replace")
    kept = _Terminal(out, error, screen)
    sys.__stdout__ = sys.__stderr__ = screen  # type: ignore[misc]
    path = paths.data_dir() / "console.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    return kept
