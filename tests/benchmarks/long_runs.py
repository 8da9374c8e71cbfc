"""How long keys wait while a run of 100,000 steps is opened, or a list of 1,000 runs.

The wait is that of the app's event loop: the longest time between two turns, measured in the app
itself without a terminal. A screen's first turn also builds its widgets.
"""

import asyncio
import itertools
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slm_tui.runs.recorder import TRAINING_COLUMNS
from slm_tui.runs.store import Run
from slm_tui.tui import garbage
from slm_tui.tui.app import SlmTuiApp
from tests.benchmarks.figures import Figure

_STEPS = 100_000
_RUNS = 1000
_TURN = 0.004
_WATCHED = 8.0
_FIRST_PAINT, _WAIT = 0.3, 0.05
_NUMBERS = ("learning_rate", "train_loss", "grad_norm", "tokens_per_second")


def long_run_figures(rounds: int) -> Iterator[Figure]:
    """The first paint, and the longest wait of a key after it; medians over rounds."""
    before = os.environ.get("SLM_TUI_HOME")
    with tempfile.TemporaryDirectory(prefix="slm-tui-bench-") as home:
        os.environ["SLM_TUI_HOME"] = home
        try:
            run = _long_run()
            opened = [
                asyncio.run(_measured(lambda app: app.open_run(run.path)))
                for _ in range(max(1, min(rounds, 3)))
            ]
            yield from _figures(f"a run of {_STEPS:,} steps", opened)
            _copy_often(run)
            listed = [
                asyncio.run(_measured(lambda app: app.go("runs")))
                for _ in range(max(1, min(rounds, 3)))
            ]
            yield from _figures(f"a list of {_RUNS:,} runs", listed)
        finally:
            os.environ.pop("SLM_TUI_HOME")
            if before is not None:
                os.environ["SLM_TUI_HOME"] = before


def _figures(name: str, found: list[tuple[float, float]]) -> Iterator[Figure]:
    first, wait = (statistics.median(values) for values in zip(*found, strict=True))
    yield Figure(f"{name}, first paint", first, "s", _FIRST_PAINT, at_most=True)
    yield Figure(f"{name}, longest wait", wait, "s", _WAIT, at_most=True)


async def _measured(go: Callable[[Any], object]) -> tuple[float, float]:
    """Seconds until the screen has been built, and the longest wait from then on."""
    # As the command starts it.
    garbage.pause()
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(1.0)
        turns: list[float] = []
        asked = time.perf_counter()
        app.call_later(go, app)
        while time.perf_counter() - asked < _WATCHED:
            turns.append(time.perf_counter())
            await asyncio.sleep(_TURN)
        waits = [after - before - _TURN for before, after in itertools.pairwise(turns)]
        # The screen is built in the turns that follow the request.
        built = max(range(min(len(waits), 60)), key=waits.__getitem__)
        return turns[built + 1] - asked, max(waits[built + 1 :])


def _long_run() -> Run:
    # Only here: it needs the tests, and the other figures do not.
    from tests.tui.made_runs import add_run

    run = add_run("long")
    with (run.path / "training_log.csv").open("w") as file:
        file.write(",".join(TRAINING_COLUMNS) + "\n")
        for step in range(1, _STEPS + 1):
            own = {
                "step": str(step),
                "elapsed_seconds": f"{step / 10}",
                "tokens_seen": f"{64 * step}",
            }
            loss = f"{1 + 3 * math.exp(-step / 9000):.5f}"
            usual = {name: loss if name in _NUMBERS else "" for name in TRAINING_COLUMNS}
            file.write(",".join((usual | own).values()) + "\n")
    return run


def _copy_often(run: Run) -> None:
    (run.path / "results.json").write_text("{}")
    for number in range(_RUNS - 1):
        target: Path = run.path.with_name(f"run{number:04}-20260101-{number:06}")
        ignored = shutil.ignore_patterns("training_log.csv")
        shutil.copytree(run.path, target, ignore=ignored, symlinks=True)
