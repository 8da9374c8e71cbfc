"""The files of a run: appended, never rewritten, intact after any crash."""

import csv
import errno
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slm_tui import safe_files
from slm_tui.config.preset import Preset
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.recorder import TRAINING_COLUMNS, Recorder, perplexity
from slm_tui.runs.store import Run
from slm_tui.training.control import Control
from slm_tui.training.event_json import kind_of
from slm_tui.training.events import (
    Changed,
    Continued,
    Evaluated,
    Failed,
    Finished,
    Paused,
    Requested,
    Sampled,
    Saved,
    Saving,
    Started,
    Stepped,
    Warned,
)

Make = Callable[..., Preset]


def step(number: int, loss: float = 2.0) -> Stepped:
    return Stepped(number, number * 0.1, number * 64, 0.01, loss, 1.5, 640.0)


def evaluation(number: int, loss: float = 2.5, best: bool = False) -> Evaluated:
    return Evaluated(number, number * 0.1, loss, loss / math.log(2), best, 0.01)


def rows(run: Run) -> list[dict[str, str]]:
    with (run.path / "training_log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines(run: Run, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run.path / name).read_text().split("\n") if line]


@pytest.fixture
def run(tiny: Make) -> Run:
    return store.create(tiny())


def test_the_log_has_the_documented_columns(run: Run) -> None:
    recorder = Recorder(run)
    recorder(step(1))
    recorder.close()
    header = (run.path / "training_log.csv").read_text().splitlines()[0]
    assert header == (
        "step,timestamp,elapsed_seconds,tokens_seen,learning_rate,train_loss,val_loss,"
        "train_perplexity,val_perplexity,train_bpb,val_bpb,grad_norm,"
        "tokens_per_second,sample"
    )
    (row,) = rows(run)
    assert (row["step"], row["train_loss"], row["grad_norm"]) == ("1", "2.0", "1.5")
    assert float(row["train_perplexity"]) == pytest.approx(math.exp(2))


def test_evaluation_and_sample_share_the_row_of_their_step(run: Run) -> None:
    recorder = Recorder(run)
    for event in (step(1), step(2), evaluation(2), Sampled(2, "Once", " upon\na time", 0.1)):
        recorder(event)
    recorder(step(3))
    recorder.close()
    comparison = rows(run)
    assert [row["step"] for row in comparison] == ["1", "2", "3"]
    assert (comparison[1]["train_loss"], comparison[1]["val_loss"]) == ("2.0", "2.5")
    assert comparison[1]["sample"] == " upon↵a time"


def test_losses_are_logged_with_every_digit(run: Run) -> None:
    recorder = Recorder(run)
    loss = 2.0 / 3.0 + 1e-15
    recorder(step(1, loss))
    recorder.close()
    curves = Curves(run)
    curves.read()
    assert curves.steps.loss == [loss]


def test_generated_text_cannot_break_the_log(run: Run) -> None:
    recorder = Recorder(run)
    nasty = 'a,"b"\r\n\x1b[31mred\x00\u2028 …' + "x" * 500
    for event in (step(1), Sampled(1, 'Once "', nasty, 0.1), step(2)):
        recorder(event)
    recorder.close()
    assert len((run.path / "training_log.csv").read_text().split("\n")) == 4
    sample = rows(run)[0]["sample"]
    assert len(sample) <= 50
    assert "\x1b" not in sample
    (logged,) = lines(run, "samples.jsonl")
    assert logged["text"] == nasty


def test_the_event_log_has_every_event(run: Run) -> None:
    recorder = Recorder(run)
    happened = [
        Started(0, 12, {"train_bytes_per_token": 1.0}),
        Paused(2),
        Requested(2, "evaluate"),
        Continued(2),
        Changed(3, "learning_rate", 0.5),
        Saved(4, "manual", "step-000004", 100, 0.1),
        Warned(5, "careful"),
        Finished(6, "stopped"),
    ]
    for event in happened:
        recorder(event)
    recorder.close()
    result = lines(run, "events.jsonl")
    assert [line["event"] for line in result] == [
        "started",
        "paused",
        "requested",
        "continued",
        "changed",
        "saved",
        "warned",
        "finished",
    ]
    assert (result[2]["verb"], result[5]["kind"], result[7]["reason"]) == (
        "evaluate",
        "manual",
        "stopped",
    )


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Started(0, 12), "running"),
        (Paused(1), "paused"),
        (Continued(1), "running"),
        (Finished(1, "done"), "done"),
        (Finished(1, "stopped"), "stopped"),
        (Finished(1, "early stop"), "stopped early"),
        (Failed(1, "broken"), "failed"),
    ],
)
def test_the_state_follows_the_events(run: Run, event: object, state: str) -> None:
    with store.lock(run):
        recorder = Recorder(run)
        recorder(event)  # type: ignore[arg-type]
        assert run.info().state == state
        recorder.close()
    assert run.info().error == ("broken" if state == "failed" else "")


def test_the_best_evaluation_is_remembered(run: Run) -> None:
    recorder = Recorder(run)
    recorder(evaluation(5, 2.0, best=True))
    recorder(evaluation(10, 3.0))
    recorder.close()
    info = run.info()
    assert (info.best_step, info.best_loss, info.val_loss) == (5, 2.0, 3.0)


def test_before_a_checkpoint_everything_logged_is_on_disk(run: Run) -> None:
    recorder = Recorder(run)
    for number in range(1, 6):
        recorder(step(number))
    recorder(Saving(5))
    # Nothing is closed: this is what a killed process leaves behind.
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4", "5"]
    assert lines(run, "events.jsonl") == []
    recorder.close()


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
def test_a_torn_last_line_is_ignored_and_terminated(run: Run, cut: int) -> None:
    recorder = Recorder(run)
    for number in (1, 2, 3):
        recorder(step(number, 2.0 + number))
    recorder.close()
    log = run.path / "training_log.csv"
    log.write_bytes(log.read_bytes()[:-cut])
    curves = Curves(run)
    curves.read()
    assert curves.steps.step == [1, 2]
    again = Recorder(run)
    for number in (3, 4):
        again(step(number, 2.0 + number))
    again.close()
    curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1, 2, 3, 4], [3.0, 4.0, 5.0, 6.0])
    fresh = Curves(run)
    fresh.read()
    assert fresh.steps.step == [1, 2, 3, 4]


def test_a_torn_event_is_ignored_and_terminated(run: Run) -> None:
    (run.path / "events.jsonl").write_text('{"event": "paused", "step": 1}\n{"event": "warn')
    recorder = Recorder(run)
    recorder(Warned(2, "whole"))
    recorder.close()
    curves = Curves(run)
    curves.read()
    assert [kind_of(one.event) for one in curves.events] == ["paused", "warned"]


def test_rows_are_appended_to_existing_ones(run: Run) -> None:
    for number in (1, 2):
        recorder = Recorder(run)
        recorder(step(number))
        recorder.close()
    assert [row["step"] for row in rows(run)] == ["1", "2"]


def test_a_full_disk_pauses_training_until_there_is_space(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    recorder = Recorder(run, control)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(safe_files, "write_atomically", full)
        recorder(Warned(1, "lost?"))
        recorder._beaten = 0.0
        recorder.beat()
        assert recorder.full
        assert "no space for the log" in control.blocked
    recorder.beat()
    assert not recorder.full
    assert not control.blocked
    recorder(Finished(2, "done"))
    recorder.close()
    assert run.info().state == "done"


def test_perplexity_never_overflows() -> None:
    assert perplexity(0.0) == 1.0
    assert perplexity(1e6) == math.inf
    assert len(TRAINING_COLUMNS) == len(set(TRAINING_COLUMNS)) == 14


def test_a_heartbeat_updates_the_time_and_flushes(run: Run) -> None:
    recorder = Recorder(run)
    recorder(step(1))
    recorder(step(2))
    recorder._beaten = 0.0
    before = run.info().heartbeat
    recorder.beat()
    assert run.info().heartbeat >= before
    assert [row["step"] for row in rows(run)] == ["1"]
    recorder.close()


def test_a_run_that_was_moved_away_is_not_recreated_and_waits(run: Run, tmp_path: Path) -> None:
    control = Control()
    recorder = Recorder(run, control)
    run.path.rename(tmp_path / "elsewhere")
    recorder(Warned(1, "still here"))
    for _ in range(2):
        recorder._beaten = 0.0
        recorder.beat()
    assert not run.path.exists()
    assert f"{run.path} is gone" in control.blocked
    (tmp_path / "elsewhere").rename(run.path)
    recorder.beat()
    assert not control.blocked
    recorder.close()
    assert "still here" in (run.path / "events.jsonl").read_text()
    assert (run.path / "preset.toml").is_file()


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EFBIG])
def test_a_failing_disk_pauses_training_at_the_second_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    control = Control()
    recorder = Recorder(run, control)

    def broken(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", broken)
        recorder(step(1))
        recorder(step(2))
        recorder.beat()
        assert not control.blocked
        recorder.beat()
        assert os.strerror(number) in control.blocked
    recorder.beat()
    assert not control.blocked
    recorder.close()
    assert [row["step"] for row in rows(run)] == ["1", "2"]


def test_a_closed_recorder_writes_to_no_other_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor number will soon belong to another file."""
    recorder = Recorder(run)
    recorder(step(1))
    real = os.write

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    recorder(step(2))
    recorder.close()
    monkeypatch.setattr(os, "write", real)
    others = [(tmp_path / f"other-{number}").open("wb") for number in range(12)]
    recorder(step(3))
    recorder.beat()
    recorder.close()
    for other in others:
        other.close()
        assert Path(other.name).read_bytes() == b""


def test_the_heartbeat_never_touches_the_record(run: Run) -> None:
    recorder = Recorder(run)
    recorder(Started(0, 10, {"parameters": 1}))
    before = (run.path / "run.json").stat()
    for number in range(1, 5):
        recorder(step(number))
        recorder._beaten = 0.0
        recorder.beat()
    assert (run.path / "run.json").stat().st_ino == before.st_ino
    assert run.info().step == 4
    # Killed here, with the newest figures lost in a power failure: the record is intact.
    (run.path / "live.json").write_bytes(b"\0" * 100)
    assert run.info().max_steps == 10
    recorder.close()
    assert not (run.path / "live.json").exists()
    assert run.info().step == 4


def test_logged_rows_are_synced_before_a_checkpoint(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(run)
    recorder(step(1))
    synced: list[str] = []
    real = os.fsync

    def watch(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", watch)
    recorder(Saving(1))
    assert "training_log.csv" in synced
    assert [row["step"] for row in rows(run)] == ["1"]
    recorder.close()


@pytest.mark.parametrize("name", ["training_log.csv", "eval_log.csv", "events.jsonl"])
def test_a_link_in_place_of_a_log_is_rejected_and_not_followed(
    run: Run, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "shell-profile"
    target.write_text("echo mine\n")
    (run.path / name).symlink_to(target)
    with pytest.raises(OSError, match="is a symbolic link, not a file"):
        Recorder(run)
    assert target.read_text() == "echo mine\n"


# Continued logs, and metrics of the model


def test_a_resumed_log_keeps_the_columns_of_its_file(run: Run) -> None:
    log = run.path / "training_log.csv"
    log.write_text("step,train_loss,mine,auxiliary_loss\n1,4.0,7,\n")
    recorder = Recorder(run)
    recorder(Started(1, 3, {}, ("ratio",)))
    recorder(step(2, 3.0))
    recorder.close()
    assert log.read_text() == "step,train_loss,mine,auxiliary_loss\n1,4.0,7,\n2,3.0,,\n"
    curves = Curves(run)
    curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1, 2], [4.0, 3.0])


@pytest.mark.parametrize("torn", ["step,timest", "step,train_loss,val_lo", "\n", "s"])
def test_a_log_with_an_incomplete_header_starts_over(run: Run, torn: str) -> None:
    (run.path / "training_log.csv").write_text(torn)
    recorder = Recorder(run)
    recorder(step(1, 3.0))
    recorder.close()
    curves = Curves(run)
    curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1], [3.0])


def test_a_metric_of_the_model_has_a_column(run: Run) -> None:
    recorder = Recorder(run)
    recorder(Started(0, 3, {}, ("ratio",)))
    recorder(Evaluated(0, 0.0, 5.0, 1.0, True, 0.1))
    recorder(replace(step(1, 3.0), metrics={"ratio": 0.5}))
    recorder.close()
    header = (run.path / "training_log.csv").read_text().splitlines()[0]
    assert header.endswith(",tokens_per_second,ratio,sample")
    curves = Curves(run)
    curves.read()
    assert curves.steps.metrics == {"ratio": [0.5]}
    assert curves.evaluations.step == [0]


def test_a_metric_named_like_a_column_does_not_replace_it(run: Run) -> None:
    recorder = Recorder(run)
    recorder(Started(0, 3, {}, ("step", "train_loss")))
    recorder(replace(step(1, 3.0), metrics={"step": 9.0, "train_loss": 9.0}))
    recorder.close()
    curves = Curves(run)
    curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1], [3.0])
