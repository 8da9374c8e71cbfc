"""What the app reports about the queue, whichever process works on it."""

from pathlib import Path

from slm_tui.experiments import queue, worker
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.notices import QueueNotice, QueueNotices
from slm_tui.experiments.plan import plan
from tests.conftest import make_tiny
from tests.experiments.conftest import MakeSuite


def looked(notices: QueueNotices) -> list[QueueNotice]:
    notices.look()
    return notices.take()


def end(index: int, state: str, error: str = "") -> None:
    """The first run of the queue starts and ends."""
    item = queue.claim(lambda item: True)
    assert item is not None
    started = started_suites.all_started()[0]
    started.set(index, state=state, error=error)


def test_a_failed_run_and_the_end_of_a_suite_are_reported_once(suite: MakeSuite) -> None:
    worker.start(started_suites.create(plan(suite())))
    notices = QueueNotices()
    assert looked(notices) == []
    end(0, "failed", "memory ran out")
    assert looked(notices) == []
    queue.finish(queue.runs()[0].id)
    assert looked(notices) == [QueueNotice("slow failed", "memory ran out", is_failure=True)]
    end(1, "done")
    assert looked(notices) == []
    queue.finish(queue.runs()[0].id)
    assert looked(notices) == [QueueNotice("mine finished", "1 of 2 runs done, 1 failed")]
    assert looked(notices) == []


def test_a_suite_that_the_user_stopped_is_not_reported(suite: MakeSuite) -> None:
    from slm_tui.experiments import control

    started = started_suites.create(plan(suite()))
    worker.start(started)
    notices = QueueNotices()
    assert looked(notices) == []
    control.stop(started)
    assert looked(notices) == []


def test_the_last_run_of_the_queue_is_reported(home: Path) -> None:
    queue.add([queue.queued(make_tiny(), "alone")])
    notices = QueueNotices()
    assert looked(notices) == []
    item = queue.claim(lambda item: True)
    assert item is not None
    assert looked(notices) == []
    queue.finish(item.id)
    assert looked(notices) == [QueueNotice("Queue finished", "alone was the last")]


def test_a_damaged_queue_is_nobodys_notice(home: Path) -> None:
    queue.add([queue.queued(make_tiny(), "alone")])
    notices = QueueNotices()
    assert looked(notices) == []
    (home / "data" / "queue.json").write_text("{")
    assert looked(notices) == []
