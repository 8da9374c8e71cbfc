"""`slm-tui` without a command: the full-screen app, and what happens to a run when it closes."""

import contextlib
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from slm_tui import paths
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.live import detach
from slm_tui.live.detach import ParentPipe
from slm_tui.text import visible


def open_app(run: str, *, in_page: bool = False) -> NoReturn:
    """Run the app until the user quits; a run that is kept continues without the terminal.

    Args:
        in_page: input and output are pipes of the web server. They count as the terminal.

    Raises:
        SlmTuiError: this is not a terminal, or `run` does not exist.
    """
    if not in_page:
        _check_terminal()
    first = _run_path(run) if run else None
    screen = os.dup(1)
    if in_page:
        # Messages before and after the app go to the terminal of the server.
        os.dup2(2, 1)
    # Before anything that starts threads is loaded.
    parent = detach.fork(terminal=not in_page)
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    terminal = _keep_terminal_clean(screen)
    from slm_tui.tui import garbage

    garbage.pause()
    from slm_tui.live.training_workshop import TrainingWorkshop
    from slm_tui.tui.app import SlmTuiApp

    workshop = TrainingWorkshop()
    app = SlmTuiApp(workshop=workshop, run=first)
    _leave_on_signals(app, workshop, parent)
    code, failure = 1, ""
    try:
        app.run()
        code, failure = app.return_code or 0, app.failure
    except Exception as error:  # noqa: BLE001 - no error here may end a run
        failure = in_words(error)
    workshop.close()
    terminal.restore()
    if failure:
        _say(f"slm-tui: the app failed: {failure}; full log: {_log()}", sys.stderr)
    code = _after(workshop, parent, terminal, code) or code
    _flush()
    # Torch threads may still be running; shutting down the interpreter can then crash.
    os._exit(code)


def _check_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SlmTuiError(
            "the app needs a terminal", "input or output is redirected", "see slm-tui --help"
        )
    if os.environ.get("TERM") == "dumb":
        raise SlmTuiError(
            "the app does not work in this terminal", "TERM is dumb", "see slm-tui --help"
        )


def _log() -> Path:
    return paths.data_dir() / "console.log"


def _run_path(run: str) -> Any:
    from slm_tui.runs import store

    return store.find(run).path


def _leave_on_signals(app: Any, workshop: Any, parent: ParentPipe) -> None:
    """SIGTERM and SIGINT save and stop; a lost terminal does not affect the run.

    Plain handlers, not those of the app's event loop: they also work before and after it.
    """

    def end(_number: int, _frame: Any) -> None:
        # In a thread: the app may be blocked in a write to the terminal.
        threading.Thread(target=workshop.request_quit, args=("save",), daemon=True).start()
        app.leave_soon("save")

    def hang_up(*_: Any) -> None:
        app.leave_soon("keep" if detach.can_fork() else "save")

    # Ctrl+C is a key in the app: as a signal it comes from `kill -INT`.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, hang_up)
    parent.watch(hang_up, terminal=sys.stdin.fileno())


def _after(workshop: Any, parent: ParentPipe, terminal: "_Terminal", code: int) -> int:
    """The app has closed: wait for a save, or let the run continue without a terminal."""
    session = workshop.session
    if session is None or not session.is_live:
        return 0
    if workshop.leaving == "save" or (workshop.leaving is None and not detach.can_fork()):
        return _save(session)
    import queue

    from slm_tui.commands.progress import TextReport
    from slm_tui.commands.train import background_notice, follow, train_alone
    from slm_tui.training.events import Event

    # Closed by choice, by a lost terminal or by an error in the app: the run continues.
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    session.add_sink(events.put)
    if not detach.can_fork():
        _say(f"{session.run.id} keeps training here; ctrl+c saves and stops it")
        return follow(session, events, TextReport(sys.stdout), parent)
    terminal.close()
    return train_alone(session, events, parent, background_notice(session), code=code)


def _save(session: Any) -> int:
    session.stop()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # The save may have to wait for disk space: a second request gives up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: session.stop())
    _say(f"saving {session.run.id} …")
    reported = ""
    while not session.wait(0.2):
        waiting = session.status.waiting_for
        if waiting and waiting != reported:
            _say(f"waiting: {waiting}; ctrl+c quits without saving")
        reported = waiting
    if session.status.state == "failed":
        _say(f"slm-tui: {session.status.error}", sys.stderr)
        return 1
    _say(
        f"saved at step {session.status.step:,}; "
        f"resume with: slm-tui train --resume {session.run.id}"
    )
    return 0


def _say(text: str, file: Any = None) -> None:
    with contextlib.suppress(OSError):
        print(visible(text), flush=True, file=file or sys.stdout)


class _Screen(io.FileIO):
    """The real terminal, for the app's output. Writes to a lost terminal are silently dropped:

    an error would end the app's writer thread, and the app would wait for it forever.
    """

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


class _Terminal:
    """The real terminal, saved while C libraries write to a log instead."""

    def __init__(self, screen: int) -> None:
        self._out, self._error = os.dup(1), os.dup(2)
        raw = io.BufferedWriter(_Screen(screen, "w"))
        self.screen = io.TextIOWrapper(raw, encoding="utf-8", errors="replace")
        self._before = sys.__stdout__, sys.__stderr__
        sys.__stdout__ = sys.__stderr__ = self.screen  # type: ignore[misc]

    def restore(self) -> None:
        """Print to it again, and reset the app's signal handlers."""
        for name in ("SIGTSTP", "SIGCONT", "SIGWINCH"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        _flush()
        os.dup2(self._out, 1)
        os.dup2(self._error, 2)
        sys.__stdout__, sys.__stderr__ = self._before  # type: ignore[misc]

    def close(self) -> None:
        """Close it: a terminal that a process keeps open does not end."""
        self.screen.close()
        os.close(self._out)
        os.close(self._error)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def _keep_terminal_clean(screen: int) -> _Terminal:
    """Send file descriptors 1 and 2 to a log: torch's C++ code would corrupt the screen.

    Textual draws through `sys.__stderr__` and gets the size from `sys.__stdout__`: both are
    pointed at the real terminal, the descriptor `screen`.
    """
    terminal = _Terminal(screen)
    path = _log()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    return terminal
