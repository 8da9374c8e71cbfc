"""Several processes that train one run: the losses of one, and an orderly end if one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.cli import main
from slm_tui.config.preset import Preset
from slm_tui.corpus.parallel import cores
from slm_tui.errors import PresetError, TrainingError
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.training import checkpoint, follower, ranks, team
from slm_tui.training.device import process_count
from slm_tui.training.events import Failed, Stepped, WentBack
from slm_tui.training.ranks import Joined, Position, distributed, position
from slm_tui.training.stepper import Stepper
from slm_tui.training.threads import usual_count
from tests import extent, limits
from tests.conftest import make_tiny
from tests.training.forks import Fork
from tests.training.harness import train
from tests.training.test_kill import end, events_of, losses

pytestmark = pytest.mark.timeout(limits.LIMIT)
Make = Callable[..., Preset]
Values = dict[str, Any]
MUON: Values = {"kind": "muon", "learning_rate": 0.01}
HGRN: Values = {"kind": "hgrn", "n_layer": 1, "n_embd": 16, "block_size": 16}


@dataclass
class Result:
    """What a forked process reports of a training."""

    losses: dict[int, float]
    evaluations: dict[int, float]
    warnings: list[str]
    reason: str | None
    errors: list[str]
    went_back: int
    metrics: list[tuple[str, ...]]


def joined(rank: int, port: int, count: int = 2) -> Joined:
    there = distributed().TCPStore("127.0.0.1", port, is_master=False)
    os.environ["GLOO_SOCKET_IFNAME"] = ranks.loopback()
    return ranks.join(Position(rank, count, rank, count), there)


def lead(port: int, changes: Values, directory: str, patch: Any = None, **options: Any) -> Result:
    """Rank 0, or a process of its own if `port` is 0."""
    if patch is not None:
        patch()
    own: Any = joined(0, port, options.pop("count", 2)) if port else ranks.ALONE
    done = train(make_tiny(**changes), Path(directory), ranks=own, **options)
    errors = [event.error for event in done.of(Failed)]
    return Result(
        done.losses,
        done.evaluations,
        done.warnings,
        done.reason,
        errors,
        len(done.of(WentBack)),
        [tuple(event.metrics) for event in done.of(Stepped)],
    )


def follow(port: int, rank: int, count: int, patch: Any = None) -> str:
    """A process of another rank; returns its error."""
    if patch is not None:
        patch()
    try:
        follower.follow(joined(rank, port, count))
    except TrainingError as error:
        return str(error)
    return ""


_alone: dict[str, Result] = {}


def one(home: Path, changes: Values) -> Result:
    """An uninterrupted training in one process; each is trained once for all tests."""
    key = repr(changes)
    if key not in _alone:
        _alone[key] = lead(0, changes, str(home / "one"))
    return _alone[key]


def resumed(home: Path, name: str, changes: Values | None = None, **options: Any) -> Result:
    return lead(0, changes or {}, str(home / name), resume=True, **options)


def lead_with(port: int, changes: Values, directory: str, patch: Any, options: Values) -> Result:
    return lead(port, changes, directory, patch, **options)


class Pair:
    """Two processes or more that train together, in the directory `name`."""

    def __init__(
        self,
        home: Path,
        changes: Values,
        name: str = "two",
        *,
        patch: Any = None,
        other: Any = None,
        count: int = 2,
        **options: Any,
    ) -> None:
        self._meeting = distributed().TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False
        )
        port = self._meeting.port
        values = {**options, "count": count}
        self.first = Fork(lead_with, home, port, changes, str(home / name), patch, values)
        self.others = [Fork(follow, home, port, rank, count, other) for rank in range(1, count)]

    def outcome(self) -> Result:
        result = self.first.result(seconds=limits.LIMIT)
        assert isinstance(result, Result)
        return result

    def whole(self) -> Result:
        """The result of a training that all processes end in order."""
        result = self.outcome()
        assert [other.result(seconds=limits.LIMIT) for other in self.others] == [""] * len(
            self.others
        )
        return result


def alike(result: Result, alone: Result) -> None:
    assert result.reason == alone.reason == "done"
    assert result.losses == pytest.approx(alone.losses, abs=1e-5, rel=0)
    assert result.evaluations == pytest.approx(alone.evaluations, abs=1e-5, rel=0)
    assert result.metrics == alone.metrics


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        (
            {
                "training__micro_batch": 5,
                "optimizer": MUON,
                "schedule__length_warmup_fraction": 0.5,
            },
            2,
        ),
        ({"training__micro_batch": 2, "training__accumulation": 2}, 3),
        ({"model": HGRN, "training__gradient_norms": True}, 2),
        ({"training__precision": "fp16", "training__micro_batch": 3}, 2),
    ],
    ids=["odd", "three", "hgrn", "fp16"],
)
def test_several_processes_give_the_losses_of_one(home: Path, changes: Values, count: int) -> None:
    several = Pair(home, changes, count=count)
    alone = one(home, changes)
    assert len(alone.losses) == 12
    if changes.get("training__precision") == "fp16":
        # The parts of a gradient are rounded to fp16 before they are added.
        assert several.whole().losses == pytest.approx(alone.losses, abs=2e-3, rel=0)
    else:
        alike(several.whole(), alone)


def test_a_run_resumes_on_another_number_of_processes(home: Path) -> None:
    alone = one(home, {})
    stops = {"wishes": {6: _stop}}
    begun = Pair(home, {}, "begun together", **stops).whole()
    assert begun.reason == "stopped"
    ended = resumed(home, "begun together")
    assert begun.losses | ended.losses == pytest.approx(alone.losses, abs=1e-5, rel=0)
    begun = lead(0, {}, str(home / "begun alone"), **stops)
    ended = Pair(home, {}, "begun alone", resume=True).whole()
    assert begun.losses | ended.losses == pytest.approx(alone.losses, abs=1e-5, rel=0)


def _stop(control: Any) -> None:
    control.stop()


class FailsOnce:
    """From step `step` on, `times` passes of this process fail as `how` says."""

    def __init__(self, step: int, how: Callable[[Stepper], None], times: int = 1) -> None:
        self._step, self._how, self._left = step, how, times

    def __call__(self) -> None:
        step, accumulate = Stepper.launch, Stepper._accumulate
        now = 0

        def counted(stepper: Stepper, batch: Any, rate: float, number: int, *more: Any) -> Any:
            nonlocal now
            now = number
            return step(stepper, batch, rate, number, *more)

        def failing(stepper: Stepper, *arguments: Any) -> Any:
            result = accumulate(stepper, *arguments)
            if now >= self._step and self._left:
                self._left -= 1
                self._how(stepper)
            return result

        Stepper.launch, Stepper._accumulate = counted, failing  # type: ignore[method-assign]


def no_memory(_: Stepper) -> None:
    raise torch.OutOfMemoryError("out of memory, says the test")


def not_finite(stepper: Stepper) -> None:
    stepper._optimizer.gradients[0] = float("nan")


def dies(_: Stepper) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrong(_: Stepper) -> None:
    raise ValueError("the disk of this machine is on fire")


@extent.sample(1)
@pytest.mark.parametrize("rank", [0, 1])
def test_when_memory_runs_out_on_one_rank_all_repeat_the_step(home: Path, rank: int) -> None:
    fails = FailsOnce(5, no_memory)
    pair = Pair(home, {}, **{"other" if rank else "patch": fails})
    result = pair.whole()
    assert result.warnings == [
        f"memory ran out in the process of rank {rank}: now 2 passes of 1 sequences, same step"
    ]
    alike(result, one(home, {}))


def test_memory_for_less_than_a_sequence_ends_all(home: Path) -> None:
    pair = Pair(home, {}, other=FailsOnce(5, no_memory, times=10))
    expected = "memory ran out with one sequence at a time in the process of rank 1"
    assert expected in pair.outcome().errors[0]
    assert expected in pair.others[0].result(seconds=limits.LIMIT)


def test_all_ranks_go_back_together(home: Path) -> None:
    fails = FailsOnce(6, not_finite, times=5)
    # Which of the best checkpoints are saved depends on how fast they are written.
    changes = {"training__evaluate_every": 100}
    together = Pair(home, changes, other=fails).whole()
    alone = Fork(lead_with, home, 0, changes, str(home / "one"), fails, {}).result()
    assert together.went_back == alone.went_back == 1
    alike(together, alone)


def test_dropout_differs_between_the_ranks_and_repeats(home: Path) -> None:
    changes = {"model__dropout": 0.3}
    once = Pair(home, changes, "once").whole()
    alone = one(home, changes)
    assert once.losses[1] != pytest.approx(alone.losses[1], abs=1e-4)
    ended = resumed(home, "once", changes, more_steps=2)
    assert set(ended.losses) == {13, 14}


def test_a_killed_process_leaves_a_run_that_resumes(home: Path) -> None:
    result = Pair(home, {}, other=FailsOnce(6, dies)).outcome()
    assert result.errors == [
        "the process of rank 1 (of 2) ended: it was killed, or the connection to it was lost; "
        "resume the run, on any number of processes"
    ]
    newest, wrong = checkpoint.newest(home / "two")
    assert not wrong
    assert newest is not None
    assert newest.state.step == 6
    more = resumed(home, "two")
    assert result.losses | more.losses == pytest.approx(one(home, {}).losses, abs=1e-5, rel=0)


def test_the_error_of_another_process_is_reported(home: Path) -> None:
    pair = Pair(home, {}, other=FailsOnce(3, wrong))
    assert "rank 1 (of 2) ended: ValueError: the disk of this machine" in pair.outcome().errors[0]


def test_when_rank_0_is_killed_the_others_end(home: Path) -> None:
    pair = Pair(home, {}, patch=FailsOnce(9, dies))
    assert pair.first.ended() == -signal.SIGKILL
    assert "the process of rank 0 (of 2) ended" in pair.others[0].result(seconds=limits.LIMIT)
    more = resumed(home, "two")
    assert more.losses == pytest.approx(
        {step: loss for step, loss in one(home, {}).losses.items() if step in more.losses},
        abs=1e-5,
        rel=0,
    )
    assert more.reason == "done"


def asks_to_stop() -> None:
    step = Stepper.launch

    def asking(stepper: Any, batch: Any, rate: float, number: int, *more: Any) -> Any:
        stepper._ranks.wants_stop = number >= 4
        return step(stepper, batch, rate, number, *more)

    Stepper.launch = asking  # type: ignore[method-assign]


def test_a_process_that_is_asked_to_stop_stops_the_run(home: Path) -> None:
    result = Pair(home, {"training__max_steps": 10_000}, other=asks_to_stop).whole()
    assert result.reason == "stopped"
    assert max(result.losses) == 5


class Elsewhere:
    """As on another machine, where the same path may have other text."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self) -> None:
        os.environ["SLM_TUI_HOME"] = str(self._home)
        os.chdir(self._home)


@pytest.mark.parametrize("text", ["the same", "another", None])
def test_a_process_elsewhere_needs_the_same_text(home: Path, text: str | None) -> None:
    changes = {"data": {"kind": "file", "path": "a.txt", "split": {"validation": 0.1}}}
    machines = [home / "a", home / "b"]
    for machine, words in zip(machines, ["the same", text], strict=True):
        machine.mkdir()
        if words is not None:
            (machine / "a.txt").write_text(f"Once upon a time there was {words} dog.\n" * 200)
    pair = Pair(home, changes, patch=Elsewhere(machines[0]), other=Elsewhere(machines[1]))
    if text == "the same":
        assert pair.whole().reason == "done"
        return
    error = pair.outcome().errors[0]
    assert error.startswith("the process of rank 1 cannot train: ")
    differs = "the text differs from that of rank 0: a.txt on "
    assert (differs if text else "a.txt") in error
    assert error == pair.others[0].result(seconds=limits.LIMIT)


def test_every_sequence_belongs_to_one_rank() -> None:
    for sequences in (2, 5, 7, 64):
        preset = make_tiny(training__micro_batch=sequences)
        for count in range(1, sequences + 1):
            parts = [team.part_of(preset, _rank(rank, count)) for rank in range(count)]
            assert [one for part in parts for one in part] == list(range(sequences))
            assert {len(part) for part in parts} <= {sequences // count, -(-sequences // count)}
        with pytest.raises(TrainingError, match=f"micro_batch to {sequences + 1} or more"):
            team.part_of(preset, _rank(0, sequences + 1))


def _rank(rank: int, count: int) -> Any:
    class Some:
        pass

    some: Any = Some()
    some.rank, some.count = rank, count
    return some


def test_processes_share_the_cores_of_a_machine() -> None:
    assert usual_count(1e9, 1) == min(cores(), 16)
    assert usual_count(1e9, 2) == max(1, min(cores() // 2, 16))
    assert usual_count(1e9, 1000) == usual_count(1, 1) == 1


def test_the_variables_of_torchrun() -> None:
    assert position({}) is None
    assert position({"RANK": "0", "WORLD_SIZE": "1"}) is None
    two = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert position(two) == Position(3, 4, 1, 2)
    for wrong in ({"RANK": "4"}, {"RANK": "x"}, {"LOCAL_RANK": "2"}):
        with pytest.raises(TrainingError, match="start it with torchrun"):
            position(two | wrong)


def test_more_devices_than_sequences_are_refused(tiny: Make) -> None:
    with pytest.raises(PresetError, match="5 devices cannot share a step of 4 sequences; try 4"):
        tiny(training__devices=5)
    assert tiny(training__devices=4).training.devices == 4


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
def test_how_many_devices_train(tiny: Make) -> None:
    def count(devices: int, device: str, sequences: int = 4) -> int:
        training = {"devices": devices, "device": device, "micro_batch": sequences}
        return process_count(tiny(training=training))

    assert [count(1, "cuda"), count(2, "auto"), count(0, "cuda"), count(0, "auto")] == [1, 2, 2, 2]
    assert [count(0, "cuda", 1), count(0, "cuda:1"), count(0, "cpu")] == [1, 1, 1]
    assert count(3, "cpu") == 3
    with pytest.raises(TrainingError, match="device=cuda means 2 here; set training.devices to 2"):
        count(3, "cuda")
    with pytest.raises(TrainingError, match="devices to 1 or training.device to cuda"):
        count(2, "cuda:1")


@pytest.mark.usefixtures("two_gpus")
def test_each_process_has_a_gpu_of_its_own() -> None:
    def place(device: str, local: int = 1) -> str:
        some = Joined.__new__(Joined)
        some._position = Position(3, 6, local, 3)
        return str(some.place(torch.device(device)))

    assert [place("cuda"), place("cpu")] == ["cuda:1", "cpu"]
    with pytest.raises(TrainingError, match="6 processes cannot share cuda:0"):
        place("cuda:0")
    with pytest.raises(TrainingError, match="3 processes on this machine, but 2 GPUs"):
        place("cuda", 2)


def test_torchrun_cannot_start_in_the_background(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "stories-tiny", "--detach"]) == 1
    assert "--detach does not work under torchrun" in capsys.readouterr().err


def test_a_process_that_cannot_start_ends_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = home / "python"
    broken.write_text("#!/bin/sh\necho a library is missing >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    session = Session.start(make_tiny(training__devices=2))
    assert session.wait(limits.LIMIT)
    assert session.status.error == (
        "the process of rank 1 did not start: a library is missing; set training.devices to 1"
    )
    # Nothing was trained.
    assert not session.run.path.exists()


# What follows starts real processes, as users do.
ENDLESS: Values = {"training__max_steps": 1_000_000, "training__checkpoint_every": 5}


def begin(file: Path, preset: Preset, *arguments: str, **variables: str) -> Any:
    file.write_text(preset.to_toml())
    return limits.start(
        [sys.executable, "-m", "slm_tui", "train", str(file), "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        cwd=Path(__file__).parents[2],
    )


def is_at(step: int) -> Callable[[Values], bool]:
    return lambda event: event["event"] == "stepped" and event["step"] >= step


def children(pid: int) -> list[int]:
    found = limits.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie, where nobody collects it.
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return state == "Z"


def test_processes_of_torchrun_stop_in_order(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    file = home / "tiny.toml"
    both = [begin(file, make_tiny(**ENDLESS), RANK=rank, **shared) for rank in ("0", "1")]
    events_of(both[0], is_at(7))
    both[1].send_signal(signal.SIGINT)
    assert end(both[0], signal.SIGTERM) == (130, "")
    out, error = both[1].communicate(timeout=limits.LIMIT)
    assert (both[1].returncode, out, error) == (0, "", "")
    info = store.find("last").info()
    assert info.state == "stopped"
    assert info.facts["processes"] == 2
    more = Session.resume(store.find("last"))
    limits.until(lambda: more.status.step > info.step + 2)
    more.stop()
    assert more.wait(limits.LIMIT)
    steps, _ = losses(store.find("last"))
    assert steps[: info.step + 2] == list(range(1, info.step + 3))


@pytest.mark.skipif(sys.platform == "win32", reason="needs pgrep")
@extent.sample(1)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_of_training_devices(home: Path, rank: int) -> None:
    preset = make_tiny(**ENDLESS, training__devices=2)
    process = begin(home / "tiny.toml", preset)
    events_of(process, is_at(7))
    # Checkpoints are written while training continues.
    limits.until(lambda: checkpoint.newest(store.find("last").checkpoints)[0])
    (other,) = children(process.pid)
    os.kill(other if rank else process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=limits.LIMIT)
    run = store.find("last")
    if rank:
        assert process.returncode == 1
        assert "slm-tui: the process of rank 1 (of 2) ended: it was killed" in errors
        assert run.info().state == "failed"
        assert "resume the run, on any number of processes" in run.info().error
    else:
        assert run.info().state == "interrupted"
    limits.until(lambda: is_gone(other))
    newest, _ = checkpoint.newest(run.checkpoints)
    assert newest is not None
    assert newest.state.step >= 5
    events = [json.loads(line) for line in (run.path / "events.jsonl").open()]
    assert [event["event"] == "failed" for event in events][-1] is bool(rank)
