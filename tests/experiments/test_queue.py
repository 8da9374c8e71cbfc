"""The queue: order, claims, and what survives a crash."""

import json
import threading
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import queue
from tests.conftest import make_tiny
from tests.training.forks import Fork


def add(*names: str) -> list[int]:
    return [one.id for one in queue.add(queue.queued(make_tiny(), name) for name in names)]


def names() -> list[str]:
    return [item.name for item in queue.runs()]


def test_runs_wait_in_the_order_in_which_they_came(home: Path) -> None:
    assert queue.runs() == ()
    assert add("a", "b") == [1, 2]
    assert add("c") == [3]
    assert names() == ["a", "b", "c"]
    assert queue.runs()[0].made() == make_tiny()


def test_a_run_moves_up_and_down_and_stops_at_the_ends(home: Path) -> None:
    first, second, third = add("a", "b", "c")
    queue.move(third, -1)
    assert names() == ["a", "c", "b"]
    queue.move(first, 1)
    assert names() == ["c", "a", "b"]
    queue.move(second, -10)
    assert names() == ["b", "c", "a"]
    queue.move(second, 10)
    assert names() == ["c", "a", "b"]


def test_a_claimed_run_is_first_and_cannot_be_moved_or_removed(home: Path) -> None:
    _, second, _ = add("a", "b", "c")
    claimed = queue.claim(lambda item: item.name == "b")
    assert claimed is not None
    assert claimed.id == second
    assert names() == ["b", "a", "c"]
    with pytest.raises(SlmTuiError, match="it is training"):
        queue.move(second, 1)
    assert queue.remove([second]) == []
    with pytest.raises(SlmTuiError, match="no such run"):
        queue.move(99, 1)
    queue.finish(second)
    assert names() == ["a", "c"]


def test_a_claim_takes_only_what_fits(home: Path) -> None:
    add("a")
    assert queue.claim(lambda item: False) is None
    assert not queue.runs()[0].running


def test_runs_of_a_dead_worker_wait_again_and_keep_their_directory(home: Path) -> None:
    first, _ = add("a", "b")
    queue.claim(lambda item: True)
    queue.update(first, run="a-20260101-000000")
    queue.recover()
    item = queue.runs()[0]
    assert (item.name, item.running, item.run) == ("a", False, "a-20260101-000000")


def test_ids_are_never_used_twice(home: Path) -> None:
    queue.remove(add("a", "b"))
    assert add("c") == [3]


def test_many_threads_add_and_claim_without_losing_a_run(home: Path) -> None:
    taken: list[int] = []

    def work() -> None:
        for _ in range(5):
            add("x")
            item = queue.claim(lambda item: True)
            if item is not None:
                taken.append(item.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == list(range(1, 21))


def hold_lock() -> bool:
    handle = queue.take_worker_lock()
    assert handle is not None
    return True


def test_only_one_process_works_on_the_queue(home: Path) -> None:
    assert not queue.has_worker()
    handle = queue.take_worker_lock()
    assert handle is not None
    assert queue.has_worker()
    assert queue.take_worker_lock() is None
    handle.close()
    # A process that has ended holds nothing.
    assert Fork(hold_lock, home).result()
    assert not queue.has_worker()


@pytest.mark.parametrize(
    "text",
    [
        '{"runs": [{"id": 1, "name": "a", "preset": {}, "run": "../x"}]}',
        '{"runs": [{"id": 1, "name": "a", "preset": {}, "suite": "/etc"}]}',
        "",
        "[]",
        "{",
        '{"runs": 3}',
        '{"format": 99}',
        '{"runs": [{"id": -1}]}',
        "null",
        "\0" * 100,
    ],
)
def test_a_damaged_queue_is_reported_and_not_overwritten(home: Path, text: str) -> None:
    path = paths.data_dir() / "queue.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for use in (queue.runs, lambda: add("a"), lambda: queue.claim(lambda item: True)):
        with pytest.raises(SlmTuiError, match="the queue cannot be read") as caught:
            use()
        assert str(path) in str(caught.value)
    assert path.read_text() == text


def test_the_file_has_a_version(home: Path) -> None:
    add("a")
    assert json.loads((paths.data_dir() / "queue.json").read_text())["format"] == 1


def test_a_link_in_place_of_the_queue_is_not_followed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    path = paths.data_dir() / "queue.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside)
    with pytest.raises(SlmTuiError, match="the queue cannot be read"):
        add("a")
    assert outside.read_text() == "{}"


def test_a_look_at_the_worker_never_keeps_one_from_starting(home: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            queue.has_worker()

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            handle = queue.take_worker_lock()
            assert handle is not None
            handle.close()
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
