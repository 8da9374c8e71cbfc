"""A process killed at any moment leaves a run that resumes and loses no step of its log."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.preset import Preset
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from tests import extent, limits
from tests.conftest import make_tiny
from tests.training.forks import Fork, run

Make = Callable[..., Preset]
ORDERLY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def start(*arguments: str) -> "subprocess.Popen[str]":
    return limits.start(
        [sys.executable, "-m", "slm_tui", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )


def events_of(process: "subprocess.Popen[str]", until: Callable[[dict[str, Any]], bool]) -> None:
    """Read the process's events until one matches."""
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


# Every kind of save at once: periodic, best and the last one; dropout differs at every step.
BUSY: dict[str, Any] = {
    "model__dropout": 0.1,
    "training__accumulation": 2,
    "training__max_steps": 100_000,
    "training__checkpoint_every": 3,
    "training__evaluate_every": 7,
    "training__sample_every": 10,
    "training__keep_checkpoints": 2,
}
# Small steps of a large model: most of the time goes into saving.
SAVING: dict[str, Any] = {
    "model__n_embd": 256,
    "model__block_size": 4,
    # What `auto` measures in one home may differ from another.
    "training__precision": "fp32",
    "training__micro_batch": 1,
    "training__max_steps": 100_000,
    "training__checkpoint_every": 1,
    "training__evaluate_every": 100_000,
    "training__sample_every": 100_000,
    "training__keep_checkpoints": 1,
}


def start_or_resume(changes: dict[str, Any], steps: int = 0) -> int:
    """Start or resume the run, until a signal or until it reaches `steps`."""
    there = store.all_runs()
    session = Session.resume(there[0]) if there else Session.start(make_tiny(**changes))
    for number in ORDERLY:
        signal.signal(number, lambda *_: session.stop())
    while session.is_live:
        session.wait(0.01)
        if steps and session.status.step >= steps:
            session.stop()
    assert session.wait(1)
    assert session.status.state == "stopped", session.status.error
    return session.status.step


class Watched:
    """The run's files as another process sees them during training."""

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def run(self) -> Run | None:
        return next(iter(store.all_runs()), None)

    def saved(self) -> int:
        """The step at which a resume would start."""
        assert self.run is not None
        newest, wrong = checkpoint.newest(self.run.checkpoints)
        assert not wrong
        return newest.state.step if newest is not None else 0

    def is_saving(self) -> bool:
        return self.run is not None and any(self.run.checkpoints.glob(".writing-*"))

    def until(self, what: Callable[[], bool], fork: Fork) -> None:
        for _ in range(200_000):
            if what():
                return
            assert fork.process.is_alive(), "it ended by itself"
            time.sleep(0.0002)
        raise AssertionError("this line must not be reached")


def logged(run: Run | None) -> int:
    return max(losses(run)[0], default=0) if run is not None else 0


def due(run: Run, after: int, changes: dict[str, Any]) -> list[int]:
    """The logged steps after `after` at which a checkpoint was due.

    None is due where the loss is worse than a uniform guess, as single batches of four tokens are.
    """
    every, doubtful = changes["training__checkpoint_every"], 1.1 * math.log(256)
    steps = zip(*losses(run), strict=True)
    return [step for step, loss in steps if step > after and not step % every and loss <= doubtful]


def a_moment(watched: Watched, fork: Fork, chance: random.Random, *, aimed: bool) -> None:
    """Wait until the process has trained at least a step, then for a random time."""
    before = logged(watched.run)
    target = before + chance.randint(1, 6)
    watched.until(lambda: logged(watched.run) >= target, fork)
    if not before:
        # A run that has steps but no checkpoint never starts over.
        watched.until(lambda: watched.saved() > 0, fork)
    time.sleep(chance.random() * 0.02)
    if aimed:
        watched.until(watched.is_saving, fork)


@pytest.mark.slow
@pytest.mark.timeout(240)
@extent.sample(1)
@pytest.mark.parametrize(
    ("changes", "rounds"),
    [(BUSY, extent.of(5, 60)), (SAVING, extent.of(6, 40))],
    ids=["all", "saving"],
)
def test_many_kills_do_not_change_the_losses(
    home: Path, changes: dict[str, Any], rounds: int
) -> None:
    chance = random.Random(rounds)
    watched = Watched(home)
    aimed = changes is SAVING
    in_a_save = 0
    for _ in range(rounds):
        fork = Fork(start_or_resume, home, changes)
        a_moment(watched, fork, chance, aimed=aimed)
        number = chance.choice((*ORDERLY, signal.SIGKILL, signal.SIGKILL, signal.SIGKILL))
        os.kill(fork.pid, number)
        code = fork.ended()
        run_ = watched.run
        assert run_ is not None
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL
            assert run_.info().state == "interrupted"
            in_a_save += watched.is_saving()
            # One checkpoint may be written, one waiting, and one about to be queued.
            assert len(due(run_, watched.saved(), changes)) <= 3
        else:
            assert code == 0, fork.result()
            assert run_.info().state == "stopped"
            assert watched.saved() == fork.result() == logged(run_)
    assert len(store.all_runs()) == 1
    if aimed:
        assert in_a_save >= rounds // 13
    # Once more, cleanly; then the whole run without a kill.
    broken = watched.run
    assert broken is not None
    reached = run(start_or_resume, home, changes, logged(broken) + 1)
    whole = home / "whole"
    run(start_or_resume, whole, {**changes, "training__checkpoint_every": 10_000}, reached)
    (other,) = (Run(path) for path in (whole / "data" / "runs").iterdir())
    steps, found_losses = losses(broken)
    expected_steps, expected = losses(other)
    assert steps == list(range(1, reached + 1))
    assert steps == expected_steps[:reached]
    assert found_losses == expected[:reached]
    assert not list(broken.checkpoints.glob("damaged-*"))


def moments(rounds: int) -> Iterator[float]:
    chance = random.Random(0)
    yield from (chance.random() * 0.03 for _ in range(rounds))


@pytest.mark.slow
@extent.only_in_all
def test_a_command_killed_twice_resumes(tiny: Make, home: Path) -> None:
    file = home / "tiny.toml"
    file.write_text(tiny(**BUSY).to_toml())
    process = start("train", str(file), "--json")
    for moment in moments(2):
        # Before its first checkpoint there would be nothing to resume from.
        events_of(process, lambda event: event["event"] == "saved")
        threading.Event().wait(moment)
        end(process, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert store.find("last").info().state == "interrupted"
        process = start("train", "--resume", "last", "--json")
    events_of(process, lambda event: event["event"] == "stepped")
    assert end(process, signal.SIGTERM)[0] == 130
    steps, _ = losses(store.find("last"))
    assert steps == list(range(1, len(steps) + 1))
