"""The queue on the Runs screen: shown while it has runs, and changed by the same keys."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.experiments import background, queue
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Notice
from slm_tui.tui.screens.runs.screen import RunsScreen
from slm_tui.tui.screens.runs.table import CheckpointList
from slm_tui.tui.widgets.key_footer import KeyFooter
from tests import extent
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.fixture
def started(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A run with checkpoints; counts the workers that would be started."""
    add_run("first", checkpoints=(50, 100))
    calls: list[int] = []
    monkeypatch.setattr(background, "start_worker", lambda: bool(calls.append(1)) or True)
    return calls


def add(*names: str) -> None:
    queue.add([queue.queued(make_tiny(), name) for name in names])


async def opened(pilot: Pilot[Any]) -> RunsScreen:
    await pilot.press("3")
    await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: screen.current is not None)
    return screen


def names() -> list[str]:
    return [item.name for item in queue.runs()]


def title(screen: RunsScreen) -> str:
    return str(screen.queue.border_title)


@extent.sample(2)
@pytest.mark.parametrize("size", SIZES)
async def test_the_queue_takes_room_only_while_it_has_runs(
    started: list[int], size: tuple[int, int]
) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert not screen.queue.display
        await until(pilot, lambda: screen.reader.snapshot.details != {})
        await pilot.pause()
        before = screen.table.size.height
        add("one", "two")
        await until(pilot, lambda: "2 waiting · not started: press r here" in title(screen))
        await until(pilot, lambda: screen.queue.list.size.height == 2)
        assert screen.table.size.height == before - 3
        add(*(f"more-{number}" for number in range(30)))
        await until(pilot, lambda: "32 waiting" in title(screen))
        await until(pilot, lambda: screen.queue.outer_size.height == max(4, size[1] // 4))
        queue.remove(item.id for item in queue.runs())
        await until(pilot, lambda: screen.table.size.height == before)
        assert not screen.queue.display


async def test_its_keys_change_the_queue_and_not_the_runs(started: list[int]) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        add("one", "two", "three")
        await until(pilot, lambda: len(screen.queue.list.rows) == 3)
        screen.queue.list.focus()
        await pilot.pause()
        shown = screen.query_one(KeyFooter).render_line(0).text
        assert "Remove" in shown
        await pilot.press("J")
        await until(pilot, lambda: names() == ["two", "one", "three"])
        await until(pilot, lambda: screen.queue.current is not None)
        await pilot.press("K")
        await until(pilot, lambda: names() == ["one", "two", "three"])
        await pilot.press("D")
        await until(pilot, lambda: names() == ["two", "three"])
        await pilot.press("r")
        assert started == [1]
        # K on a checkpoint keeps it, as before.
        screen.query_one(CheckpointList).focus()
        await until(pilot, lambda: screen.query_one(CheckpointList).current is not None)
        await pilot.press("K")
        await until(
            pilot,
            lambda: any(
                one.is_kept for one in screen.query_one(CheckpointList).checkpoints.values()
            ),
        )
        assert names() == ["two", "three"]


async def test_a_damaged_queue_is_named_and_hides_no_run(started: list[int]) -> None:
    add("one")
    queue._path().write_text("{")
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "the queue cannot be read" in title(screen))
        assert not isinstance(pilot.app.screen, Notice)
        assert screen.current is not None
