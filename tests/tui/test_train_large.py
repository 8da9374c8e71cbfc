"""The Train screen on a large terminal: samples side by side, the run before, the legend."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from slm_tui import paths
from slm_tui.config import overrides
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.train.compared import run_before
from slm_tui.tui.screens.train.film import Film, chosen_steps
from slm_tui.tui.screens.train.screen import TrainScreen
from slm_tui.tui.widgets.line_list import ReadingList
from slm_tui.tui.widgets.lines import Lines
from tests.tui.cut_hints import cut_hints, rows_of
from tests.tui.made_runs import until
from tests.tui.shown import make_run

LARGE = (200, 60)
TEXTS = {
    0: " zq xk vv",
    100: " the the of a",
    200: " a fox was and the",
    600: " there was a fox. It run.",
    1200: " there was a sad fox in a house.",
    1800: " there was a sweet fox named Bibi.",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


def a_run(*, before: str = "", parent: str = "", texts: dict[int, str] | None = None) -> Run:
    """A run of 1,840 steps with a sample for each of `texts`."""
    run = make_run("stories-tiny", 2, steps=1840, rate=1.0)
    info = run.info()
    info.before, info.parent = before, parent
    info.remedy = "a higher learning rate" if before else ""
    run.write_info(info)
    path = run.path / "samples.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    rows = [
        row | {"step": step, "prompt": "Once upon a time", "text": text}
        for step, text in (TEXTS if texts is None else texts).items()
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return run


def older_run(learning_rate: float = 0.001) -> Run:
    run = make_run("stories-tiny", 1, steps=1200, rate=0.5, state="stopped")
    values = overrides.put(run.preset().to_dict(), "optimizer.learning_rate", learning_rate)
    (run.path / "preset.toml").write_text(run.preset().model_validate(values).to_toml())
    return run


async def opened(pilot: Pilot[None], run: Run) -> TrainScreen:
    app = pilot.app
    assert isinstance(app, SlmTuiApp)
    app.open_run(run.path)
    await until(pilot, lambda: app.current_mode == "train")
    screen = app.screen
    assert isinstance(screen, TrainScreen)
    await until(pilot, lambda: screen.view and screen.view.curves.samples)
    await pilot.pause()
    return screen


def frames(screen: TrainScreen) -> list[Lines]:
    return [one for one in screen.query_one(Film).query(Lines) if one.display]


def words(pane: ReadingList) -> str:
    return "\n".join(row.content.plain for row in pane.rows)


async def test_samples_are_side_by_side_newest_last() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, a_run())
        await until(pilot, lambda: len(frames(screen)) == 5)
        titles = [str(one.border_title) for one in frames(screen)]
        assert [title.split(" · ")[0] for title in titles] == [
            "step 0",
            "step 100",
            "step 600",
            "step 1,200",
            "step 1,800",
        ]
        # The loss of each is that of the newest evaluation until then, so it falls.
        losses = [float(title.split(" val ")[1]) for title in titles]
        assert losses == sorted(losses, reverse=True)
        row = next(line for line in rows_of(app) if "zq xk vv" in line)
        assert row.index("zq xk vv") < row.index("the the of a")
        assert "Bibi" in "\n".join(rows_of(app))
        assert not screen.query_one("#samples").display
        assert cut_hints(app) == []


async def test_without_samples_the_strip_says_how_to_get_one() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        run = a_run(texts={})
        app.open_run(run.path)
        await until(pilot, lambda: "No samples yet. g writes one." in "\n".join(rows_of(app)))


@pytest.mark.parametrize("as_parent", [False, True])
async def test_the_run_before_is_compared_in_figures_and_settings(as_parent: bool) -> None:
    before = older_run()
    run = a_run(parent=f"{before.id}@step-001000") if as_parent else a_run(before=before.id)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, run)
        pane = screen.query_one("#compared", ReadingList)
        await until(pilot, lambda: pane.rows)
        assert str(pane.border_title) == f"compared with {before.id}"
        text = words(pane)
        assert ("parent" if as_parent else "before") in text.splitlines()[0]
        assert "both at step 1,200" in text
        rows = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
        assert rows["steps"] == ["1,840", "1,200"]
        mine, other = (float(one) for one in rows["best bits per byte"])
        assert mine < other
        rate = run.preset().optimizer.learning_rate
        assert f"optimizer.learning_rate 0.001 → {rate:g}" in text
        # All of it is visible, and nothing of the diagnosis is pushed out.
        assert pane.size.height >= len(pane.rows)
        assert screen.query_one("#diagnosis").size.height >= 10
        await until(pilot, lambda: "both at step 1,200" in "\n".join(rows_of(app)))
        assert cut_hints(app) == []


async def test_without_a_run_before_there_is_no_comparison() -> None:
    for name in ("", "gone-20260101-000000", "../outside", "/etc"):
        run = a_run(before=name)
        assert run_before(run, run.info()) is None
        (paths.runs_dir() / run.id).rename(paths.runs_dir() / f"used-{len(name)}")
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, a_run())
        assert not screen.query_one("#compared").display


async def test_the_legend_is_written_out() -> None:
    before = older_run()
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, a_run(before=before.id))
        pane = screen.query_one("#legend", ReadingList)
        await until(pilot, lambda: "floor" in words(pane))
        text = words(pane)
        for entry in ("⠕ raw", "━ train", "● val", "╍ before", "┈ floor", "┊ best"):
            assert entry in text
        assert "change" not in text
        await until(pilot, lambda: "Training loss of each step" in "\n".join(rows_of(app)))
        assert max(row.content.cell_length for row in pane.rows) <= pane.size.width


async def test_a_smaller_terminal_has_the_list_of_samples() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, a_run())
        await until(pilot, lambda: len(frames(screen)) == 5)
        for size in ((179, 60), (200, 47), (120, 40)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: screen.query_one("#samples").region.area)
            assert not screen.query_one(Film).region.area
            assert not screen.query_one("#legend").region.area
        await pilot.resize_terminal(*LARGE)
        await until(pilot, lambda: screen.query_one(Film).region.area)
        await until(pilot, lambda: words(screen.query_one("#legend", ReadingList)))


async def test_a_sample_of_the_strip_is_zoomed_and_copied() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, a_run())
        await until(pilot, lambda: len(frames(screen)) == 5)
        frame = frames(screen)[1]
        frame.focus()
        await pilot.pause()
        await pilot.press("c")
        assert app.clipboard == "Once upon a time the the of a"
        await pilot.press("z")
        await until(pilot, lambda: frame.region.width == 200)
        await pilot.press("escape")
        await until(pilot, lambda: frame.region.width < 60)


@given(st.lists(st.integers(0, 10**6), unique=True), st.integers(1, 8))
def test_chosen_steps_are_ascending_and_have_the_first_and_the_last(
    steps: list[int], count: int
) -> None:
    steps.sort()
    chosen = chosen_steps(steps, count)
    assert len(chosen) == min(len(steps), count)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(steps)
    if steps:
        assert chosen[-1] == steps[-1]
        assert count == 1 or chosen[0] == steps[0]


def test_early_steps_are_chosen_more_often() -> None:
    assert chosen_steps(range(0, 1001, 50), 5) == [0, 50, 250, 550, 1000]
