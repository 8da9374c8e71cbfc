"""The Experiments screen and a comparison, as they were last approved."""

import functools
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.config import library
from slm_tui.experiments import queue, shelf, worker
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.plan import plan
from slm_tui.experiments.suite import from_toml
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.screens.comparison.screen import ComparisonDialog
from slm_tui.tui.screens.experiments.screen import ExperimentsScreen
from tests.cli.test_suite import SUITE
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until
from tests.tui.test_snapshots import SIZES, THEMES, Snap, looks, still

Before = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture(autouse=True)
def start_suite(home: Any) -> None:
    """A suite of six runs: four are done, one failed, one waits in the queue."""
    library.save(make_tiny())
    shelf.save(from_toml(SUITE))
    started = started_suites.create(plan(shelf.get("rates")))
    worker.start(started)
    for index, entry in enumerate(started.runs()[:4]):
        floor = (1.4 if entry.variation == "low" else 1.2) + 0.01 * math.sin(index)
        run = add_run(entry.variation, preset=entry.made(), floor=floor)
        started.set(index, state="done", run=run.id)
    started.set(4, state="failed", error="memory ran out; close other programs")
    queue.remove(item.id for item in queue.runs()[:5])


def looking(theme: str, *keys: str) -> Before:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        app.theme = THEMES[theme]
        app.call_later(functools.partial(app.open_experiments, "rates"))  # type: ignore[attr-defined]
        await until(pilot, lambda: isinstance(app.screen, ExperimentsScreen))
        screen = app.screen
        assert isinstance(screen, ExperimentsScreen)
        await until(pilot, lambda: screen.current is not None and screen.current.name == "rates")
        await until(pilot, lambda: screen.watcher.snapshot.detail is not None)
        await pilot.press(*keys)
        if keys:
            await until(pilot, lambda: isinstance(app.screen, ComparisonDialog))
            chart = app.screen.query_one(Chart)
            await until(pilot, lambda: chart.drawings and not (chart._dirty or chart.client.busy))
        await still(pilot)

    return before


@looks(0)
def test_experiments_screen(size: str, theme: str, snap_compare: Snap) -> None:
    app = SlmTuiApp(load_torch=False)
    assert snap_compare(app, run_before=looking(theme), terminal_size=SIZES[size])


@looks(1)
def test_a_comparison(size: str, theme: str, snap_compare: Snap) -> None:
    app = SlmTuiApp(load_torch=False)
    assert snap_compare(app, run_before=looking(theme, "="), terminal_size=SIZES[size])
