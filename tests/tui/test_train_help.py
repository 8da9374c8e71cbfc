"""The help of the Train screen explains the picture: curves, marks, units, events."""

import re
from pathlib import Path

import pytest
from textual.content import Content

from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.data import COLORS, SYMBOLS
from slm_tui.tui.screens.help.screen import HelpScreen
from slm_tui.tui.screens.train.charts import CHARTS
from slm_tui.tui.screens.train.picture import picture_lines
from slm_tui.tui.screens.train.screen import TrainScreen
from tests.tui.made_runs import until
from tests.tui.shown import make_run

ASKED = (
    *("raw", "train", "val", "floor", "before", "best", "change", "above"),
    *("nats", "bits per byte", "gradient norm", "learning rate", "tokens/s"),
    *("checkpoint", "warning", "failed", "finished"),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


def entries(lines: list[Content]) -> dict[str, tuple[str, str]]:
    """The sign and the meaning of each explained name."""
    result: dict[str, tuple[str, str]] = {}
    name = ""
    for line in lines:
        begin = re.fullmatch(r"  (.) (\S.{15})(.*)", line.plain)
        if begin:
            name = begin[2].strip()
            result[name] = (begin[1].strip(), begin[3])
        elif name and line.plain.startswith(" " * 20):
            sign, meaning = result[name]
            result[name] = (sign, f"{meaning} {line.plain.strip()}")
    return result


def test_everything_on_the_screen_is_explained_in_one_or_two_sentences() -> None:
    explained = entries(picture_lines(70))
    assert set(ASKED) <= set(explained)
    for name, (_, meaning) in explained.items():
        sentences = re.findall(r"[.](?= [A-Z]|$)", meaning.strip())
        # A key begins a sentence of its own: `n switches the unit.`
        assert 1 <= len(sentences) <= 2, (name, meaning)
        assert meaning.strip().endswith(".")


@pytest.mark.parametrize("width", [20, 52, 70, 94])
def test_no_line_is_wider_than_the_dialog(width: int) -> None:
    assert max(line.cell_length for line in picture_lines(width)) <= max(width, 40)


async def test_signs_and_colors_are_those_of_the_legend() -> None:
    older = make_run("educational-tiny", 1, steps=500, rate=0.4)
    run = make_run("stories-tiny", 2, steps=600, rate=1.0)
    info = run.info()
    info.before, info.remedy = older.path.name, "a higher rate"
    run.write_info(info)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_run(run.path)
        await until(pilot, lambda: app.current_mode == "train")
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: screen.view and screen.view.curves.steps.step)
        view = screen.view
        assert view is not None
        lines = picture_lines(70)
        explained = entries(lines)
        data = view.loss_chart("steps", bits=False)
        assert {series.name for series in data.series} == {"raw", "train", "val", "before"}
        for series in data.series:
            assert explained[series.name][0] == SYMBOLS[series.shape]
            line = next(one for one in lines if one.plain[4:20].strip() == series.name)
            assert str(line.spans[0].style) == COLORS[series.role]
        assert [level.name for level in data.hlines] == ["floor"]
        assert explained["best"][0] in data.note
        chart = screen.query_one(Chart)
        assert set(COLORS) == {one.removeprefix("chart--") for one in chart.COMPONENT_CLASSES}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_help_on_train_shows_the_picture_then_the_keys(size: tuple[int, int]) -> None:
    make_run("stories-tiny", 2, steps=60, rate=1.0)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.current_mode == "train")
        await pilot.press("?")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        screen = app.screen
        assert isinstance(screen, HelpScreen)
        texts = [line.plain for line in screen.lines]
        picture = next(at for at, text in enumerate(texts) if text == "The loss chart")
        keys = next(at for at, text in enumerate(texts) if "Pause or resume" in text)
        assert picture < keys
        assert set(ASKED) <= set(entries(screen.lines))


def test_metrics_that_a_run_logs_are_explained_too() -> None:
    assert "bytes/chunk" not in entries(picture_lines(70))
    assert "dashed line" in entries(picture_lines(70, {"stage1_compression"}))["bytes/chunk"][1]
    assert all(row.about for row in CHARTS)
