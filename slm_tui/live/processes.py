"""The other processes that train a run together with this one, which has rank 0."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

from slm_tui import paths, safe_files
from slm_tui.config.preset import Preset
from slm_tui.corpus.progress import Cancelled
from slm_tui.errors import TrainingError, in_words
from slm_tui.live.detach import ENDS_WITH_STDIN
from slm_tui.text import one_line
from slm_tui.training import ranks
from slm_tui.training.device import process_count
from slm_tui.training.ranks import ALONE, Joined, Position, Ranks

# How long the others have to exit after the run has ended.
_EXIT_SECONDS = 5.0
_MOST_WORDS = 1 << 20
_NOT_INHERITED = ("TORCHELASTIC_", "GROUP_", "ROLE_")


@contextlib.contextmanager
def together(
    preset: Preset, position: Position | None, log: Path, cancel: Event
) -> Iterator[Ranks]:
    """The processes that train `preset`: this one alone, those that `torchrun` started, or those
    that are started here because of `training.devices`.

    Args:
        position: that of this process if `torchrun` started it.
        log: receives the output of the processes that are started here.

    Raises:
        TrainingError: there are fewer devices, or a process does not start.
        Cancelled: `cancel` was set.
    """

    def check() -> None:
        if cancel.is_set():
            raise Cancelled

    with contextlib.ExitStack() as stack:
        if position is not None:
            joined = ranks.join(position, ranks.torchrun_store(), check=check)
        elif (count := process_count(preset)) > 1:
            followers = stack.enter_context(Followers(count, log))
            with ranks.on_loopback():
                whole = Position(0, count, 0, count)
                joined = ranks.join(whole, followers.store, check=check, dead=followers.dead)
        else:
            yield ALONE
            return
        stack.callback(joined.leave)
        try:
            yield joined
        except Cancelled:
            _release(joined)
            raise


def _release(joined: Joined) -> None:
    with contextlib.suppress(TrainingError):
        joined.send({"order": "end"})


class Followers:
    """Processes of ranks above 0 on this machine. They end with this process, however it ends.

    Raises:
        TrainingError: they cannot be started.
    """

    def __init__(self, count: int, log: Path) -> None:
        import socket

        # Only this machine can connect.
        listener = socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()[:2]
        self.store: Any = ranks.distributed().TCPStore(
            host,
            port,
            is_master=True,
            wait_for_workers=False,
            timeout=timedelta(minutes=5),
            master_listen_fd=listener.detach(),
        )
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._processes: list[subprocess.Popen[bytes]] = []
        places = {"MASTER_ADDR": host, "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
        try:
            for rank in range(1, count):
                self._start({**places, "LOCAL_WORLD_SIZE": str(count)}, rank)
        except OSError as error:
            self.close()
            raise TrainingError(
                f"the process of rank {rank} cannot be started", in_words(error)
            ) from None

    def _start(self, places: dict[str, str], rank: int) -> None:
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
        }
        own |= {**places, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        own["PYTHONPATH"] = paths.python_path()
        if interface := ranks.loopback():
            own.setdefault("GLOO_SOCKET_IFNAME", interface)
        out = safe_files.open_to_append(self._log)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "slm_tui", "train", ENDS_WITH_STDIN],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=own,
                # Ctrl+C in a terminal reaches only rank 0.
                start_new_session=sys.platform != "win32",
            )
        finally:
            os.close(out)
        self._processes.append(process)

    def __enter__(self) -> "Followers":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(patient=kind is None)

    def dead(self) -> dict[int, str]:
        """The ranks of processes that have ended, with the last line that one of them wrote."""
        ended = [rank for rank, one in enumerate(self._processes, 1) if one.poll() is not None]
        return dict.fromkeys(ended, self._last_words()) if ended else {}

    def _last_words(self) -> str:
        try:
            with safe_files.open_to_read(self._log) as log:
                log.seek(self._log_start)
                lines = log.read(_MOST_WORDS).decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((one_line(line, 200) for line in reversed(lines) if line.strip()), "")

    def close(self, *, patient: bool = False) -> None:
        """End them; if `patient`, wait first until they end by themselves."""
        if patient:
            self._wait(_EXIT_SECONDS)
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        self._wait(_EXIT_SECONDS)
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()
        self.store = None

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
