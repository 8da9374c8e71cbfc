"""A remote session: a run of another process is shown and steered as if it were trained here."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.live import steering
from slm_tui.live.other_process_runs import OtherProcessRuns
from slm_tui.live.remote_session import RemoteSession
from slm_tui.runs import store
from slm_tui.runs.store import Run
from tests import extent, limits
from tests.conftest import make_tiny
from tests.limits import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
Capture = pytest.CaptureFixture[str]
PATIENCE = 60.0


def slm_tui(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "slm_tui", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    """A run that another process trains, with very many steps."""
    file = home / "tiny.toml"
    file.write_text(make_tiny(training__max_steps=1_000_000).to_toml())
    done = slm_tui("train", str(file), "--detach", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    started = Run(Path(facts["path"]))
    assert started.info().pid == facts["pid"]
    until(lambda: started.info().state == "running")
    yield started
    # Also if the test failed while its directory was elsewhere.
    if not started.path.exists() or started.info().state in store.LIVE_STATES:
        with contextlib.suppress(ProcessLookupError):
            os.kill(facts["pid"], signal.SIGCONT)
            os.kill(facts["pid"], signal.SIGTERM)
    until(lambda: not store.is_locked(started.path))


@pytest.fixture
def followed(run: Run) -> Iterator[RemoteSession]:
    remote = RemoteSession(run)
    yield remote
    remote.close()


def test_it_has_the_interface_of_a_session(followed: RemoteSession) -> None:
    until(lambda: followed.status.step > 0)
    assert followed.is_live
    assert followed.preset.name == "tiny"
    followed.control.pause()
    until(lambda: followed.status.state == "paused")
    followed.control.extend(5)
    until(lambda: followed.status.max_steps == 1_000_005)
    followed.control.resume()
    until(lambda: followed.status.state == "running")
    at = followed.status.step
    until(lambda: followed.status.step > at)
    followed.stop()
    until(lambda: not followed.is_live)
    assert followed.status.state == followed.run.info().state == "stopped"
    assert followed.problem() == ""


@extent.only_in_all
def test_without_a_socket_it_is_watched_from_its_files(run: Run, followed: RemoteSession) -> None:
    (run.path / steering.SOCKET).unlink()
    at = followed.status.step
    until(lambda: followed.status.step > at)
    assert followed.is_live
    followed.control.pause()
    until(lambda: "can only be watched" in (problem := followed.problem()) and "pause" in problem)
    os.kill(run.info().pid, signal.SIGTERM)
    until(lambda: not followed.is_live)
    assert followed.status.state == "stopped"


def test_a_hanging_process_blocks_nobody(run: Run, followed: RemoteSession) -> None:
    # It listens, and does not only begin to.
    until(lambda: followed.status.step > 0)
    limits.suspend(run.info().pid)
    followed.control.save()
    assert followed.is_live  # immediate: none of these asks the other process
    until(lambda: "does not respond" in followed.problem())
    os.kill(run.info().pid, signal.SIGCONT)
    at = followed.status.step
    until(lambda: followed.status.step > at)


def test_a_killed_process_reads_as_interrupted(run: Run, followed: RemoteSession) -> None:
    os.kill(run.info().pid, signal.SIGKILL)
    until(lambda: not followed.is_live)
    assert followed.status.state == "interrupted"


def test_live_runs_of_other_processes_appear_and_disappear(run: Run, tmp_path: Path) -> None:
    elsewhere = OtherProcessRuns()
    elsewhere.look()
    assert elsewhere.runs == (run,)
    moved = tmp_path / "moved"
    pid = run.info().pid
    assert pid is not None
    # Its process would write to the old place.
    limits.suspend(pid)
    run.path.parent.rename(moved)
    elsewhere.look()
    assert elsewhere.runs == ()
    elsewhere.include(moved / run.id)
    elsewhere.look()
    assert elsewhere.runs == (Run(moved / run.id),)
    moved.rename(run.path.parent)
    os.kill(pid, signal.SIGCONT)
    steering.ask(run.path, "stop", seconds=PATIENCE)
    until(lambda: run.info().state == "stopped")
    elsewhere.look()
    assert elsewhere.runs == ()


def test_the_command_line_steers_and_follows(run: Run, capsys: Capture) -> None:
    assert main(["runs", "steer", "last", "pause"]) == 0
    assert capsys.readouterr().out == f"pause requested for {run.id}\n"
    until(lambda: run.info().state == "paused")
    assert main(["runs", "steer", "last", "rate", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == 0.5
    for words in (["rate"], ["rate", "fast"], ["rate", "0"], ["extend", "0.5"], ["stop", "3"]):
        assert main(["runs", "steer", "last", *words]) == 1
        assert capsys.readouterr().err.startswith("slm-tui: ")
    assert main(["runs", "steer", "last", "extend", "1,000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == 1000
    until(lambda: run.info().step)
    assert main(["runs", "steer", "last", "stop"]) == 0
    assert main(["runs", "follow", "last"]) in (0, 1)
    until(lambda: run.info().state == "stopped")
    assert main(["runs", "steer", "last", "pause"]) == 1
    assert "not being trained" in capsys.readouterr().err
    assert main(["runs", "follow", "last"]) == 1


@extent.only_in_all
def test_following_shows_the_run_and_leaves_it_running(run: Run) -> None:
    for words in ([], ["--json"]):
        process = limits.start(
            [sys.executable, "-m", "slm_tui", "runs", "follow", "last", *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        if words:
            assert json.loads(process.stdout.readline())["run"] == run.id
        else:
            assert run.id in process.stdout.readline()
            assert any("bits per byte" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    at = run.info().step
    until(lambda: run.info().step > at)


def test_a_failed_start_is_reported_and_leaves_nothing(home: Path) -> None:
    file = home / "tiny.toml"
    file.write_text(make_tiny(data={"kind": "file", "path": "nowhere.txt"}).to_toml())
    done = slm_tui("train", str(file), "--detach")
    assert done.returncode == 1
    assert done.stderr.startswith("slm-tui: ")
    assert store.all_runs() == []
    assert slm_tui("train", "no-such-preset", "--detach").returncode == 1
    assert slm_tui("train", "--resume", "none", "--detach").returncode == 1


def test_a_stopped_run_resumes_from_its_own_files(run: Run) -> None:
    steering.ask(run.path, "stop", seconds=PATIENCE)
    until(lambda: run.info().state == "stopped" and not store.is_locked(run.path))
    at = run.info().step
    done = slm_tui("train", "--resume", "last", "--detach")
    assert done.returncode == 0, done.stderr
    assert f"slm-tui --run {run.id}" in done.stdout
    until(lambda: run.info().step > at)
    steering.ask(run.path, "stop", seconds=PATIENCE)
    until(lambda: not store.is_locked(run.path))
