"""The Runs screen: every run is listed, even a damaged one, and no key loses data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, Static

from slm_tui.config import library
from slm_tui.config.preset import Preset
from slm_tui.errors import RunError
from slm_tui.live.run_scanner import RunScanner, read_checkpoints
from slm_tui.live.workshop import NoWorkshop
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.dialogs import Ask, Notice, Question
from slm_tui.tui.screens.comparison.screen import ComparisonDialog
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.runs import compare
from slm_tui.tui.screens.runs.columns import (
    SORTS,
    arranged,
    columns_for,
    heading,
    role_of,
    shape_of,
    when_text,
)
from slm_tui.tui.screens.runs.screen import RunsScreen
from slm_tui.tui.screens.runs.table import CheckpointList
from slm_tui.tui.widgets.key_footer import KeyFooter
from tests import extent
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until

SIZES = extent.sizes([(60, 20), (80, 24), (99, 40), (100, 30), (120, 40), (160, 45), (200, 60)])
NARROW = (80, 24)


class Bench(NoWorkshop):
    """Records requests, or rejects them."""

    def __init__(self, refusal: str = "") -> None:
        super().__init__()
        self.refusal = refusal
        self.resumed: list[tuple[Run, int]] = []
        self.rewarmed: list[bool] = []
        self.forked: list[tuple[Path, Preset]] = []

    def _check(self) -> None:
        if self.refusal:
            raise RunError(self.refusal, "only one run can train at a time", "stop it first")

    def resume(
        self,
        run: Run,
        more_steps: int = 0,
        preset: Preset | None = None,
        *,
        rewarm: bool = False,
    ) -> None:
        self._check()
        self.resumed.append((run, more_steps))
        self.rewarmed.append(rewarm)

    def fork(self, checkpoint: Path, preset: Preset) -> None:
        self._check()
        self.forked.append((checkpoint, preset))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def locked() -> Iterator[Run]:
    """A run in training: its lock is held and its state is live."""
    run = add_run("live", reached=50, reason=None, checkpoints=[10])
    with store.lock(run):
        yield run


def an_app(bench: Bench | None = None) -> SlmTuiApp:
    return SlmTuiApp(bench, load_torch=False)


async def open_runs(pilot: Pilot[Any], many: int | None = None) -> RunsScreen:
    """The screen, once the first snapshot is drawn; with `many` runs if given."""
    await pilot.app.switch_mode("runs")
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: screen._drawn)
    if many is not None:
        await until(pilot, lambda: len(screen.table.lines) == many)
        # Painted, too.
        await until(pilot, lambda: f"{many} run" in on_screen(pilot))
    return screen


async def with_checkpoints(pilot: Pilot[Any], screen: RunsScreen) -> None:
    await until(pilot, lambda: screen.current_checkpoint)


def on_screen(pilot: Pilot[Any]) -> str:
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


def names(screen: RunsScreen) -> list[str]:
    return [line.name for line in screen.table.lines.values()]


# The list


async def test_every_run_is_listed_with_its_state_and_best_loss() -> None:
    add_run("finished", floor=1.25)
    add_run("halted", reached=50, reason="stopped")
    add_run("broken", reached=20, error="out of memory")
    add_run("cut", reached=40, reason=None)
    async with an_app().run_test(size=NARROW) as pilot:
        await open_runs(pilot, 4)
        text = on_screen(pilot)
        for words in ("✓ done", "■ stopped", "✗ failed", "! interrupted", "1.277", "4 runs"):
            assert words in text


async def test_a_live_run_shows_its_progress(locked: Run) -> None:
    async with an_app().run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        assert "▶ 50%" in on_screen(pilot)


@extent.sample(2)
@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"step": "many"}', '{"created": {}}', '{"facts": []}', '{"state": 5}'],
)
async def test_a_damaged_run_is_listed_with_its_error(content: str) -> None:
    add_run("sound")
    bad = add_run("damaged")
    (bad.path / "run.json").write_text(content)
    async with an_app(Bench()).run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 2)
        screen.table.select(str(bad.path))
        await pilot.pause()
        assert "✗ damaged" in on_screen(pilot)
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, Notice)
        await pilot.press("escape", "r")
        assert isinstance(pilot.app.screen, Notice)


async def test_extreme_numbers_are_drawn(home: Path) -> None:
    run = add_run("odd")
    values = json.loads((run.path / "run.json").read_text())
    values |= {"created": 2.5e11, "best_loss": float("nan"), "best_bpb": float("inf")}
    values |= {"name": "[bold]\x1b[2J漢字" * 9, "tokens_seen": 2**53, "error": "\x00"}
    (run.path / "run.json").write_text(json.dumps(values))
    async with an_app().run_test(size=(120, 40)) as pilot:
        await open_runs(pilot, 1)
        await pilot.pause(0.3)
        text = on_screen(pilot)
        assert "[bold]␛[2J" in text
        assert "\x1b" not in text


@extent.sample(2)
@pytest.mark.parametrize(
    "values",
    [
        {"created": 1e300},
        {"heartbeat": "now"},
        {"tokens_seen": float("inf")},
        {"step": -1},
        {"pid": 10**30},
        {"state": []},
        {"state": "flying"},
        {"name": "x" * 5000},
        {"error": 7},
    ],
    ids=lambda values: next(iter(values)),
)
async def test_one_bad_run_hides_no_other(home: Path, values: dict[str, Any]) -> None:
    good, bad = add_run("good"), add_run("bad")
    contents = json.loads((bad.path / "run.json").read_text())
    (bad.path / "run.json").write_text(json.dumps({**contents, **values}))
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 2)
        await until(pilot, lambda: "✗ damaged" in on_screen(pilot))
        assert good.path in [line.path for line in screen.table.lines.values()]
        line = next(one for one in screen.table.lines.values() if one.path == bad.path)
        assert next(iter(values)) in line.error


async def test_without_runs_the_screen_names_the_keys_that_help() -> None:
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot)
        text = str(screen.query_one("#nothing", Static).render())
        assert "Press 1, choose a preset and press t." in text
        await pilot.press("enter", "l", "r", "f", "R", "D", "space", "c", "s", "X")
        assert pilot.app.screen is screen
        add_run("first")
        await until(pilot, lambda: names(screen) == ["first"])
        await until(pilot, lambda: screen.table.has_focus)


async def test_only_files_that_changed_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [add_run(f"run-{number}") for number in range(5)]
    read: list[str] = []
    real = Run.info

    def info(self: Run) -> Any:
        read.append(self.id)
        return real(self)

    monkeypatch.setattr(Run, "info", info)
    reader = RunScanner()
    reader.read()
    assert len(read) == 5
    version = reader.snapshot.version
    reader.read()
    assert len(read) == 5
    assert reader.snapshot.version == version
    changed = real(runs[2])
    changed.name = "renamed"
    runs[2].write_info(changed)
    reader.read()
    assert read[5:] == [runs[2].id]
    assert "renamed" in {line.name for line in reader.snapshot.lines}


def test_a_run_keeps_its_mark_when_others_come_and_go() -> None:
    first, second = add_run("a", created=10.0), add_run("b", created=20.0)
    reader = RunScanner()
    reader.read()
    before = {line.path: line.mark for line in reader.snapshot.lines}
    store.delete(first)
    add_run("c", created=5.0)
    reader.read()
    after = {line.path: line.mark for line in reader.snapshot.lines}
    assert after[second.path] == before[second.path]
    assert len(set(after.values())) == 2


def test_the_marks_of_twelve_runs_all_differ() -> None:
    assert len({(role_of(mark), shape_of(mark)) for mark in range(12)}) == 12


# Order and filter


def test_each_order_puts_the_best_first() -> None:
    add_run("good", floor=1.0, created=10.0, reached=50, reason="stopped")
    add_run("bad", floor=2.0, created=20.0)
    reader = RunScanner()
    reader.read()
    lines = reader.snapshot.lines
    first = {sort: arranged(lines, sort, "")[0].name for sort in SORTS}
    assert first == {
        "when": "bad", "val": "good", "bpb": "good", "step": "bad", "name": "bad", "state": "bad",
        "verdict": "bad", "preset": "bad", "params": "bad",
    }  # fmt: skip


def test_runs_of_one_name_have_numbers_and_ended_ones_a_verdict() -> None:
    first, second = add_run("same", created=10.0), add_run("same", created=20.0)
    values = {"diagnosis": [{"sign": "▲", "verdict": "overfitting"}]}
    (first.path / "results.json").write_text(json.dumps(values))
    (second.path / "results.json").write_text('{"diagnosis": [{"verdict": "\\u001b[2J"}]}')
    reader = RunScanner()
    reader.read()
    lines = {line.path: line for line in reader.snapshot.lines}
    assert (lines[first.path].name, lines[second.path].name) == ("same", "same #2")
    assert lines[first.path].verdict == "▲ overfitting"
    assert lines[second.path].verdict == ""
    # Results that are written after the end.
    third = add_run("other", created=30.0)
    reader.read()
    assert {line.verdict for line in reader.snapshot.lines if line.path == third.path} == {""}
    (third.path / "results.json").write_text(json.dumps(values))
    reader.read()
    (line,) = [line for line in reader.snapshot.lines if line.path == third.path]
    assert line.verdict == "▲ overfitting"


def test_wide_tables_show_verdict_parameters_and_preset() -> None:
    names = [column.name for column, _ in columns_for(130)]
    assert {"verdict", "params", "preset"} <= set(names)
    assert "verdict" in [column.name for column, _ in columns_for(95)]
    narrow = [column.name for column, _ in columns_for(78)]
    assert not {"verdict", "params", "preset"} & set(narrow)


async def test_s_sorts_by_the_next_column() -> None:
    add_run("good", floor=1.0, created=10.0)
    add_run("bad", floor=2.0, created=20.0)
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 2)
        assert names(screen) == ["bad", "good"]
        await pilot.press("s")
        assert names(screen) == ["good", "bad"]
        assert "best loss first" in on_screen(pilot)


async def test_the_filter_shows_matches_and_escape_shows_all() -> None:
    for name in ("alpha", "beta", "alphabet"):
        add_run(name)
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 3)
        await pilot.press("slash", *"alpha")
        assert sorted(names(screen)) == ["alpha", "alphabet"]
        assert "2 of 3 runs" in on_screen(pilot)
        await pilot.press("enter")
        assert screen.table.has_focus
        await pilot.press("escape")
        assert len(names(screen)) == 3
        await pilot.press("slash", *"nothing like it")
        assert names(screen) == []


# One run


async def test_enter_opens_the_run_on_the_train_screen() -> None:
    run = add_run("wanted")
    async with an_app().run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        await pilot.press("enter")
        app = pilot.app
        assert isinstance(app, SlmTuiApp)
        await until(pilot, lambda: app.current_mode == "train")
        assert app.opened_run == run.path


async def test_checkpoints_are_listed_and_l_takes_the_focused_one_to_the_chat() -> None:
    run = add_run("saved", checkpoints=[10, 20, 30], best=20)
    (run.checkpoints / "step-000010" / "keep").touch()
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        assert screen.current_checkpoint == run.checkpoints / "step-000020"
        for words in ("★ best", "last", "kept", "2.472"):
            await until(pilot, lambda words=words: words in on_screen(pilot))  # type: ignore[misc]
        screen.query_one(CheckpointList).focus()
        await pilot.press("down", "l")
        app = pilot.app
        assert isinstance(app, SlmTuiApp)
        await until(pilot, lambda: app.current_mode == "chat")
        await until(pilot, lambda: app.screen.generation.facts)  # type: ignore[attr-defined]
        assert app.screen.generation.facts.step == 10  # type: ignore[attr-defined]


async def test_the_cursor_follows_the_best_checkpoint_until_it_is_moved() -> None:
    run = add_run("saved", checkpoints=[10, 20, 30], best=30)
    result = read_checkpoints(run.path)
    early, later = (
        [one for one in result if one.step == 10],
        [one for one in result if one.step > 10],
    )
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        listed = screen.query_one(CheckpointList)
        listed.show(early, reset=True)
        listed.show([*later, *early], reset=False)
        assert listed.current is not None
        assert listed.current.step == 30
        listed.focus()
        await pilot.press("down")
        listed.show(later, reset=False)
        assert listed.current.step == 20


async def test_the_checkpoints_title_is_complete_after_a_comparison() -> None:
    for name in ("one", "another"):
        add_run(name, checkpoints=[10])
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 2)
        await with_checkpoints(pilot, screen)
        await pilot.press("space", "down", "space")
        await until(pilot, lambda: "differences" in on_screen(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "one: checkpoints" in on_screen(pilot))


async def test_a_narrow_footer_offers_to_evaluate_and_the_question_names_the_step() -> None:
    add_run("saved", checkpoints=[1000])
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        assert "e Evaluate" in on_screen(pilot).split("\n")[-1]
        await pilot.press("e")
        await until(pilot, lambda: "Evaluate saved @ 1,000 " in on_screen(pilot))


async def test_a_run_without_checkpoints_is_reported() -> None:
    add_run("bare")
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await until(pilot, lambda: screen.query_one("#facts").region.area)
        assert "a CPU" in on_screen(pilot)
        await pilot.press("l")
        assert isinstance(pilot.app.screen, Notice)
        await pilot.press("escape", "f")
        assert isinstance(pilot.app.screen, Notice)
        assert screen.current is not None


async def test_copy_takes_the_path_of_the_focused_item(home: Path) -> None:
    run = add_run("saved", checkpoints=[10])
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        await pilot.press("c")
        clipboard = home / "data" / "clipboard.txt"
        assert clipboard.read_text() == str(run.path)
        screen.query_one(CheckpointList).focus()
        await pilot.press("c")
        assert clipboard.read_text() == str(run.checkpoints / "step-000010")


# Resuming and forking


@pytest.mark.parametrize(("keys", "rewarm"), [(["enter"], False), (["down", "enter"], True)])
async def test_resuming_a_finished_run_asks_for_more_steps(
    bench: Bench, keys: list[str], rewarm: bool
) -> None:
    run = add_run("finished")
    async with an_app(bench).run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        await pilot.press("r")
        ask = pilot.app.screen
        assert isinstance(ask, Ask)
        box = ask.query_one(Input)
        for wrong in ("", "0", "-5", "many", "1.5"):
            box.value = wrong
            await pilot.press("enter")
            assert pilot.app.screen is ask
        box.value = "1,500"
        await pilot.press("enter")
        # How the learning rate goes on is a choice: it does not jump up unasked.
        await until(pilot, lambda: isinstance(pilot.app.screen, Question))
        await pilot.press(*keys)
        await until(pilot, lambda: bench.resumed)
        assert bench.resumed == [(run, 1500)]
        assert bench.rewarmed == [rewarm]


async def test_an_unfinished_run_resumes_without_a_question(bench: Bench) -> None:
    run = add_run("cut", reached=40, reason=None)
    async with an_app(bench).run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        await pilot.press("r")
        app = pilot.app
        assert isinstance(app, SlmTuiApp)
        await until(pilot, lambda: app.current_mode == "train")
        assert bench.resumed == [(run, 0)]
        assert app.opened_run == run.path


async def test_a_rejected_request_is_shown_and_nothing_changes() -> None:
    add_run("cut", reached=40, reason=None)
    async with an_app(Bench("other is training")).run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        await pilot.press("r")
        notice = pilot.app.screen
        assert isinstance(notice, Notice)
        assert "other is training" in str(notice.error)


async def test_a_fork_takes_the_focused_checkpoint_and_the_form(bench: Bench) -> None:
    run = add_run("parent", checkpoints=[10, 20], best=10)
    library.save(run.preset())
    async with an_app(bench).run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        await pilot.press("f")
        await until(pilot, lambda: isinstance(pilot.app.screen, PresetsScreen))
        form = pilot.app.screen
        assert isinstance(form, PresetsScreen)
        await until(pilot, lambda: form.draft is not None and form.draft.origin is not None)
        said = [one.message for one in pilot.app._notifications]
        assert any("trains on from parent, step 10." in text for text in said)
        setting = form.form.properties.setting
        assert setting is not None
        assert setting.path == "training.max_steps"
        await pilot.press("enter", *["backspace"] * 9, *"500", "enter", "t")
        await until(pilot, lambda: bench.forked)
        checkpoint, preset = bench.forked[0]
        assert checkpoint == run.checkpoints / "step-000010"
        assert preset.training.max_steps == 500
        # The preset itself is as it was.
        assert form.draft is not None
        assert form.draft.origin is None
        assert not form.draft.is_changed


# Names and the trash


async def test_rename_refuses_bad_names_and_keeps_the_folder(bench: Bench) -> None:
    run = add_run("before")
    async with an_app(bench).run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await pilot.press("R")
        ask = pilot.app.screen
        assert isinstance(ask, Ask)
        box = ask.query_one(Input)
        for wrong in ("", "../up", "a/b", ".hidden", "last", "x" * 65, "with blank"):
            box.value = wrong
            await pilot.press("enter")
            assert pilot.app.screen is ask
        box.value = "after"
        await pilot.press("enter")
        await until(pilot, lambda: names(screen) == ["after"])
        assert run.path.is_dir()
        assert run.info().name == "after"


@pytest.mark.parametrize("key", ["R", "D", "r"])
async def test_a_live_run_cannot_be_changed(locked: Run, key: str) -> None:
    async with an_app(Bench()).run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        await pilot.press(key)
        notice = pilot.app.screen
        assert isinstance(notice, Notice)
        assert "is training" in str(notice.error)
        assert locked.info().name == "live"


async def test_a_run_locked_after_the_question_is_not_renamed() -> None:
    run = add_run("idle")
    async with an_app().run_test(size=NARROW) as pilot:
        await open_runs(pilot, 1)
        await pilot.press("R")
        ask = pilot.app.screen
        assert isinstance(ask, Ask)
        ask.query_one(Input).value = "other"
        with store.lock(run):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert run.info().name == "idle"


async def test_delete_asks_with_a_safe_default_and_undo_restores_the_run() -> None:
    run = add_run("precious", checkpoints=[10])
    add_run("other", created=5.0)
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("D")
        assert isinstance(pilot.app.screen, Question)
        await pilot.press("enter")
        assert run.path.is_dir()
        await pilot.press("D", "up", "enter")
        await until(pilot, lambda: names(screen) == ["other"])
        assert not run.path.exists()
        assert "u restores it" in on_screen(pilot)
        await pilot.press("u")
        await until(pilot, lambda: len(names(screen)) == 2)
        assert (run.checkpoints / "step-000010" / "manifest.json").is_file()


async def test_undo_restores_earlier_deletions_and_reports_an_empty_trash() -> None:
    run = add_run("gone")
    store.delete(run)
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot)
        await pilot.press("u")
        await until(pilot, lambda: names(screen) == ["gone"])
        await pilot.press("u")
        await pilot.pause()
        assert pilot.app.screen is screen
        assert any("nothing to restore" in one.message for one in pilot.app._notifications)


async def test_a_damaged_run_can_be_deleted() -> None:
    bad = add_run("damaged")
    (bad.path / "run.json").write_text("{")
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await pilot.press("D", "up", "enter")
        await until(pilot, lambda: names(screen) == [])
        assert not bad.path.exists()


# Several runs


async def test_selected_runs_are_overlaid_and_only_differences_are_shown() -> None:
    add_run("deep", preset=make_tiny(model__n_layer=3), created=20.0)
    add_run("flat", preset=make_tiny(model__n_layer=1, training__seed=9), created=10.0)
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("space", "down", "space")
        chart = screen.query_one("#chart", Chart)
        await until(pilot, lambda: [one.name for one in chart._data.series] == ["deep", "flat"])
        text = on_screen(pilot)
        for words in ("2 selected", "model.n_layer", "training.seed", "differences"):
            assert words in text
        assert "model.n_head" not in text
        xs = list(chart._data.series[0].xs)
        await pilot.press("X")
        assert list(chart._data.series[0].xs) == [step * 64 for step in xs]
        await pilot.press("space", "up", "space")
        assert screen.table.selected == []


def test_runs_of_other_vocabularies_are_compared_in_bits_per_byte() -> None:
    bytes_run = add_run("bytes")
    bpe = make_tiny(tokenizer={"kind": "bpe", "vocab_size": 300})
    bpe_run = add_run("bpe", preset=bpe)
    reader = RunScanner()
    reader.look([bytes_run.path, bpe_run.path])
    reader.read()
    pairs = [(line, reader.snapshot.details[line.path]) for line in reader.snapshot.lines]
    data = compare.chart_data(pairs, "steps")
    assert list(data.series[0].ys) == list(pairs[0][1].bits_per_byte)
    alone = compare.chart_data(pairs[:1], "steps")
    assert list(alone.series[0].ys) == list(pairs[0][1].loss)


async def test_a_small_screen_shows_the_comparison() -> None:
    for number in range(3):
        add_run(f"run-{number}", created=float(number + 1))
    async with an_app().run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 3)
        chart = screen.query_one("#chart", Chart)
        await until(pilot, lambda: not chart.region.area)
        await pilot.press("space", "down", "space")
        await until(pilot, lambda: chart.region.area)
        assert screen.table.region.height >= 4
        await pilot.press("escape")
        await until(pilot, lambda: not chart.region.area)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: chart.region.area)


async def settled(pilot: Pilot[Any], widget: Widget) -> Region:
    """The region of `widget` once the layout is stable."""
    before = None
    while before != widget.region:
        before = widget.region
        await pilot.pause(0.4)
    return widget.region


async def test_a_zoomed_pane_fills_the_body_until_restored() -> None:
    add_run("alone", checkpoints=[10])
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        for name in ("table", "checkpoints", "chart"):
            widget = screen.query_one(f"#{name}")
            widget.focus()
            before = await settled(pilot, widget)
            await pilot.press("z")
            await until(pilot, lambda: widget.region.width > 110)  # noqa: B023
            assert widget.region.height > 30
            await pilot.press("escape")
            await until(pilot, lambda: widget.region == before)  # noqa: B023


# Sizes


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_table_checkpoints_and_footer(size: tuple[int, int]) -> None:
    add_run("stories-tiny", checkpoints=[10])
    async with an_app().run_test(size=size) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        await until(pilot, lambda: "★ best" in on_screen(pilot))
        lines = on_screen(pilot).split("\n")
        footer = screen.query_one(KeyFooter)
        assert all(one.label in lines[-1] for one in footer.places)
        assert footer.places[-1].label == "Help"
        text = "\n".join(lines)
        for words in ("stories-tiny", "✓ done", "★ best", "val"):
            assert words in text
        columns = {100: 2, 120: 2, 160: 3, 200: 3}.get(size[0], 1)
        lefts = {screen.query_one(f"#{name}").region.x for name in ("table-pane", "chart", "facts")
                 if screen.query_one(f"#{name}").region.area}  # fmt: skip
        assert len(lefts) == columns


@pytest.mark.parametrize("width", range(20, 130, 7))
def test_columns_and_their_titles_fit_any_width(width: int) -> None:
    shown = columns_for(width)
    used = 4 + sum(wide for _, wide in shown) + len(shown) - 1
    assert used <= max(width, 40)
    assert heading(width, "val").cell_length == used
    assert {"name", "state", "val"} <= {column.name for column, _ in shown}


def test_dates_are_as_short_as_possible() -> None:
    now = 1_700_000_000.0
    assert ":" in when_text(now - 60, now)
    assert when_text(now - 40 * 86_400, now)[:2].isdigit()
    assert when_text(now - 400 * 86_400, now).startswith("2022-")
    assert when_text(0) == when_text(float("inf")) == "–"


# The chart, pins, the comparison


async def test_the_chart_is_raw_until_it_is_smoothed_and_has_every_axis() -> None:
    add_run("first")
    add_run("second", floor=1.5)
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 2)
        chart = screen.query_one(Chart)
        assert chart.smoothing == 0
        await pilot.press("m")
        assert chart.smoothing > 0
        await pilot.press("m", "m")
        assert chart.smoothing == 0
        assert not chart.log_y
        await pilot.press("y")
        assert chart.log_y
        assert chart.unit == "nats"
        await pilot.press("n")
        assert chart.unit == "bpb"
        modes = [chart.x_mode]
        for _ in range(4):
            await pilot.press("X")
            modes.append(chart.x_mode)
        assert modes == ["steps", "tokens", "time", "FLOPs", "steps"]


async def test_a_pinned_run_stays_on_top_until_it_is_unpinned() -> None:
    add_run("old", created=10.0)
    add_run("new", created=20.0)
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("end", "p")
        await until(pilot, lambda: names(screen) == ["old", "new"])
        assert "▴" in on_screen(pilot)
        await pilot.press("home", "p")
        await until(pilot, lambda: names(screen) == ["new", "old"])


async def test_the_filter_understands_numbers_groups_and_settings() -> None:
    add_run("good", floor=1.0)
    add_run("bad", floor=2.0, preset=make_tiny(model__n_layer=3))
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("/")
        box = screen.query_one("#filter", Input)
        for text, shown in (
            ("val<1.5", ["good"]),
            ("model.n_layer=3", ["bad"]),
            ("-name:good", ["bad"]),
            ("model.n_layer>=1 val<9", ["bad", "good"]),
        ):
            box.value = text
            await until(pilot, lambda shown=shown: names(screen) == shown)
        # While a term is not complete, nothing is hidden, and the title says why.
        box.value = "val<"
        await until(pilot, lambda: len(names(screen)) == 2)
        await until(pilot, lambda: "not a number" in on_screen(pilot))


async def test_the_shown_runs_are_compared() -> None:
    for seed in (1, 2, 3):
        for name, floor in (("low", 1.0 + seed / 100), ("high", 2.0 + seed / 100)):
            rate = 1e-3 if name == "low" else 1e-2
            preset = make_tiny(training__seed=seed, optimizer={"learning_rate": rate})
            add_run(name, floor=floor, preset=preset)
    async with an_app().run_test(size=(120, 40)) as pilot:
        await open_runs(pilot, 6)
        await pilot.press("=")
        await until(pilot, lambda: isinstance(pilot.app.screen, ComparisonDialog))
        await until(pilot, lambda: "paired over 3 seeds" in on_screen(pilot))
        assert "low" in on_screen(pilot)
