"""CPU threads: the same number every time, or yielded while another process computes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.parallel import cores
from slm_tui.training import threads as threads_module
from slm_tui.training.cpu_load import OtherLoad
from slm_tui.training.events import Changed, Started, Stepped
from slm_tui.training.threads import Threads, sharing
from tests import limits
from tests.training.harness import train

Make = Callable[..., Preset]


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Fed:
    """Cores that other processes keep busy, one value per look."""

    def __init__(self, loads: list[float | None]) -> None:
        self._loads = list(loads)

    def look(self) -> float | None:
        return self._loads.pop(0)


def four(monkeypatch: pytest.MonkeyPatch, loads: list[float | None]) -> Threads:
    monkeypatch.setattr(threads_module, "cores", lambda: 4)
    monkeypatch.setattr(threads_module, "_LOOK_SECONDS", 0.0)
    threads = Threads(0, adapts=True)
    threads._load = Fed(loads)  # type: ignore[assignment]
    return threads


def counts(threads: Threads, looks: int) -> list[int]:
    result = []
    for _ in range(looks):
        changed = threads.look()
        result.append(threads.now)
        assert torch.get_num_threads() == threads.now
        assert changed == (len(result) < 2 or result[-1] != result[-2]) or len(result) == 1
    return result


def test_one_thread_is_yielded_per_busy_core_and_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One look is not enough to yield a thread; four quiet ones are needed to take it back.
    loads = [1.0, 1.0, 1.0, 2.2, 2.2, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert counts(four(monkeypatch, loads), 10) == [4, 3, 3, 2, 2, 2, 2, 2, 4, 4]


def test_a_briefly_busy_core_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = [1.0, 0.0, 1.0, 0.0, 0.3, 1.0, 0.4]
    assert counts(four(monkeypatch, loads), 7) == [4] * 7


def test_at_least_one_thread_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    assert counts(four(monkeypatch, [9.0, 9.0, 9.0]), 3) == [4, 1, 1]


def test_the_count_stays_if_the_system_reports_no_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert counts(four(monkeypatch, [None] * 4), 4) == [4] * 4


def test_a_core_is_yielded_at_once_to_a_thread_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = four(monkeypatch, [0.0] * 8)
    with sharing():
        assert threads.look()
        assert threads.now == 3
        with sharing():
            assert threads.look()
            assert threads.now == 2
        assert [threads.look() for _ in range(2)] == [False, False]
    for _ in range(4):
        threads.look()
    assert threads.now == 4


def test_a_requested_count_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "_LOOK_SECONDS", 0.0)
    threads = Threads(1)
    with sharing():
        assert [threads.look() for _ in range(3)] == [False] * 3
    assert threads.now == 1


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux reports the load of other processes"
)
def test_load_of_another_process_is_detected() -> None:
    burner = limits.start([sys.executable, "-c", "while True: pass"])
    try:
        load = OtherLoad()
        # However busy the machine is: the cores are in use, or this process would get them.
        for _ in range(200):
            time.sleep(0.1)
            result = load.foreign()
            if result is not None and result > 0.3:
                return
        raise AssertionError(f"its load was never detected, only {result}")
    finally:
        burner.kill()
        burner.wait(30)


def test_the_default_is_the_same_number_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads_module, "cores", lambda: 4)
    monkeypatch.setattr(threads_module, "_LOOK_SECONDS", 0.0)
    small, large = Threads(0, work=1000), Threads(0, work=1e6)
    assert (small.now, large.now, Threads(3, work=1000).now) == (1, 4, 3)
    large._load = Fed([4.0] * 4)  # type: ignore[assignment]
    large.measure(lambda: pytest.fail("nothing is measured"))
    with sharing():
        assert [large.look() for _ in range(4)] == [False] * 4
    assert Threads(2, adapts=True).adapts is False


@pytest.mark.skipif(cores() < 2, reason="one core has nothing to share")
def test_a_busy_machine_does_not_change_the_losses(tiny: Make, tmp_path: Path) -> None:
    # Large enough for several threads.
    preset = tiny(
        training__threads=0, training__max_steps=30, training__micro_batch=16, model__n_embd=128
    )
    quiet = [one.loss for one in train(preset, tmp_path / "quiet").of(Stepped)]
    burners = [limits.start([sys.executable, "-c", "while True: pass"]) for _ in range(cores())]
    try:
        busy = [one.loss for one in train(preset, tmp_path / "busy").of(Stepped)]
    finally:
        for one in burners:
            one.kill()
            one.wait(30)
    assert busy == quiet


def test_waiting_threads_spin_briefly() -> None:
    code = "import slm_tui, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}

    def spins(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=clean | more,
            capture_output=True,
            text=True,
            timeout=limits.LIMIT,
        )
        return done.stdout.strip()

    assert spins() == "1000"
    # The user's own settings are kept.
    assert spins(GOMP_SPINCOUNT="7") == "7"
    assert spins(OMP_WAIT_POLICY="PASSIVE") == "None"


def test_without_a_count_it_is_measured_and_reported(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(training__threads=0, training__adapt_threads=True), tmp_path)
    (started,) = done.of(Started)
    assert 1 <= started.facts["threads"] <= min(16, cores())
    assert done.trainer.state.threads >= 1
    assert done.reason == "done"


def test_a_change_is_reported_and_stays(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "cores", lambda: 4)
    monkeypatch.setattr(threads_module, "_LOOK_SECONDS", 0.0)

    def patch(trainer: Any) -> None:
        trainer._threads.measure = lambda attempt: None
        trainer._threads._load = Fed([1.0, 1.0, 1.0] + [0.0] * 20)

    adapting = tiny(training__threads=0, training__adapt_threads=True)
    done = train(adapting, tmp_path, patch=patch)
    changes = [(event.what, event.value) for event in done.of(Changed)]
    assert changes == [("threads", 3), ("threads", 4)]
    assert done.trainer.state.threads == 4
