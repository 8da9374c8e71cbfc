"""A disk that is really full: training waits, continues once there is space, and loses nothing."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui.config.preset import Preset
from slm_tui.live.session import Session
from slm_tui.runs.curves import Curves
from slm_tui.training import checkpoint
from tests.corpus.test_full_disk import small_disk

Make = Callable[..., Preset]
SIZE = f"{2**22}"
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None,
        reason="mounts a small file system: needs root on Linux",
    ),
]


def fill(disk: Path) -> Path:
    """Take all free space."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 2**16
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    return ballast


def wait(session: Session, what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert session.is_live, session.status
        assert time.monotonic() < end, session.status
        time.sleep(0.02)


def start(tiny: Make, disk: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Session:
    from slm_tui.corpus.prepare import prepare

    preset = tiny(training__max_steps=100_000, training__sample_every=10**6, **changes)
    monkeypatch.setenv("SLM_TUI_HOME", str(disk))
    prepare(preset)
    return Session.start(preset)


def rows_without_gaps(session: Session) -> int:
    curves = Curves(session.run)
    curves.read()
    steps = curves.steps.step
    assert steps == list(range(1, len(steps) + 1))
    return len(steps)


def test_no_space_for_a_checkpoint_pauses_until_there_is(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", SIZE) as disk:
        session = start(
            tiny, disk, monkeypatch, training__checkpoint_every=50, training__keep_checkpoints=2
        )
        wait(session, lambda: len(checkpoint.all_in(session.run.checkpoints)) > 1)
        ballast = fill(disk)
        wait(session, lambda: session.status.state == "paused")
        assert "no space" in session.status.waiting_for
        assert "No space left" in session.status.waiting_for
        good, wrong = checkpoint.newest(session.run.checkpoints)
        assert good is not None
        assert not wrong
        stopped_at = session.status.step
        time.sleep(0.5)
        assert session.status.step == stopped_at
        ballast.unlink()
        wait(session, lambda: session.status.step > stopped_at + 60)
        assert session.status.waiting_for == ""
        session.stop()
        assert session.wait(60)
        assert session.status.state == "stopped"
        assert rows_without_gaps(session) == session.status.step
        newest, wrong = checkpoint.newest(session.run.checkpoints)
        assert newest is not None
        assert newest.state.step == session.status.step
        assert not wrong


def test_no_space_for_the_log_pauses_and_loses_no_row(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", SIZE) as disk:
        # No best one either: only the log is written.
        rarely = {"training__checkpoint_every": 10**6, "training__evaluate_every": 10**6}
        session = start(tiny, disk, monkeypatch, **rarely)
        wait(session, lambda: session.status.step > 20)
        ballast = fill(disk)
        wait(session, lambda: session.status.state == "paused")
        assert "no space for the log" in session.status.waiting_for
        stopped_at = session.status.step
        ballast.unlink()
        wait(session, lambda: session.status.step > stopped_at + 20)
        session.stop()
        assert session.wait(60)
        assert rows_without_gaps(session) == session.status.step


def test_stopping_a_run_that_waits_for_space_reports_what_is_unsaved(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", SIZE) as disk:
        session = start(tiny, disk, monkeypatch, training__checkpoint_every=50)
        wait(session, lambda: len(checkpoint.all_in(session.run.checkpoints)) > 1)
        fill(disk)
        wait(session, lambda: session.status.state == "paused")
        session.stop()
        assert session.wait(60)
        assert session.status.state == "failed"
        assert "is not saved: No space left" in session.status.error
        newest, wrong = checkpoint.newest(session.run.checkpoints)
        assert newest is not None
        assert not wrong


def test_a_full_disk_at_the_last_save_waits_too(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", SIZE) as disk:
        changes = {"training__max_steps": 300, "training__checkpoint_every": 10**6}
        changes |= {"training__evaluate_every": 10**6, "training__sample_every": 10**6}
        monkeypatch.setenv("SLM_TUI_HOME", str(disk))
        session = Session.start(tiny(**changes))
        wait(session, lambda: session.status.step > 10)
        # All but a few rows of the log.
        ballast = fill(disk)
        with ballast.open("rb+") as file:
            file.truncate(ballast.stat().st_size - 2**16)
        wait(session, lambda: session.status.state == "paused")
        time.sleep(0.5)
        assert session.is_live
        ballast.unlink()
        assert session.wait(60)
        assert session.status.state == "done"
        newest, _ = checkpoint.newest(session.run.checkpoints)
        assert newest is not None
        assert newest.state.step == 300


def test_a_second_stop_gives_up_waiting_for_the_last_save(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", SIZE) as disk:
        # No best one either: its step would need no other checkpoint.
        rarely = {"training__checkpoint_every": 10**6, "training__evaluate_every": 10**6}
        session = start(tiny, disk, monkeypatch, **rarely)
        wait(session, lambda: session.status.step > 20)
        # While it fills the disk nothing is logged: a run already waiting for space
        # would take the first stop for the second.
        session.control.pause()
        wait(session, lambda: session.status.state == "paused")
        ballast = fill(disk)
        with ballast.open("rb+") as file:
            file.truncate(ballast.stat().st_size - 2**15)
        session.stop()
        wait(session, lambda: session.status.waiting_for != "")
        time.sleep(1.2)
        assert session.is_live
        session.stop()
        assert session.wait(60)
        assert session.status.state == "failed"
        assert "is not saved: No space left" in session.status.error
