"""The thread that reads for screens: awake only while it is needed."""

import threading
from collections.abc import Callable, Iterator

import pytest

from slm_tui.live.periodic import Periodic


class Reads:
    """Counts calls, and waits for them."""

    def __init__(self) -> None:
        self.count = 0
        self._called = threading.Semaphore(0)

    def __call__(self) -> None:
        self.count += 1
        self._called.release()

    def wait(self, seconds: float = 30) -> bool:
        return self._called.acquire(timeout=seconds)


@pytest.fixture
def make() -> Iterator[Callable[[Reads, float], Periodic]]:
    made: list[Periodic] = []

    def one(reads: Reads, seconds: float) -> Periodic:
        made.append(Periodic("periodic-test", reads, seconds))
        return made[-1]

    yield one
    for periodic in made:
        periodic.close()


def test_it_reads_only_after_the_first_wake(make: Callable[[Reads, float], Periodic]) -> None:
    reads = Reads()
    periodic = make(reads, 0.01)
    periodic.poke()
    assert reads.count == 0
    periodic.wake()
    assert reads.wait(seconds=30)
    assert reads.wait(seconds=30)


def test_a_poke_does_not_wait_for_the_interval(make: Callable[[Reads, float], Periodic]) -> None:
    reads = Reads()
    periodic = make(reads, 1000)
    periodic.wake()
    assert reads.wait(seconds=30)
    periodic.poke()
    assert reads.wait(seconds=30)


def test_repeated_starts_read_no_more_often(make: Callable[[Reads, float], Periodic]) -> None:
    reads = Reads()
    periodic = make(reads, 1000)
    periodic.start()
    assert reads.wait(seconds=30)
    for _ in range(100):
        periodic.start()
    assert not reads.wait(seconds=0.2)
    assert reads.count == 1


def test_it_sleeps_until_it_is_woken(make: Callable[[Reads, float], Periodic]) -> None:
    reads = Reads()
    periodic = make(reads, 1000)
    periodic.wake()
    assert reads.wait(seconds=30)
    periodic.sleep()
    periodic.poke()
    assert not reads.wait(seconds=0.2)
    periodic.wake()
    assert reads.wait(seconds=30)


def test_a_closed_one_reads_no_more_and_its_thread_ends() -> None:
    reads = Reads()
    periodic = Periodic("periodic-closed", reads, 1000)
    periodic.wake()
    assert reads.wait(seconds=30)
    periodic.close()
    for thread in threading.enumerate():
        if thread.name == "periodic-closed":
            thread.join(30)
            assert not thread.is_alive()
    periodic.wake()
    assert not reads.wait(seconds=0.1)
