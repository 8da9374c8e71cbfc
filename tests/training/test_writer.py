"""The background writer: training never waits forever, and a full disk never stops it."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Event, Paused, Saved, Warned
from slm_tui.training.trainer import Trainer
from slm_tui.training.writer import CheckpointWriter, RetentionPolicy
from tests.training.harness import train
from tests.training.test_checkpoint import snapshot

Make = Callable[..., Preset]


def test_everything_queued_is_on_disk_after_close(tmp_path: Path) -> None:
    events: list[Event] = []
    writer = CheckpointWriter(tmp_path, RetentionPolicy(10), events.append, Control())
    for step in range(1, 6):
        writer.submit(snapshot(step), "periodic")
    writer.close()
    assert [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)] == [1, 2, 3, 4, 5]
    saved = [event for event in events if isinstance(event, Saved)]
    assert [(event.step, event.kind) for event in saved] == [(n, "periodic") for n in range(1, 6)]
    size = sum(file.stat().st_size for file in (tmp_path / "step-000005").iterdir())
    assert saved[-1].bytes == size


def test_a_manual_save_of_a_saved_step_protects_it(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, RetentionPolicy(1), lambda event: None, Control())
    writer.submit(snapshot(1), "periodic")
    writer.submit(snapshot(1), "manual")
    for step in (2, 3, 4):
        writer.submit(snapshot(step), "periodic")
    writer.close()
    assert [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)] == [1, 3, 4]


def test_a_newer_best_replaces_a_waiting_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    whole = checkpoint.write

    def slow(*arguments: object, **options: object) -> Path:
        go.wait(10)
        return whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint, "write", slow)
    writer = CheckpointWriter(tmp_path, RetentionPolicy(10), lambda event: None, Control())
    writer.submit(snapshot(1), "periodic")
    while writer._waiting is not None:
        threading.Event().wait(0.001)
    for step in (2, 3, 4):
        writer.submit(snapshot(step), "best")
    go.set()
    writer.close()
    assert [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)] == [1, 4]
    assert checkpoint.linked(tmp_path, "best") == tmp_path / "step-000004"


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied"),
        SafetensorError("I/O error"),
        RuntimeError("odd"),
        MemoryError(),
    ],
)
def test_a_failed_save_is_reported_and_training_continues(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    whole = checkpoint.write_tensors
    calls = 0

    def full(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise error
        whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint, "write_tensors", full)
    done = train(tiny(training__evaluate_every=1000), tmp_path)
    assert done.reason == "done"
    warned = [event for event in done.of(Warned) if "was not saved" in event.message]
    assert [event.step for event in warned] == [4, 8]
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest.state.step == 12


def test_multiples_of_a_step_are_kept(tmp_path: Path) -> None:
    writer = CheckpointWriter(
        tmp_path, RetentionPolicy(1, keep_every=3), lambda event: None, Control()
    )
    for step in range(1, 9):
        writer.submit(snapshot(step), "periodic")
    writer.close()
    # The newest, the one that the limit keeps as well, and every third.
    steps = [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)]
    assert steps == [3, 6, 7, 8]


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EFBIG, errno.EROFS])
def test_a_disk_that_fails_every_save_pauses_training_at_the_second(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Otherwise it would train to the end with nothing saved."""
    whole, broken = checkpoint.write_tensors, threading.Event()
    broken.set()

    def save(*arguments: object) -> None:
        if broken.is_set():
            raise OSError(number, os.strerror(number))
        whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint, "write_tensors", save)
    control = Control()
    seen: list[Event] = []

    def sink(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Paused) and event.reason:
            broken.clear()

    preset = tiny(training__evaluate_every=1000)
    assert Trainer(preset, prepare(preset), tmp_path, sink, control).run() == "done"
    paused = [event for event in seen if isinstance(event, Paused)]
    assert [os.strerror(number) in event.reason for event in paused] == [True]
    assert 8 <= paused[0].step <= 12
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest.state.step == 12


def test_a_failing_sink_does_not_stop_saving(tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        raise ImportError("no such module")

    writer = CheckpointWriter(tmp_path, RetentionPolicy(10), broken, Control())
    for step in (1, 2, 3):
        writer.submit(snapshot(step), "periodic")
    writer.close()
    assert [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)] == [1, 2, 3]
    assert writer.failure == ""
