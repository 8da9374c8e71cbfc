"""The worker trains queued runs: it skips, resumes, goes on after failures, and stops cleanly."""

import csv
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import control, queue, summary, worker
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.plan import plan
from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.started_suite import EntryState, StartedSuite
from slm_tui.experiments.worker import Worker
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.store import Run
from tests.conftest import make_tiny
from tests.experiments.conftest import MakeSuite
from tests.training.forks import Fork


class Watch:
    """Records what the worker says; `at` is called at every tick with the running session."""

    def __init__(self, at: Any = None) -> None:
        self.events: list[tuple[str, str]] = []
        self.reasons: list[str] = []
        self.session: Session | None = None
        self._at = at

    def started(self, item: QueuedRun, session: Session) -> None:
        self.session = session
        self.events.append(("started", item.name))

    def ended(self, item: QueuedRun, state: EntryState, run: Run | None, error: str) -> None:
        self.session = None
        self.events.append((state, item.name))

    def waiting(self, reason: str) -> None:
        self.reasons.append(reason)

    def tick(self) -> None:
        if self._at is not None:
            self._at(self)


def start_suite(made: Any, **options: Any) -> StartedSuite:
    started = started_suites.create(plan(made), **options)
    worker.start(started)
    return started


def work(at: Any = None, only: StartedSuite | None = None) -> Watch:
    watch = Watch(at)
    Worker(watch, only).work()
    return watch


def states(started: StartedSuite) -> list[str]:
    return [run.state for run in started.runs()]


@pytest.mark.pictures
def test_the_runs_of_a_suite_train_in_turn_and_leave_their_results(suite: MakeSuite) -> None:
    started = start_suite(suite(reference="slow"))
    watch = work()
    assert watch.events == [
        ("started", "slow"), ("done", "slow"), ("started", "fast"), ("done", "fast"),
    ]  # fmt: skip
    assert states(started) == ["done", "done"]
    assert queue.runs() == ()
    for entry in started.runs():
        info = Run(paths.runs_dir() / entry.run).info()
        assert (info.state, info.group, info.variation) == ("done", started.id, entry.variation)
        assert info.facts["slot"] == "cpu"
    rows = list(csv.DictReader((started.path / summary.TABLE).read_text().splitlines()))
    assert tuple(rows[0]) == summary.COLUMNS
    assert [row["Experiment"] for row in rows] == ["slow", "fast"]
    assert all(float(row["Best Val Loss"]) > 0 for row in rows)
    record = json.loads((started.path / summary.RECORD).read_text())
    assert (record["total_experiments"], record["successful_experiments"]) == (2, 2)
    first = record["experiment_results"][0]
    assert first["config"]["learning_rate"] == 1e-4
    assert first["config"]["n_embd"] == make_tiny().model.n_embd  # type: ignore[union-attr]
    assert first["training_results"]["val_losses"]
    run = paths.runs_dir() / started.runs()[0].run
    assert (run / "training_losses.png").read_bytes().startswith(b"\x89PNG")
    assert (started.path / summary.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_what_is_done_is_skipped_and_repeated_only_if_asked(suite: MakeSuite) -> None:
    first = start_suite(suite())
    work()
    second = start_suite(suite())
    assert work().events == [("skipped", "slow"), ("skipped", "fast")]
    assert states(second) == ["skipped", "skipped"]
    assert [run.run for run in second.runs()] == [run.run for run in first.runs()]
    third = start_suite(suite(), again=True)
    work()
    assert states(third) == ["done", "done"]
    assert len(store.all_runs()) == 4


def test_a_changed_text_is_not_taken_for_the_one_before(suite: MakeSuite, tmp_path: Path) -> None:
    text = tmp_path / "own.txt"
    text.write_text("A cat sat on a mat.\n" * 100)
    made = suite(set={"data.kind": "file", "data.path": str(text)})
    start_suite(made)
    work()
    text.write_text("A dog sat on a mat.\n" * 100)
    assert [event for event, _ in started_and_work(made)] == ["started", "done"] * 2


def started_and_work(made: Any) -> list[tuple[str, str]]:
    start_suite(made)
    return work().events


def test_a_failed_run_is_recorded_and_the_next_one_trains(suite: MakeSuite) -> None:
    too_long = {"name": "long", "set": {"data.documents": 3, "model.block_size": 4096}}
    started = start_suite(suite(variations=[too_long, {"name": "good"}]))
    watch = work()
    assert ("failed", "long") in watch.events
    assert watch.events[-1] == ("done", "good")
    assert states(started) == ["failed", "done"]
    assert started.runs()[0].error
    record = json.loads((started.path / summary.RECORD).read_text())
    assert record["failed_experiment_names"] == ["long"]
    # Only the failed run is tried again.
    assert [item.name for item in worker.start(started)] == ["long"]


def test_a_stopped_worker_saves_its_run_and_the_next_worker_resumes_it(suite: MakeSuite) -> None:
    started = start_suite(suite(set={"training.max_steps": 60}))
    workers: list[Worker] = []

    def stop(watch: Watch) -> None:
        if watch.session is not None and watch.session.status.step >= 7:
            workers[0].stop()

    watch = Watch(stop)
    workers.append(Worker(watch))
    workers[0].work()
    assert [state for state, _ in watch.events] == ["started", "stopped"]
    assert states(started) == ["waiting", "waiting"]
    assert [item.name for item in queue.runs()] == ["slow", "fast"]
    name = started.runs()[0].run
    work()
    assert states(started) == ["done", "done"]
    assert started.runs()[0].run == name
    assert len(store.all_runs()) == 2


def work_until_killed(steps: int) -> None:
    def kill(watch: Watch) -> None:
        if watch.session is not None and watch.session.status.step >= steps:
            os.kill(os.getpid(), signal.SIGKILL)

    Worker(Watch(kill)).work()


def test_a_queue_that_is_asked_to_stop_saves_its_run_and_keeps_it(suite: MakeSuite) -> None:
    started = start_suite(suite(set={"training.max_steps": 100_000}))
    asked: list[bool] = []

    def at(watch: Watch) -> None:
        if watch.session is not None and watch.session.status.step > 2 and not asked:
            asked.append(queue.ask_to_stop())

    assert not queue.ask_to_stop(), "nobody trains the queue yet"
    lock = queue.take_worker_lock()
    assert lock is not None
    with lock:
        watch = work(at)
    assert asked == [True]
    assert watch.events == [("started", "slow"), ("stopped", "slow")]
    assert states(started) == ["waiting", "waiting"]
    assert [item.running for item in queue.runs()] == [False, False]


def test_a_killed_worker_loses_no_run_and_the_next_one_goes_on(
    suite: MakeSuite, home: Path
) -> None:
    two = [{"name": "a"}, {"name": "b", "set": {"training.seed": 7}}]
    started = start_suite(suite(set={"training.max_steps": 3000}, variations=two))
    assert Fork(work_until_killed, home, 12).ended() == -signal.SIGKILL
    assert states(started) == ["running", "waiting"]
    run = Run(paths.runs_dir() / started.runs()[0].run)
    assert run.info().state == "interrupted"

    def shorten(watch: Watch) -> None:
        if watch.session is not None and watch.session.status.step >= 20:
            watch.session.stop()

    watch = work(shorten)
    assert watch.events[0] == ("started", "a")
    assert started.runs()[0].run == run.id
    assert len(store.all_runs()) == 2


def test_the_queue_can_be_reordered_and_added_to_while_it_runs(suite: MakeSuite) -> None:
    names = enumerate(("a", "b", "c"))
    start_suite(
        suite(variations=[{"name": name, "set": {"training.seed": n}} for n, name in names])
    )
    added = []

    def change(watch: Watch) -> None:
        if not added and watch.session is not None:
            last = queue.runs()[-1]
            queue.move(last.id, -1)
            added.extend(queue.add([queue.queued(make_tiny(training__seed=9), "d")]))

    order = [name for event, name in work(change).events if event == "started"]
    assert order == ["a", "c", "b", "d"]


def test_stopping_a_suite_saves_its_run_and_takes_the_rest_off(suite: MakeSuite) -> None:
    started = start_suite(suite(set={"training.max_steps": 100_000}))
    done: list[tuple[int, str]] = []

    def stop(watch: Watch) -> None:
        if not done and watch.session is not None and watch.session.status.step >= 3:
            done.append(control.stop(started))

    work(stop)
    assert done[0][0] == 1
    assert states(started) == ["stopped", "stopped"]
    assert queue.runs() == ()
    # Both go on: one from where it was stopped.
    resumed = worker.start(started)
    assert [(item.name, bool(item.run)) for item in resumed] == [("slow", True), ("fast", False)]


def test_a_worker_waits_while_another_run_uses_the_processor(suite: MakeSuite, home: Path) -> None:
    long = make_tiny(training__max_steps=100_000, training__threads=1)
    session = Session.start(long)
    while session.status.state != "running":
        time.sleep(0.01)
    start_suite(suite(variations=[{"name": "a"}]))

    def end(watch: Watch) -> None:
        if watch.reasons and watch.session is None:
            session.stop()

    watch = work(end)
    assert session.wait(60)
    assert watch.reasons[0] == f"{session.run.id} is training; the next run starts after it"
    assert watch.reasons[-1] == ""
    assert watch.events == [("started", "a"), ("done", "a")]


def test_no_run_starts_after_the_minutes_of_the_budget(suite: MakeSuite) -> None:
    started = start_suite(suite(budget={"minutes": 1e-6}))
    work()
    assert states(started) == ["done", "stopped"]
    assert "minutes" in started.runs()[1].error


def test_a_search_with_halving_ends_the_worse_runs_early(suite: MakeSuite) -> None:
    rates = [1e-2, 1e-6, 2e-6, 3e-6, 8e-3, 4e-6]
    fields = {"optimizer.learning_rate": {"values": rates}}
    search = {"trials": 9, "seed": 1, "halving": True, "fields": fields}
    shared = {"training.max_steps": 60, "training.evaluate_every": 5}
    started = start_suite(suite(search=search, set=shared))
    work()
    runs = started.runs()
    assert {run.state for run in runs} <= {"done", "ended early", "skipped"}
    steps = [Run(paths.runs_dir() / run.run).info().step for run in runs]
    assert "ended early" in {run.state for run in runs}
    assert sum(steps) < 60 * len(runs)
    best = min(runs, key=lambda run: Run(paths.runs_dir() / run.run).info().best_bpb or 9)
    assert best.made().optimizer.learning_rate >= 8e-3
    assert best.state == "done"


def test_two_threads_may_look_while_one_works(suite: MakeSuite) -> None:
    started = start_suite(suite())
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.append(len(queue.runs()) + len(started.runs()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        work()
    finally:
        over.set()
        thread.join(60)
    assert min(seen) >= 2


def test_damaged_entries_and_records_fail_alone_and_the_queue_goes_on(suite: MakeSuite) -> None:
    gone, damaged = start_suite(suite(name="gone")), start_suite(suite(name="damaged"))
    shutil.rmtree(gone.path)
    (damaged.path / started_suites.RECORD).write_text("{")
    queue.add(
        [
            QueuedRun(0, "odd", {"training": [], "name": 3}),
            QueuedRun(0, "empty", {}),
            QueuedRun(0, "far", make_tiny().to_stored(), suite="no-such-suite", index=99),
            queue.queued(make_tiny(training__seed=4), "good"),
        ]
    )
    watch = work()
    assert watch.events[-2:] == [("started", "good"), ("done", "good")]
    assert [state for state, _ in watch.events[:-2]] == ["failed"] * 7
    assert queue.runs() == ()


def test_a_link_in_place_of_a_suites_record_is_not_followed(
    suite: MakeSuite, tmp_path: Path
) -> None:
    started = start_suite(suite())
    outside = tmp_path / "outside.json"
    outside.write_text((started.path / started_suites.RECORD).read_text())
    before = outside.read_text()
    (started.path / started_suites.RECORD).unlink()
    (started.path / started_suites.RECORD).symlink_to(outside)
    with pytest.raises(SlmTuiError, match="cannot be read"):
        started.runs()
    with pytest.raises(SlmTuiError, match="cannot be read"):
        started.set(0, state="done")
    assert outside.read_text() == before


def test_a_run_that_ended_just_before_its_worker_died_is_not_trained_again(
    suite: MakeSuite,
) -> None:
    started = start_suite(suite(variations=[{"name": "a"}]))
    work()
    run = started.runs()[0].run
    started.set(0, state="running")
    (item,) = queue.add([QueuedRun(0, "a", started.runs()[0].preset, suite=started.id)])
    queue.update(item.id, run=run, running=True)
    assert work().events == [("done", "a")]
    assert states(started) == ["done"]
    assert len(store.all_runs()) == 1


def test_a_run_on_several_devices_waits_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    several = make_tiny(training__devices=2, training__device="cuda")
    alone = make_tiny(training__device="cuda")
    queue.add([queue.queued(one) for one in (alone, several, alone, alone)])
    at_work = Worker(Watch())
    at_work._slots = ["cuda:0", "cuda:1", "cpu"]

    def started(item: QueuedRun, slot: str) -> bool:
        session: Any = type("Session", (), {"run": Run(Path(f"run-{item.id}"))})
        at_work._jobs.append(worker._Job(item, slot, session))
        return True

    monkeypatch.setattr(at_work, "_started", started)
    seen = []
    while at_work._waiting():
        at_work._start_runs()
        seen.append([(job.item.id, job.slot) for job in at_work._jobs])
        at_work._jobs.clear()
    first = queue.runs()[0].id
    assert seen == [
        [(first, "cuda:0"), (first + 2, "cuda:1")],
        [(first + 1, "cuda:0")],
        [(first + 3, "cuda:0")],
    ]
    assert worker._on(alone, "cuda:1").training.device == "cuda:1"
    assert worker._on(several, "cuda:1").training.device == "cuda"
