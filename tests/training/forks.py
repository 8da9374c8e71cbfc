"""Runs functions in processes of their own, forked from one that has loaded torch already.

A fresh interpreter takes seconds to load torch; a fork takes none. What a test does to such a
process (kill it, take its memory, move its clock) it does for real.
"""

import atexit
import ctypes
import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from tests import limits, processors

_SECONDS = 2 * limits.LIMIT
_MMAP_THRESHOLD = -3  # of mallopt
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "pytest",
        "torch._dynamo",
        "slm_tui.live.session",
        "slm_tui.runs.results",
        "tests.training.harness",
    ]
)


_started: list[BaseProcess] = []


@atexit.register
def _end_all() -> None:
    """Python waits at its exit for every child: one that hangs would keep it for ever."""
    for process in _started:
        if process.is_alive():
            process.kill()


class Fork:
    """A process that runs `function(*arguments)` with `home` as its SLM_TUI_HOME."""

    def __init__(self, function: Callable[..., Any], home: Path, *arguments: Any) -> None:
        self._ours, theirs = _context.Pipe(duplex=False)
        self.process: BaseProcess = _context.Process(
            target=_main, args=(theirs, function, str(home), arguments)
        )
        self.process.start()
        _started.append(self.process)
        theirs.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def result(self) -> Any:
        """What the function returned."""
        try:
            assert self._ours.poll(_SECONDS), "the process does not come to an end"
            kind, value = self._ours.recv()
        except EOFError:
            self.process.join(_SECONDS)
            raise AssertionError(f"the process died with {self.process.exitcode}") from None
        self.process.join(_SECONDS)
        assert kind == "returned", value
        return value

    def ended(self) -> int:
        """Wait for the end of a process that is expected to die; its exit code."""
        self.process.join(_SECONDS)
        code = self.process.exitcode
        assert code is not None, "the process does not come to an end"
        return code


def run(function: Callable[..., Any], home: Path, *arguments: Any) -> Any:
    """What `function` returns when it runs in a process of its own."""
    return Fork(function, home, *arguments).result()


def _main(
    answer: Connection, function: Callable[..., Any], home: str, arguments: tuple[Any, ...]
) -> None:
    os.environ["SLM_TUI_HOME"] = home
    processors.pretend()
    try:
        answer.send(("returned", function(*arguments)))
    except BaseException:
        answer.send(("raised", traceback.format_exc()))
        raise
    finally:
        answer.close()


def map_every_tensor() -> None:
    """Let what is freed be there for all: what `malloc` keeps counts as used for the limit of
    the system, if not for the machine."""
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 2**17)


class FullMemory:
    """Takes all memory of this process but `room` bytes, by a limit of the system."""

    _SMALLEST = 2**19

    def __init__(self, room: int) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_AS)
        ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        now = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + room + 2**24, self._limits[1]))
        reserved = torch.empty(max(1, room), dtype=torch.uint8)
        self._ballast: list[torch.Tensor] = []
        size = 2**26
        while size >= self._SMALLEST:
            try:
                self._ballast.append(torch.empty(size, dtype=torch.uint8))
            except RuntimeError:
                size //= 2
        del reserved

    def free(self) -> None:
        """Give everything back."""
        self._ballast.clear()
        resource.setrlimit(resource.RLIMIT_AS, self._limits)
