"""The table of actions: each has a handler, is bound in one place, and can be rebound."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot

from slm_tui.tui import keymap
from slm_tui.tui.actions import ACTIONS, BY_ID, CHART_ROOMS, ROOMS, Action, Room
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.screens.data.screen import DataScreen
from slm_tui.tui.screens.experiments.screen import ExperimentsScreen
from slm_tui.tui.screens.help.screen import HelpScreen
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.runs.screen import RunsScreen
from slm_tui.tui.screens.train.screen import TrainScreen
from tests import extent
from tests.tui.made_runs import add_run, until

SCREENS: dict[Room, type[RoomScreen]] = {
    "presets": PresetsScreen,
    "train": TrainScreen,
    "runs": RunsScreen,
    "chat": ChatScreen,
    "data": DataScreen,
}
GO: dict[Room, str] = {room: f"f{number}" for number, room in enumerate(ROOMS, 2)}
FREE_KEY = "f12"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


def owners(action: Action) -> list[type[DOMNode]]:
    """The classes that may have the handler of an action."""
    if action.screen == "chart":
        return [Chart]
    if action.screen == "all":
        return [SlmTuiApp, *SCREENS.values()]
    if action.screen == "experiments":
        return [ExperimentsScreen]
    return [SCREENS[action.screen]]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_each_action_has_a_handler_that_is_bound(action: Action) -> None:
    having = [cls for cls in owners(action) if hasattr(cls, f"action_{action.name}")]
    assert having, f"nothing has a method action_{action.name}"
    for cls in having:
        bound = [one for one in cls.__dict__["BINDINGS"] if _id(one) == action.id]
        # A screen may use the key of a global action for its own action.
        taken = action.screen == "all" and cls in SCREENS.values()
        assert taken or len(bound) == 1, f"{cls.__name__} does not bind {action.id}"


def _id(binding: Any) -> str | None:
    return binding.id if isinstance(binding, Binding) else None


def nodes(app: SlmTuiApp) -> Iterator[DOMNode]:
    yield from (app, app.screen, *app.screen.query("*"))


def bound_by_hand(node: DOMNode) -> Iterator[tuple[str, str]]:
    """`(class, key)` of bindings of our own classes outside the table."""
    for cls in type(node).__mro__:
        if cls.__module__.startswith("slm_tui."):
            for one in cls.__dict__.get("BINDINGS", ()):
                binding = one if isinstance(one, Binding) else Binding(*one)
                if binding.id not in BY_ID:
                    yield from ((cls.__name__, key) for key in binding.key.split(","))


def works_in(room: Room) -> list[Action]:
    here = {"all", room} | ({"chart"} if room in CHART_ROOMS else set())
    return [action for action in ACTIONS if action.screen in here]


@extent.sample(2)
@pytest.mark.parametrize("room", ROOMS)
async def test_no_widget_binds_a_key_of_the_table_by_hand(room: Room) -> None:
    add_run("a-run", checkpoints=[10])
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press(GO[room])
        await until(pilot, lambda: app.current_mode == room)
        keys = {key: action.id for action in works_in(room) for key in action.keys}
        result = {pair for node in nodes(app) for pair in bound_by_hand(node)}
        assert result or room == "train"
        assert [(name, key, keys[key]) for name, key in result if key in keys] == []


@pytest.mark.parametrize("room", ROOMS)
async def test_chart_rooms_are_the_screens_that_have_charts(room: Room) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press(GO[room])
        await until(pilot, lambda: app.current_mode == room)
        assert bool(app.screen.query(Chart)) == (room in CHART_ROOMS)


@extent.sample(2)
@pytest.mark.parametrize("room", ROOMS)
async def test_a_user_key_reaches_its_handler(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def record(name: str) -> Callable[..., None]:
        return lambda *_: done.append(name)

    add_run("a-run", checkpoints=[10], best=10)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press(GO[room])
        await until(pilot, lambda: app.current_mode == room)
        await until(pilot, lambda: room != "runs" or len(app.screen.query_one("#table").rows))
        if room == "chat":
            # While typing, Textual drops bindings whose default key is a character.
            app.screen.set_focus(None)
        for action in works_in(room):
            if action.screen == "all" and not _has_it(app, action):
                continue  # `filter`, where there is nothing to filter
            if action.screen == "chart":
                app.screen.query_one(Chart).focus()
                await pilot.pause()
            with monkeypatch.context() as patched:
                for cls in {type(node) for node in nodes(app)}:
                    if cls.__module__.startswith("slm_tui.") and hasattr(
                        cls, f"action_{action.name}"
                    ):
                        patched.setattr(cls, f"action_{action.name}", record(action.id))
                await _press_as(pilot, action)
            assert done == [action.id]
            done.clear()


def _has_it(app: SlmTuiApp, action: Action) -> bool:
    return any(hasattr(one, f"action_{action.name}") for one in (app, app.screen))


async def _press_as(pilot: Pilot[None], action: Action) -> None:
    """Bind the action to a user key, and press it."""
    app = pilot.app
    assert isinstance(app, SlmTuiApp)
    app.set_keymap({**app.keys, action.id: FREE_KEY})
    await pilot.press(FREE_KEY)
    app.set_keymap(app.keys)


async def test_user_keys_move_and_remove_the_crosshair(home: Path) -> None:
    add_run("a-run")
    path = home / "config" / "keymap.toml"
    path.parent.mkdir(parents=True)
    path.write_text('"train.crosshair_left" = "h"\n"app.back" = "f12"\n')
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("2")
        chart = app.screen.query_one(Chart)
        await until(pilot, lambda: chart.drawings)
        chart.focus()
        await pilot.press("left")
        assert chart.crosshair is None
        await pilot.press("h")
        assert chart.crosshair is not None
        await pilot.press("escape")
        assert chart.crosshair is not None
        await pilot.press("f12")
        assert chart.crosshair is None


async def test_help_lists_chart_keys_on_screens_with_charts() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(160, 45)) as pilot:
        for room, there in (("f2", False), ("f3", True), ("f4", True)):
            await pilot.press(room, "f1")
            screen = app.screen
            assert isinstance(screen, HelpScreen)
            assert any("crosshair" in line.plain for line in screen.lines) is there
            await pilot.press("escape")


def test_a_keymap_of_the_first_version_is_read_without_problems(home: Path) -> None:
    path = home / "config" / "keymap.toml"
    path.parent.mkdir(parents=True)
    path.write_text('"runs.pin" = "v"\n[train]\ncrosshair_left = "h"\ncrosshair_right = "l"\n')
    keys, problems = keymap.load()
    # `l` is load on the Runs screen, which has charts too.
    assert problems == ["chart.crosshair_right: l is already used by runs.load"]
    assert keys["chart.crosshair_left"] == "h"
    assert keys["runs.pin"] == "v"
    assert not keymap.clashes(keys)


@pytest.mark.parametrize(
    ("key", "clashes"),
    [("space", True), ("x", True), ("R", True), ("ctrl+p", True), ("S", False), ("ctrl+r", False)],
)
def test_a_chart_shares_its_keys_with_the_screens_that_have_charts(key: str, clashes: bool) -> None:
    keys = {action.id: action.key for action in ACTIONS}
    assert bool(keymap.clashes({**keys, "chart.crosshair_left": key})) is clashes


def test_former_action_names_map_to_existing_actions() -> None:
    assert set(keymap.FORMER_IDS.values()) - {""} <= set(BY_ID)
    assert not set(keymap.FORMER_IDS) & set(BY_ID)
