"""A process killed at any moment leaves a run that goes on, and loses no step of its log."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.preset import Preset
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.session import Session
from slm_tui.runs.store import Run

Make = Callable[..., Preset]
KILLS = 10


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "slm_tui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )


def events_of(process: "subprocess.Popen[str]", until: Callable[[dict[str, Any]], bool]) -> None:
    """Read the process's events until one fits."""
    assert process.stdout is not None
    for line in process.stdout:
        if until(json.loads(line)):
            return


def end(process: "subprocess.Popen[str]", number: int) -> tuple[int, str]:
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def losses(run: Run) -> tuple[list[int], list[float]]:
    curves = Curves(run)
    curves.read()
    return curves.steps.step, curves.steps.loss


def to_the_end(session: Session) -> Run:
    assert session.wait(60)
    assert session.status.state == "done", session.status.error
    return session.run


@pytest.mark.slow
def test_ten_kills_cost_nothing_but_time(tiny: Make, home: Path) -> None:
    preset = tiny(
        model__dropout=0.1,
        training__accumulation=2,
        training__max_steps=4000,
        training__checkpoint_every=3,
        training__evaluate_every=7,
        training__sample_every=10,
        training__keep_checkpoints=2,
    )
    file = home / "tiny.toml"
    file.write_text(preset.to_toml())
    moments = random.Random(0)
    process = start("train", str(file), "--json")
    for number in range(KILLS):
        first: list[int] = []
        wanted = moments.randint(1, 25)

        def far_enough(
            event: dict[str, Any], first: list[int] = first, wanted: int = wanted
        ) -> bool:
            if event["event"] == "stepped":
                first.append(event["step"])
            return bool(first) and first[-1] - first[0] >= wanted

        events_of(process, far_enough)
        # And a little later, so that it falls into the middle of anything.
        threading.Event().wait(moments.random() * 0.03)
        end(process, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        run = store.find("last")
        assert run.info().state == "interrupted"
        if number < KILLS - 1:
            process = start("train", "--resume", "last", "--json")
    reached = run.info().step
    # The rest in this process: the same run, and another that is never interrupted.
    more = Session.resume(run)
    more.control.stop()
    assert more.wait(60)
    whole = Session.start(preset, "whole", sinks=())
    steps, found = losses(run)
    assert steps == list(range(1, len(steps) + 1))
    assert steps[-1] >= reached - 3
    while whole.status.step < len(steps) and whole.is_live:
        whole.wait(0.05)
    whole.stop()
    assert whole.wait(60)
    expected_steps, expected = losses(whole.run)
    assert expected_steps[: len(steps)] == steps
    assert found == expected[: len(steps)]
