"""The diagnosis on the Train screen: details, explanation, applying the remedy."""

from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Static

from slm_tui.live.training_workshop import TrainingWorkshop
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Question
from slm_tui.tui.screens.help.screen import HelpScreen
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.train.verdicts import VerdictDetails
from slm_tui.tui.screens.train.view import RunView, in_two_lines
from slm_tui.tui.widgets.line_list import LineList
from tests import extent
from tests.evaluation.record_curves import replay
from tests.tui.made_runs import until

SIZES = extent.sizes([(80, 24), (120, 40), (160, 45)])


def on_train(run: Run) -> SlmTuiApp:
    return SlmTuiApp(workshop=TrainingWorkshop(), load_torch=False, run=run.path)


async def press(pilot: Pilot[Any], key: str, screen: type[Any]) -> Any:
    await until(pilot, lambda: getattr(pilot.app.screen, "view", None) is not None)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.pause()
    return pilot.app.screen


async def in_the_form(pilot: Pilot[Any]) -> PresetsScreen:
    """The form, once it holds the settings of the run."""
    await until(pilot, lambda: isinstance(pilot.app.screen, PresetsScreen))
    screen = pilot.app.screen
    assert isinstance(screen, PresetsScreen)
    await until(pilot, lambda: screen.draft is not None and screen.draft.origin is not None)
    await until(pilot, lambda: screen.focused is screen.form.properties)
    return screen


@extent.sample(1)
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_details_show_everything_untruncated(size: tuple[int, int]) -> None:
    async with on_train(replay("overfitting")).run_test(size=size) as pilot:
        details = await press(pilot, "d", VerdictDetails)
        text = "\n".join(line.plain for line in details.lines)
        for part in ("OVERFITTING since step 160", "gap", "certain: ", "REPEATED TEXT"):
            assert part in text
        assert "data.limit.tokens=16000" in text
        assert "memorise" in text
        room = details.query_one("#lines").scrollable_content_region.width
        assert max(line.cell_length for line in details.lines) <= room


@extent.sample(1)
@pytest.mark.parametrize("size", SIZES, ids=str)
async def test_help_explains_the_current_verdict_first(size: tuple[int, int]) -> None:
    async with on_train(replay("rate-too-low")).run_test(size=size) as pilot:
        shown = await press(pilot, "question_mark", HelpScreen)
        assert shown.lines[0].plain == "▲ learning rate too low: what it means"
        assert any("Pause or resume" in line.plain for line in shown.lines)


async def test_apply_lists_the_remedies_with_what_each_changes() -> None:
    async with on_train(replay("rate-too-low")).run_test(size=(80, 24)) as pilot:
        question = await press(pilot, "a", Question)
        shown = [row.content.plain for row in question.query_one(LineList).rows]
        assert len(shown) == 2
        assert "a higher learning rate" in shown[0]
        assert "optimizer.learning_rate=" in shown[0]
        assert "more steps" in shown[1]
        await pilot.press("down", "f")
        form = await in_the_form(pilot)
        setting = form.form.properties.setting
        assert setting is not None
        assert setting.path == "training.max_steps"


async def test_apply_starts_a_run_with_the_edited_remedy() -> None:
    run = replay("overfitting")
    app = on_train(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "a", Question)
        await pilot.press("f")
        form = await in_the_form(pilot)
        assert form.draft is not None
        for path, value in (("model.n_layer", 1), ("training.max_steps", 1)):
            form.draft.put(path, value)
        form.draft.put("data.documents", 300)
        await pilot.press("t")
        workshop = app.workshop
        assert isinstance(workshop, TrainingWorkshop)
        await until(pilot, lambda: workshop.session is not None)
        assert workshop.session is not None
        preset = workshop.session.preset
        assert (preset.model.n_layer, preset.training.max_steps) == (1, 1)  # type: ignore[union-attr]
        info = workshop.session.run.info()
        assert info.before == run.id
        assert info.remedy.startswith("more text")
        await until(pilot, lambda: not workshop.is_training)


async def test_the_run_that_tries_a_remedy_says_whether_it_helped() -> None:
    before = replay("overfitting")
    after = replay("healthy")
    info = after.info()
    info.before, info.remedy = before.id, "more text: 16,000 tokens"
    after.write_info(info)
    for size in ((80, 24), (120, 40)):
        app = on_train(after)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda app=app: getattr(app.screen, "view", None) is not None)
            view = app.screen.view  # type: ignore[attr-defined]
            await until(pilot, lambda view=view: len(view.outcome_lines()) == 2)
            told = view.outcome_lines()[1].plain
            assert told.startswith("It helped: best ")
            assert "more than the noise" in told
            assert before.id[:30] in told
            chart = view.loss_chart("steps", bits=True)
            (old,) = [line for line in chart.series if line.name == "before"]
            assert old.shape == "dashed"
            assert len(old.xs) > 10
            if size == (80, 24):
                line = app.screen.query_one("#verdict-line", Static)
                await until(pilot, lambda line=line: "It helped" in str(line.content))
                assert len(str(line.content).split("\n")) == 2


def test_a_run_before_that_is_missing_or_named_like_a_path_is_left_out() -> None:
    after = replay("healthy")
    for name in ("gone", "../../etc", "/etc", "", after.id + "/.."):
        info = after.info()
        info.before, info.remedy = name, "a remedy"
        after.write_info(info)
        view = RunView(after)
        view.refresh()
        assert view.outcome_lines() == []


async def test_a_healthy_run_has_nothing_to_apply() -> None:
    run = replay("healthy", 200)
    async with on_train(run).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: getattr(pilot.app.screen, "view", None) is not None)
        await pilot.press("a")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, Question)


async def test_the_narrow_verdict_is_complete_and_names_the_others() -> None:
    async with on_train(replay("overfitting")).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: getattr(pilot.app.screen, "view", None) is not None)
        line = pilot.app.screen.query_one("#verdict-line", Static)
        await until(pilot, lambda: "OVERFITTING" in str(line.content))
        first, second = str(line.content).split("\n")
        assert first.startswith("▲ OVERFITTING since step 160")
        assert len(first) <= line.content_size.width
        assert "try " in second


def test_a_long_verdict_continues_on_the_second_line() -> None:
    verdict = [Content("● LEARNING"), Content("val 0.719 nats, down 0.3"), Content("d details")]
    others = [Content("also ▲ little text")]
    first, second = in_two_lines(verdict, others, 26)
    assert first.plain == "● LEARNING: val 0.719"
    # What does not fit as a whole is left out.
    assert second.plain == "nats, down 0.3  d details"
    keys = [*verdict[:2], Content("a apply · d details · ? why")]
    first, second = in_two_lines(keys, others, 38)
    assert second.plain == "a apply · d details · ? why"
    assert in_two_lines(keys, [], 20)[1].plain == "0.719 nats, down 0.3"
    assert in_two_lines(keys, [], 26)[1].plain == "nats, down 0.3  a apply"
    assert [line.plain for line in in_two_lines(verdict, [], 60)] == [
        "● LEARNING: val 0.719 nats, down 0.3",
        "d details",
    ]
