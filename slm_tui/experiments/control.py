"""Stopping a started suite from any process."""

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import queue
from slm_tui.experiments.started_suite import StartedSuite
from slm_tui.live import steering
from slm_tui.runs.store import Run


def stop(started: StartedSuite) -> tuple[int, str]:
    """Save and stop the current run of a suite, and remove the others from the queue.

    Returns:
        The number of runs removed, and the name of the run that was stopped, if any.

    Raises:
        SlmTuiError: the queue or the suite cannot be written, or the run cannot be reached.
    """
    items = [item for item in queue.runs() if item.suite == started.id]
    gone = queue.remove(item.id for item in items)
    for item in gone:
        started.set(item.index, state="stopped")
    stopped = ""
    for item in items:
        if item.running and item.run:
            run = Run(paths.runs_dir() / item.run)
            try:
                steering.ask(run.path, "stop")
            except SlmTuiError:
                if run.info().state not in ("stopped", "done", "failed", "interrupted"):
                    raise
            stopped = run.id
    return len(gone), stopped
