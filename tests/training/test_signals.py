"""Signals to the command line: progress is saved, and the run can be resumed."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui.config.preset import Preset
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.training import checkpoint
from tests import extent
from tests.training.test_kill import end, events_of, losses, start

Make = Callable[..., Preset]


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=extent.only_in_all), signal.SIGTERM]
)
def test_a_signal_saves_and_exits_with_130(tiny: Make, home: Path, number: signal.Signals) -> None:
    preset = tiny(
        model__dropout=0.1, training__max_steps=100_000, training__checkpoint_every=100_000
    )
    file = home / "tiny.toml"
    file.write_text(preset.to_toml())
    process = start("train", str(file), "--json")
    events_of(process, lambda event: event["event"] == "stepped" and event["step"] >= 7)
    assert end(process, number) == (130, "")
    run = store.find("last")
    info = run.info()
    assert info.state == "stopped"
    newest, _ = checkpoint.newest(run.checkpoints)
    assert newest is not None
    assert newest.state.step == info.step >= 7
    events = [json.loads(line) for line in (run.path / "events.jsonl").open()]
    assert events[-1]["reason"] == "stopped"
    more = Session.resume(run)
    while more.status.step < info.step + 3 and more.is_live:
        more.wait(0.02)
    more.stop()
    assert more.wait(60)
    steps, _ = losses(run)
    assert steps[: info.step + 3] == list(range(1, info.step + 4))


def test_a_hangup_does_not_stop_training(tiny: Make, home: Path) -> None:
    preset = tiny(training__max_steps=100_000, training__checkpoint_every=100_000)
    file = home / "tiny.toml"
    file.write_text(preset.to_toml())
    process = start("train", str(file), "--json")
    events_of(process, lambda event: event["event"] == "stepped" and event["step"] >= 7)
    process.send_signal(signal.SIGHUP)
    # Its output goes elsewhere from now on: this end of the pipe is closed.
    assert process.stdout is not None
    process.stdout.read()
    run = store.find("last")
    at = run.info().step
    while run.info().step < at + 20:
        assert process.poll() is None
        time.sleep(0.05)
    assert end(process, signal.SIGTERM)[0] == 130
    assert run.info().state == "stopped"
    assert "stopped" in (run.path / "console.log").read_text()


def test_a_closed_pipe_saves_and_stops(tiny: Make, home: Path) -> None:
    preset = tiny(training__max_steps=100_000, training__checkpoint_every=100_000)
    file = home / "tiny.toml"
    file.write_text(preset.to_toml())
    process = start("train", str(file), "--json")
    events_of(process, lambda event: event["event"] == "stepped" and event["step"] >= 3)
    assert process.stdout is not None
    process.stdout.close()
    process.wait(60)
    assert process.stderr is not None
    process.stderr.close()
    run = store.find("last")
    assert run.info().state == "stopped"
    newest, _ = checkpoint.newest(run.checkpoints)
    assert newest is not None
    assert newest.state.step >= 3
