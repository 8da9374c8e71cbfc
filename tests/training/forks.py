"""Runs functions in separate processes, forked from one that has already loaded torch.

A fresh interpreter takes seconds to load torch; a fork takes none. What a test does to such a
process (kill it, take its memory, change its clock) is real.
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

from slm_tui.runs import results
from tests import limits, processors

_SECONDS = 2 * limits.LIMIT
_MMAP_THRESHOLD = -3  # parameters of mallopt
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
    """Python waits for all children at exit: one that hangs would block it forever."""
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

    def result(self, seconds: float = _SECONDS) -> Any:
        """What the function returned."""
        try:
            assert self._ours.poll(seconds), "the process does not come to an end"
            kind, value = self._ours.recv()
        except EOFError:
            self.process.join(_SECONDS)
            raise AssertionError(f"the process died with {self.process.exitcode}") from None
        self.process.join(_SECONDS)
        assert kind == "returned", value
        return value

    def ended(self) -> int:
        """Wait for the end of a process that is expected to die; return its exit code."""
        self.process.join(_SECONDS)
        code = self.process.exitcode
        assert code is not None, "the process does not come to an end"
        return code


def run(function: Callable[..., Any], home: Path, *arguments: Any) -> Any:
    """The result of `function`, called in a separate process."""
    return Fork(function, home, *arguments).result()


def _main(
    answer: Connection, function: Callable[..., Any], home: str, arguments: tuple[Any, ...]
) -> None:
    os.environ["SLM_TUI_HOME"] = home
    processors.pretend()
    results.has_matplotlib = lambda: False  # drawing takes half a second
    try:
        answer.send(("returned", function(*arguments)))
    except BaseException:
        answer.send(("raised", traceback.format_exc()))
        raise
    finally:
        answer.close()


def map_every_tensor() -> None:
    """Return freed memory to the system: what `malloc` keeps counts as used towards the limit."""
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 2**17)


class FullMemory:
    """Take all memory of this process except `room` bytes, using a system limit."""

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
        """Restore the limit."""
        self._ballast.clear()
        resource.setrlimit(resource.RLIMIT_AS, self._limits)
