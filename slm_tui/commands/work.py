"""Trains the runs of the queue in this process, in front of the terminal or without it."""

import argparse
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED
from slm_tui.errors import SlmTuiError
from slm_tui.live import detach
from slm_tui.live.detach import ParentPipe

if TYPE_CHECKING:
    from slm_tui.experiments.started_suite import StartedSuite
    from slm_tui.experiments.worker import Worker


def fork_if_detached(options: argparse.Namespace) -> ParentPipe:
    """Fork for `--detach`. Before anything else: a process with threads cannot fork safely.

    Raises:
        SlmTuiError: this system cannot fork.
    """
    if not options.detach:
        return ParentPipe()
    if not detach.can_fork():
        raise SlmTuiError("--detach does not work on this system", "", "omit it")
    return detach.fork()


def work_on_queue(options: argparse.Namespace) -> int:
    """Train everything in the queue."""
    parent = fork_if_detached(options)
    from slm_tui.experiments import queue

    if not any(not item.running for item in queue.runs()):
        text = "no run waits in the queue"
        parent.release_parent(0, text) if parent.is_held else output.say(text)
        return 0
    return work(options, parent)


def work(
    options: argparse.Namespace, parent: ParentPipe, started: "StartedSuite | None" = None
) -> int:
    """Train the runs of `started`, or of the whole queue; 0 if none failed, 130 if interrupted.

    A detached process continues with the rest of the queue. If another process is already training
    the queue, this one prints that and returns: its runs stay queued.

    Raises:
        SlmTuiError: the queue is damaged or cannot be written.
    """
    from slm_tui.commands.suite_progress import JsonProgress, TextProgress
    from slm_tui.experiments import queue
    from slm_tui.experiments.worker import Worker
    from slm_tui.training.allocator import keep_big_blocks

    show = f"slm-tui suite show {started.id}" if started is not None else "slm-tui queue list"
    lock = queue.take_worker_lock()
    if lock is None:
        text = f"queued: another process is training the queue\nsee: {show}"
        parent.release_parent(0, text) if parent.is_held else output.say(text)
        return 0
    keep_big_blocks()
    with lock, contextlib.ExitStack() as last:
        if options.detach:
            _leave_terminal(parent, started, show)
        progress = JsonProgress(started) if options.json else TextProgress(started, sys.stdout)
        worker = Worker(progress, None if options.detach else started)
        arrived = _stops_on_signals(worker, last)
        worker.work()
        progress.end()
    return INTERRUPTED if arrived else int(progress.has_failures)


def _leave_terminal(parent: ParentPipe, started: "StartedSuite | None", show: str) -> None:
    from slm_tui import paths

    where = started.path if started is not None else paths.data_dir()
    os.setsid()
    detach.ignore_hangups()
    detach.leave_terminal(where / "console.log")
    what = f"suite {started.id}" if started is not None else "the queue"
    # SIGTERM saves the runs and leaves the rest of the queue for later.
    stop = f"slm-tui suite stop {started.id}" if started is not None else f"kill {os.getpid()}"
    parent.release_parent(
        0,
        f"{what} trains in the background (process {os.getpid()})\nsee: {show}   stop: {stop}",
    )


def _stops_on_signals(worker: "Worker", last: contextlib.ExitStack) -> list[int]:
    """Ctrl+C and SIGTERM save and stop; the list is not empty once one arrived."""
    arrived: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        if arrived and number == signal.SIGINT:
            raise KeyboardInterrupt
        arrived.append(number)
        worker.stop()

    for name in ("SIGINT", "SIGTERM"):
        number = getattr(signal, name)
        last.callback(signal.signal, number, signal.signal(number, stop))
    return arrived
