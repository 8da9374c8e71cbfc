"""Ranking the runs of the table: made in a thread, shown in a dialog."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App

from slm_tui.errors import SlmTuiError
from slm_tui.live.background import Background
from slm_tui.runs.store import Run
from slm_tui.tui.dialogs import show_error_notice

if TYPE_CHECKING:
    from slm_tui.experiments.report import RunsReport

_MOST_RUNS = 1000


class RunsRanking:
    """Compares runs and shows the result once it is ready: call `show` from time to time."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._made: Background[RunsReport | SlmTuiError | None] = Background("comparison", None)

    def start(self, paths: Sequence[Path]) -> None:
        """Compare the runs in `paths`."""
        runs = [Run(path) for path in paths[:_MOST_RUNS]]
        if len(runs) < 2:
            self._app.notify(
                "Comparing takes at least two runs: select them with space", markup=False
            )
            return

        def work(cancel: threading.Event) -> "RunsReport | SlmTuiError":
            from slm_tui.experiments.report import of_runs

            return of_runs(runs, skip_damaged=True)

        self._made.start(work, lambda error: error, "the runs cannot be compared")

    def show(self) -> None:
        """Show the comparison if it has been made since the last call."""
        made = self._made.snapshot
        if made is None:
            return
        self._made.snapshot = None
        if isinstance(made, SlmTuiError):
            show_error_notice(self._app, made)
            return
        from slm_tui.tui.screens.comparison.screen import ComparisonDialog

        self._app.push_screen(ComparisonDialog(made))
