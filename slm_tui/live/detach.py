"""A process that outlives its terminal: it runs as the child of a waiting parent process.

The child can leave the terminal's session, which a process group leader cannot. The shell
prompt returns when the child lets the parent exit. Imports nothing heavy: the fork must
happen before threads start. Without fork (on Windows), nothing here has an effect.
"""

import contextlib
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slm_tui import safe_files
from slm_tui.text import visible

# Undoes what a killed app leaves behind: keyboard, mouse and paste modes, alternate screen, cursor.
_CLEAN = "\x1b[<u\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?1049l\x1b[?25h"
# The option of a process that ends when its standard input does, with the one that started it.
ENDS_WITH_STDIN = "--ends-with-stdin"
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP")


def can_fork() -> bool:
    """Whether a training can leave its terminal on this system."""
    return hasattr(os, "fork") and sys.platform != "win32"


class ParentPipe:
    """The child's pipe to the parent. Has no effect in a process that was never forked."""

    def __init__(self, pipe: int | None = None, alive: int | None = None) -> None:
        self._pipe = pipe
        self._alive = alive

    @property
    def is_held(self) -> bool:
        """Whether a parent waits for this process."""
        return self._pipe is not None

    def release_parent(self, code: int = 0, out: str = "", error: str = "") -> None:
        """Let the parent print `out` and `error` and exit with `code`: the prompt returns."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        message = json.dumps({"code": code, "out": out, "error": error})
        with contextlib.suppress(OSError):
            os.write(pipe, message.encode() + b"\n")
        os.close(pipe)

    def watch(self, on_loss: Callable[[], None], terminal: int | None = None) -> None:
        """Call `on_loss`, in a thread, once the parent has died or the terminal has hung up.

        A process that lost its terminal in another way gets no hangup signal, and an app that
        reads from a dead terminal would loop.
        """
        if not hasattr(select, "poll") or (self._alive is None and terminal is None):
            return
        poll = select.poll()
        for number in (self._alive, terminal):
            if number is not None:
                poll.register(number, 0)

        def wait() -> None:
            # No events are requested, so that only a hangup or an error ends the wait.
            events = poll.poll()
            if any(event & (select.POLLHUP | select.POLLERR) for _, event in events):
                on_loss()

        threading.Thread(target=wait, name="terminal-watch", daemon=True).start()


def fork(*, terminal: bool = False) -> ParentPipe:
    """Continue as a child; the parent waits for it and never returns from here.

    The parent exits with the child's exit status, or when the child releases it. With
    `terminal` it resets the terminal if the child was killed in full-screen mode.
    """
    if not can_fork():
        return ParentPipe()
    sys.stdout.flush()
    sys.stderr.flush()
    message_read, message_write = os.pipe()
    alive_read, alive_write = os.pipe()
    # Block signals until the parent has its handlers.
    numbers = {getattr(signal, name) for name in _FORWARDED}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    child = os.fork()
    if child:
        os.close(message_write)
        os.close(alive_read)
        code = _Parent(child, message_read, before, terminal=terminal).wait()
        raise SystemExit(code)
    os.close(message_read)
    os.close(alive_write)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return ParentPipe(message_write, alive_read)


class _Parent:
    def __init__(self, child: int, pipe: int, mask: Any, *, terminal: bool) -> None:
        self._child = child
        self._pipe: int | None = pipe
        self._attributes = _attributes() if terminal else None
        self._woken, wake = os.pipe()
        for number in (self._woken, wake):
            os.set_blocking(number, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for name in _FORWARDED:
            number = getattr(signal, name)
            # nohup: ignored signals stay ignored, in both processes.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._forward)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # The child restores the terminal before it stops; then the parent stops too.
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _forward(self, number: int, _frame: Any) -> None:
        with contextlib.suppress(OSError):
            os.kill(self._child, number)

    def wait(self) -> int:
        """Wait for the child; return the exit status."""
        while True:
            pid, status = os.waitpid(self._child, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                pid, status = self._stop_too()
            if pid:
                return self._ended(status)
            ready, _, _ = select.select([self._woken, *self._listened()], [], [])
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 512)
            if self._pipe in ready:
                message = self._message()
                if message is not None:
                    return _say(message)

    def _listened(self) -> list[int]:
        return [] if self._pipe is None else [self._pipe]

    def _message(self) -> dict[str, Any] | None:
        """The child's message; `None` when it has closed its end, as on exit."""
        assert self._pipe is not None
        raw = b""
        # Do not read to the end of the pipe: processes forked by the child hold it open too.
        while not raw.endswith(b"\n") and (data := os.read(self._pipe, 4096)):
            raw += data
        os.close(self._pipe)
        self._pipe = None
        try:
            message = json.loads(raw)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None

    def _ended(self, status: int) -> int:
        """The child has exited; it may have sent a message just before."""
        ready, _, _ = select.select(self._listened(), [], [], 0)
        message = self._message() if ready else None
        if message is not None:
            return _say(message)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else self._killed(status)

    def _stop_too(self) -> tuple[int, int]:
        """Stop until woken, then wake the child. Returns its exit, if it has ended meanwhile."""
        os.kill(os.getpid(), signal.SIGSTOP)
        # The shell wakes the whole group; kill -CONT wakes only this process.
        for _ in range(20):
            pid, status = os.waitpid(self._child, os.WNOHANG | os.WCONTINUED)
            if pid:
                return (0, 0) if os.WIFCONTINUED(status) else (pid, status)
            select.select([], [], [], 0.02)
        with contextlib.suppress(OSError):
            os.kill(self._child, signal.SIGCONT)
        return 0, 0

    def _killed(self, status: int) -> int:
        number = os.WTERMSIG(status)
        if self._attributes is not None:
            _repair(self._attributes)
        name = signal.Signals(number).name
        print(f"slm-tui: killed by {name}; `slm-tui runs list` shows saved runs", file=sys.stderr)
        return 128 + number


def _say(message: dict[str, Any]) -> int:
    for key, file in (("out", sys.stdout), ("error", sys.stderr)):
        text = str(message.get(key) or "")
        with contextlib.suppress(OSError):
            if text:
                print(visible(text), file=file, flush=True)
    return int(message.get("code") or 0)


def _attributes() -> Any:
    try:
        import termios

        return termios.tcgetattr(0)
    except (ImportError, OSError):
        return None


def _repair(attributes: Any) -> None:
    import termios

    with contextlib.suppress(OSError, termios.error):
        os.write(1, _CLEAN.encode())
        termios.tcsetattr(0, termios.TCSANOW, attributes)


def leave_terminal(log: Path) -> None:
    """Move to a new session without a terminal, and append output to `log`."""
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):  # a process group leader, so never forked
            os.setsid()
    ignore_hangups()
    null = os.open(os.devnull, os.O_RDWR)
    try:
        out = safe_files.open_to_append(log)
    except OSError:
        out = os.dup(null)
    os.dup2(null, 0)
    # Output that a dead terminal did not accept would be retried at the next print, into the log.
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    os.close(out)


def ignore_hangups() -> None:
    """From now on, a closed terminal does not end this process."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
