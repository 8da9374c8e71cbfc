"""What a chart makes of its data: smoothing, height, dashes, colors, legend."""

import math
import random
import statistics

import pytest
from textual.app import App, ComposeResult

from slm_tui.tui import theme
from slm_tui.tui.charts import legend
from slm_tui.tui.charts.axes import make_axes, settled_top
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.data import (
    ChartData,
    Curve,
    HorizontalLine,
    Series,
    make_request,
)
from slm_tui.tui.charts.plot_process import draw
from slm_tui.tui.charts.series import LIMIT, Points, ema

# Smoothing


def test_a_smoothed_curve_does_not_trail_a_falling_one() -> None:
    ys = [1 + 3 * math.exp(-x / 200) for x in range(1000)]
    worst = max(abs(a - b) for a, b in zip(ema(ys, 0.95), ys, strict=True))
    # A moving average with these weights trails by up to 0.2.
    assert worst < 0.02


def test_a_smoothed_curve_stays_in_the_range_of_its_inputs_and_calms_noise() -> None:
    rng = random.Random(3)
    ys = [2 + rng.gauss(0, 0.3) for _ in range(3000)]
    smooth = ema(ys, 0.95)
    assert statistics.pstdev(smooth[200:]) < 0.3 / 3
    steep = ema([9.0] * 20 + [1.0] * 20, 0.9)
    assert min(steep) >= 1.0
    assert max(steep) <= 9.0
    assert all(map(math.isfinite, ema([1e300, -1e300, 1e308, 5.0] * 20, 0.99)))


# The height of the picture


def curve_of(top: float, count: int = 100) -> Points:
    xs = [float(x) for x in range(count)]
    return xs, [1 + top * math.exp(-x / 3) + 0.5 * math.exp(-x / 50) for x in xs]


def test_the_first_steps_may_leave_the_picture() -> None:
    xs, ys = curve_of(9.0)
    top = settled_top([(xs, ys)], max(ys))
    assert max(ys[10:]) <= top < 2
    # Nothing to gain, too few points, or a loss that rises at the end: everything is shown.
    xs, ys = curve_of(0.1)
    assert settled_top([(xs, ys)], max(ys)) == max(ys)
    xs, ys = curve_of(9.0, 5)
    assert settled_top([(xs, ys)], max(ys)) == max(ys)
    xs, ys = curve_of(1.0)
    assert settled_top([(xs, [*ys[:-1], 8.0])], 8.0) == 8.0


def test_a_curve_that_begins_above_the_picture_is_marked_where_it_comes_in() -> None:
    data = ChartData([Series("val", "val", [0.0, 10.0, 20.0], [9.0, 1.0, 1.0], "points")])
    axes = make_axes(60, 20, (0.0, 20.0), (0.0, 5.0), top=1)
    request = make_request(axes, data, [([0.0, 10.0, 20.0], [9.0, 1.0, 1.0])])
    assert request["above"] == [{"role": "val", "x": 5.0}]
    rows = [[("".join(text for text, _ in row)), row] for row in draw(request)]
    (at,) = [number for number, (text, _) in enumerate(rows) if "▲" in text]
    assert at == 1
    assert any("▲" in text and role == "val" for text, role in rows[1][1])
    inside = make_request(axes, data, [([0.0, 10.0], [2.0, 1.0])])
    assert inside["above"] == []


@pytest.mark.parametrize("count", [2, 3, 10, 400])
@pytest.mark.parametrize("slope", [0.0, 0.3, 40.0])
def test_a_dashed_line_has_dashes_and_gaps_however_dense_its_points(
    count: int, slope: float
) -> None:
    xs = [60 * x / (count - 1) for x in range(count)]
    ys = [0.5 + slope * (x / 60 - 0.5) / 40 for x in xs]
    axes = make_axes(70, 24, (0.0, 60.0), (0.0, 1.0))
    series = Series("one", "run-1", xs, ys, "dashed")
    request = make_request(axes, ChartData([series]), [(xs, ys)])
    filled: dict[int, int] = {}
    for row in draw(request)[:-2]:
        text = "".join(text for text, _ in row)
        for column, char in enumerate(text[axes.gutter :]):
            filled[column] = filled.get(column, 0) + (0x2800 < ord(char) < 0x2900)
    drawn = sum(1 for cells in filled.values() if cells)
    assert axes.columns * 0.35 <= drawn <= axes.columns * 0.75


# Legend and colors


def entries(*names: str) -> list[legend.Group]:
    xs = [1.0, 2.0]
    shown = []
    for number, name in enumerate(names):
        line = Series(name, "raw" if not number else f"run-{number}", xs, [2.0, 1.0])
        curve = Curve()
        curve.update(line, 0.0, LIMIT)
        shown.append((line, curve))
    return legend.groups(shown, [HorizontalLine(0.5)], None)


def test_the_legend_shortens_names_and_drops_the_raw_points_before_it_loses_all_names() -> None:
    groups = entries("raw", "train", "val")
    assert legend.width(groups) == 54
    text = "".join(text for text, _ in legend.fitting(groups, 45))
    assert "raw" not in text
    assert all(name in text for name in ("train", "val", "floor"))
    long = entries("raw", "a-very-long-name-of-a-run", "another-long-name-of-a-run")
    text = "".join(text for text, _ in legend.fitting(long, 70))
    assert "a-very" in text
    assert "another" in text
    assert legend.width([legend.fitting(long, 12)]) <= 12


@pytest.mark.parametrize(
    ("mode", "words"),
    [("steps", "step 156"), ("tokens", "156 tokens"), ("time", "2:36"), ("flops", "156 FLOPs")],
)
def test_the_crosshair_says_what_its_number_is(mode: str, words: str) -> None:
    line, curve = Series("val", "val", [156.0], [2.0]), Curve()
    curve.update(line, 0.0, LIMIT)
    assert legend.x_text([(line, curve)], 150.0, mode) == words


class ChartApp(App[None]):
    CSS = "Chart { height: 20; width: 80; }"

    def on_load(self) -> None:
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        self.theme = theme.DARK.name

    def compose(self) -> ComposeResult:
        yield Chart("loss", min_interval=0.0)


async def test_a_change_of_the_theme_changes_the_colors_of_a_drawn_chart() -> None:
    app = ChartApp()
    async with app.run_test(size=(80, 24)) as pilot:
        chart = app.query_one(Chart)
        xs = [float(x) for x in range(50)]
        chart.show(ChartData([Series("val", "val", xs, xs)]))
        for _ in range(500):
            await pilot.pause(0.02)
            if chart.drawings:
                break

        def colors() -> set[str]:
            return {
                segment.style.color.name
                for y in range(1, chart.size.height)
                for segment in chart.render_line(y)
                if segment.style and segment.style.color and segment.text.strip()
            }

        before = colors()
        app.theme = theme.LIGHT.name
        await pilot.pause(0.1)
        after = colors()
        assert before
        assert not before & after
