"""A changing environment: clock jumps, vanishing files, homes that are not writable."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.corpus.prepare import prepare, reopen
from slm_tui.errors import CheckpointError, RunError
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.training import checkpoint
from slm_tui.training.events import Event, Saved, Stepped
from tests import limits
from tests.conftest import make_tiny
from tests.training.forks import Fork, run

LONG: dict[str, Any] = {
    "training__max_steps": 100_000,
    "training__checkpoint_every": 20,
    "training__evaluate_every": 1000,
    "training__sample_every": 1000,
}


def train_on(steps: int) -> tuple[str, str]:
    """Start or resume the run, for this many steps or until it is killed."""
    there = store.all_runs()
    try:
        session = Session.resume(there[0]) if there else Session.start(make_tiny(**LONG))
    except RunError as error:
        return "refused", str(error)
    first = None
    while session.is_live:
        session.wait(0.01)
        first = session.status.step if first is None and session.status.step else first
        if steps and first is not None and session.status.step >= first + steps:
            session.stop()
    assert session.wait(limits.LIMIT)
    return session.status.state, session.status.error


def until(what: Callable[[], Any], fork: Fork) -> None:
    for _ in range(60_000):
        if what():
            return
        assert fork.process.is_alive(), fork.result()
        time.sleep(0.001)
    raise AssertionError("this line must not be reached")


def steps_of(run: store.Run) -> list[int]:
    curves = Curves(run)
    curves.read()
    return curves.steps.step


def has_saved() -> bool:
    runs = store.all_runs()
    return bool(runs) and bool(checkpoint.all_in(runs[0].checkpoints))


def test_a_second_process_is_rejected_while_the_first_trains(home: Path) -> None:
    first = Fork(train_on, home, 0)
    until(has_saved, first)
    (only_run,) = store.all_runs()
    state, error = run(train_on, home, 5)
    assert state == "refused"
    assert f"run {only_run.id} is being trained: by process {first.pid} on " in error
    assert error.endswith("stop it there, or wait for it to end")
    assert only_run.info().state == "running"
    os.kill(first.pid, signal.SIGKILL)
    assert first.ended() == -signal.SIGKILL
    assert only_run.info().state == "interrupted"
    assert run(train_on, home, 5) == ("stopped", "")
    assert steps_of(only_run) == list(range(1, len(steps_of(only_run)) + 1))


def with_clock(jumps: list[tuple[int, float]], home: Path) -> Any:
    """Train 60 steps; after one of them the clock jumps by this many seconds."""
    real, moved = time.time, [0.0]
    time.time = lambda: real() + moved[0]
    left = dict(jumps)
    seen: list[tuple[str, bool, str]] = []

    def sink(event: Event) -> None:
        if isinstance(event, Stepped) and event.step in left:
            moved[0] += left.pop(event.step)
        if isinstance(event, Stepped) and event.step in (15, 35, 55):
            session.run.write_info(session._recorder.info)
            seen.append((session.run.info().state, store.is_locked(session.run.path), event.step))

    preset = make_tiny(**{**LONG, "training__max_steps": 60})
    session = Session.start(preset, sinks=(sink,))
    assert session.wait(60)
    later = Session.start(make_tiny(), "later")
    assert later.wait(60)
    info = session.run.info()
    curves = Curves(session.run)
    curves.read()
    listing = [one.info().name for one in store.all_runs()]
    return seen, info.state, info.elapsed_seconds, curves.steps.step, curves.steps.seconds, listing


@pytest.mark.parametrize("jump", [-3600.0, 86_400.0], ids=["back one hour", "forward one day"])
def test_a_clock_jump_during_training_does_no_harm(home: Path, jump: float) -> None:
    began = time.monotonic()
    seen, state, elapsed, steps, seconds, listing = run(with_clock, home, [(10, jump)], home)
    assert [(one, two) for one, two, _ in seen] == [("running", True)] * 3
    assert state == "done"
    assert steps == list(range(1, 61))
    assert seconds == sorted(seconds)
    assert 0 < elapsed < time.monotonic() - began
    # A clock that was set back makes a later run look older: it is listed by its recorded time.
    assert sorted(listing) == ["later", "tiny"]
    if jump > 0:
        assert listing[0] == "later"


def start_as_nobody(home: Path) -> str:
    os.setresuid(65534, 65534, 65534)
    os.environ["HOME"] = str(home)
    try:
        session = Session.start(make_tiny())
    except RunError as error:
        return str(error)
    assert session.wait(limits.LIMIT)
    return session.status.error


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may become another user"
)
def test_an_unwritable_home_is_reported_with_a_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for place in (home, *home.parents):
        if place.stat().st_uid == os.geteuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o055)
    home.chmod(0o555)
    error = run(start_as_nobody, home, home)
    assert error.startswith(f"cannot create a run in {home / 'data' / 'runs'}: Permission denied")
    assert "SLM_TUI_HOME" in error
    assert list(home.iterdir()) == []
    # The runs can be written, the prepared texts cannot.
    home.chmod(0o755)
    runs = home / "data" / "runs"
    runs.mkdir(parents=True)
    runs.chmod(0o777)
    error = run(start_as_nobody, home, home)
    assert error.startswith(f"the corpus cannot be written to {home / 'cache' / 'corpora'}: ")
    assert "SLM_TUI_HOME" in error
    assert list(runs.iterdir()) == []


def foreign(path: Path, **changes: Any) -> None:
    """Rewrite a manifest as another version would have."""
    from slm_tui import manifest

    values = manifest.unsealed((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(manifest.sealed({**values, **changes}))


def test_a_checkpoint_of_another_format_is_rejected_and_untouched(home: Path) -> None:
    session = Session.start(make_tiny())
    assert session.wait(60)
    newest = checkpoint.all_in(session.run.checkpoints)[-1]
    foreign(newest, format=99)
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.read(newest)
    more = Session.resume(session.run, more_steps=3)
    assert more.wait(60)
    assert more.status.state == "failed"
    assert "step-000012 has format 99: this version reads format 1" in more.status.error
    assert "use the version that wrote it" in more.status.error
    # It is not damage: a version that can read it finds it unchanged.
    assert newest.is_dir()
    assert not list(session.run.checkpoints.glob("damaged-*"))


def test_a_corpus_deleted_during_training_is_rebuilt_on_resume(home: Path) -> None:
    deleted: list[Path] = []

    def sink(event: Event) -> None:
        if isinstance(event, Saved) and not deleted:
            (directory,) = (home / "cache" / "corpora").iterdir()
            for path in directory.iterdir():
                deleted.append(path)
                path.unlink()
            directory.rmdir()

    whole = Session.start(make_tiny(training__max_steps=40), "whole")
    assert whole.wait(60)
    session = Session.start(make_tiny(training__max_steps=30), sinks=(sink,))
    assert session.wait(60)
    assert deleted
    assert session.status.state == "done", session.status.error
    more = Session.resume(session.run, more_steps=10)
    assert more.wait(60)
    assert more.status.state == "done", more.status.error
    assert steps_of(session.run) == list(range(1, 41))


def test_a_corpus_truncated_during_training_costs_no_more_than_a_kill(home: Path) -> None:
    """The system kills a process that reads a mapped file beyond its end."""
    corpus = prepare(make_tiny(**LONG))
    fork = Fork(train_on, home, 0)
    until(has_saved, fork)
    os.truncate(corpus.directory / "train.bin", 0)
    assert fork.ended() != 0
    (only_run,) = store.all_runs()
    assert only_run.info().state == "interrupted"
    saved, wrong = checkpoint.newest(only_run.checkpoints)
    assert saved is not None
    assert not wrong
    assert run(train_on, home, 5) == ("stopped", "")
    assert reopen(corpus.fingerprint) is not None
    assert steps_of(only_run) == list(range(1, len(steps_of(only_run)) + 1))
