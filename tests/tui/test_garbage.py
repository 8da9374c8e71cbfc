"""Objects of the start are left out of collections, in the real app only."""

import gc
from collections.abc import Iterator

import pytest

from slm_tui.tui import garbage
from slm_tui.tui.app import SlmTuiApp


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage._State, "is_starting", False)
    # Those of the tests' imports, see `tests.conftest`.
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()
    gc.enable()


async def test_an_app_in_a_test_keeps_its_objects_collectable() -> None:
    async with SlmTuiApp(load_torch=False).run_test() as pilot:
        await pilot.pause()
        assert gc.isenabled()
        assert gc.get_freeze_count() == 0


async def test_the_first_frame_ends_the_pause_and_leaves_out_what_exists() -> None:
    garbage.pause()
    assert not gc.isenabled()
    async with SlmTuiApp(load_torch=False).run_test() as pilot:
        await pilot.pause()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 10_000
        # What comes later is collected as ever.
        before = gc.get_freeze_count()
        ring: list[object] = []
        ring.append(ring)
        del ring
        assert gc.collect() > 0
        assert gc.get_freeze_count() == before
