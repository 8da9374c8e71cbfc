"""Charts: spikes survive downsampling, nothing crashes, little is redrawn."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Region

from slm_tui.tui.charts import plot_process
from slm_tui.tui.charts.axes import GrowingRange, StickyRange, make_axes
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.client import DrawnChart, PlotClient
from slm_tui.tui.charts.data import ChartData, Curve, HorizontalLine, Series, VerticalLine, row_span
from slm_tui.tui.charts.series import (
    LIMIT,
    Smoother,
    ThinnedSeries,
    ema,
    label,
    labels,
    log_ticks,
    pack,
    thin,
    ticks,
    time_label,
    time_ticks,
    unpack,
)
from slm_tui.tui.charts.sparkline import SmallChart, braille
from tests import limits

ROOT = Path(__file__).parents[2]
ODD = st.sampled_from(
    [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e300, -1e300, 1e-300, 1.7e308, -1.7e308, 5e-324]
)
VALUES = st.one_of(st.floats(-1e6, 1e6), st.floats(), ODD)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.lists(st.tuples(VALUES, VALUES), max_size=60)
quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


# Downsampling


def test_a_spike_survives_downsampling() -> None:
    ys = [1.0] * 50_000
    ys[31_234], ys[40_001] = 9.0, -3.0
    xs = [float(x) for x in range(50_000)]
    thinned = ThinnedSeries()
    thinned.extend(xs, ys)
    for points in (thin(xs, ys, 76), thinned.points()):
        assert len(points[0]) <= LIMIT
        assert (31_234.0, 9.0) in zip(*points, strict=True)
        assert (40_001.0, -3.0) in zip(*points, strict=True)
        assert points[0] == sorted(points[0])


@quick
@given(POINTS, st.integers(2, 12))
def test_downsampled_points_are_input_points_and_include_the_extremes(
    points: list[tuple[float, float]], columns: int
) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    given_points = {(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)}
    growing = ThinnedSeries(2 * columns)
    for x, y in points:
        growing.extend([x], [y])
    for thin_xs, thin_ys in (thin(xs, ys, columns), growing.points()):
        kept = list(zip(thin_xs, thin_ys, strict=True))
        assert set(kept) <= given_points
        assert len(kept) <= 2 * columns
        assert thin_xs == sorted(thin_xs)
        if given_points:
            heights = [y for _, y in given_points]
            assert (min(thin_ys), max(thin_ys)) == (min(heights), max(heights))


def test_a_growing_series_keeps_its_old_points() -> None:
    thinned = ThinnedSeries(100)
    thinned.extend(range(1, 1000), [math.sin(x) for x in range(1, 1000)])
    before = list(zip(*thinned.points(), strict=True))
    thinned.extend([1000.0, 1001.0], [0.5, 0.6])
    after = list(zip(*thinned.points(), strict=True))
    assert after[: len(before) - 2] == before[:-2]


# Smoothing


def test_the_average_of_a_constant_is_the_constant_from_the_first_value_on() -> None:
    assert ema([3.0] * 50, 0.99) == pytest.approx([3.0] * 50)


def test_an_extended_average_equals_one_computed_at_once() -> None:
    ys = [math.sin(x) for x in range(100)]
    ys[40] = math.nan
    smoother = Smoother(0.9)
    for start in range(0, 100, 7):
        smoother.extend(ys[start : start + 7])
    assert smoother.values == ema(ys, 0.9)
    assert smoother.values[40] == smoother.values[39]


# Ticks and labels


@quick
@given(FINITE, FINITE, st.integers(1, 10))
def test_ticks_are_inside_ascending_and_distinct(a: float, b: float, count: int) -> None:
    low, high = min(a, b), max(a, b)
    for make in (ticks, log_ticks, time_ticks):
        values = make(low, high, count)
        assert len(values) <= count
        assert all(low <= value <= high for value in values)
        assert values == sorted(set(values))


def test_ticks_are_one_two_or_five_times_a_power_of_ten_apart() -> None:
    assert ticks(0, 1840, 5) == [0, 500, 1000, 1500]
    assert ticks(0.91, 4.6, 4) == [1, 2, 3, 4]
    assert ticks(0, 0.35, 4) == [0, 0.1, 0.2, 0.3]
    assert log_ticks(0.001, 100, 6) == [0.001, 0.01, 0.1, 1, 10, 100]
    assert time_ticks(0, 200, 4) == [0, 60, 120, 180]
    assert ticks(0, 5e-324, 4) == [0]


def test_labels_are_short_and_distinct() -> None:
    assert [label(v) for v in (1500, 2e-4, 0, 0.25, 2e6, -3, 1000, 500)] == [
        *("1.5k", "2e-4", "0", "0.25", "2M", "-3", "1k", "500"),
    ]
    assert labels([1.4121, 1.4122, 1.4123]) == ["1.4121", "1.4122", "1.4123"]
    assert labels([10_000, 10_500, 11_000]) == ["10k", "10.5k", "11k"]
    assert [time_label(s) for s in (45, 750, 7200, 5400, 259_200)] == [
        *("0:45", "12:30", "2h", "1h30", "3d"),
    ]


@quick
@given(st.lists(VALUES))
def test_packed_values_round_trip(values: list[float]) -> None:
    assert str(unpack(pack(values))) == str([float(value) for value in values])


# Ranges


def test_a_range_is_stable_under_small_data_changes() -> None:
    sticky = StickyRange()
    first = sticky.fit(1.0, 4.0)
    assert sticky.fit(0.95, 4.1) == first
    assert sticky.fit(0.5, 4.1) != first
    growing = GrowingRange()
    ranges = {growing.fit(0.0, float(step)) for step in range(1000, 2000)}
    assert len(ranges) <= 8


# Drawing


def request(
    points: list[tuple[float, float]], width: int, height: int, *, log_y: bool = False
) -> dict[str, object]:
    """A request as Chart makes it, from points that may be anything."""
    series = [
        {"role": role, "shape": shape, "xs": [x for x, _ in points], "ys": [y for _, y in points]}
        for role, shape in (("raw", "dots"), ("train", "line"), ("val", "points"))
    ] + [{"role": "run-1", "shape": "dashed", "xs": [], "ys": []}]
    kept = [p for p in points if all(map(math.isfinite, p)) and (p[1] > 0 or not log_y)]
    xs, ys = [x for x, _ in kept] or [0.0], [y for _, y in kept] or [1.0]
    low, high = min(ys), max(ys)
    if log_y:
        low, high = math.log10(low), math.log10(high)
    axes = make_axes(
        *(width, height, GrowingRange().fit(min(xs), max(xs)), StickyRange().fit(low, high)),
        log_y=log_y,
        top=1,
    )
    keys = ("width", "height", "gutter", "top", "x_range", "y_range", "log_y", "x_ticks", "y_ticks")
    return {key: getattr(axes, key) for key in keys} | {
        "id": 1,
        "series": [
            line | {"xs": pack(line["xs"]), "ys": pack(line["ys"])}  # type: ignore[arg-type]
            for line in series
        ],
        "vlines": [{"x": xs[0], "role": "best"}],
        "hlines": [{"y": ys[0], "role": "floor"}, {"y": -1.0, "role": "floor"}],
    }


def assert_exact(rows: list[list[tuple[str, str]]], width: int, height: int) -> None:
    assert len(rows) == height
    for row in rows:
        text = "".join(text for text, _ in row)
        assert len(text) == width
        assert text.isprintable()


@quick
@given(POINTS, st.integers(1, 120), st.integers(1, 40), st.booleans())
def test_any_data_at_any_size_gives_exactly_the_requested_rows_and_cells(
    points: list[tuple[float, float]], width: int, height: int, log_y: bool
) -> None:
    asked = request(points, width, height, log_y=log_y)
    assert_exact(plot_process.draw(asked), width, height)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2), (20, 5), (19, 5), (300, 100)])
@pytest.mark.parametrize(
    "ys",
    [
        [],
        [2.0],
        [3.0] * 9,
        [1e300, -1e300],
        [1e-300, 2e-300],
        [math.nan, math.inf, -math.inf],
        [-1.0, 0.0, 5.0],
    ],
)
def test_odd_data_at_extreme_sizes_is_drawn(size: tuple[int, int], ys: list[float]) -> None:
    points = [(float(x), y) for x, y in enumerate(ys)]
    for log_y in (False, True):
        assert_exact(plot_process.draw(request(points, *size, log_y=log_y)), *size)


@quick
@given(
    st.integers(20, 200),
    st.integers(5, 60),
    st.floats(1, 1e7),
    st.floats(-1e4, 1e4),
    st.floats(1e-6, 1e6),
)
def test_axis_labels_are_complete_and_do_not_touch(
    width: int, height: int, last: float, low: float, span: float
) -> None:
    asked = request([(0.0, low), (last, low + span)], width, height)
    rows = ["".join(text for text, _ in row) for row in plot_process.draw(asked)]
    x_labels = [text for _, text in asked["x_ticks"]]  # type: ignore[attr-defined]
    assert rows[-1].split() == x_labels
    y_labels = [text.strip() for _, text in asked["y_ticks"]]  # type: ignore[attr-defined]
    gutter: int = asked["gutter"]  # type: ignore[assignment]
    written = [row[: gutter - 1].strip() for row in rows[:-1]]
    assert [text for text in written if text] == y_labels[::-1]


def test_small_charts_have_no_axes_and_large_ones_do() -> None:
    points = [(float(x), float(x)) for x in range(50)]
    for size, axes in (((19, 5), False), ((20, 4), False), ((40, 10), True)):
        text = "".join(t for row in plot_process.draw(request(points, *size)) for t, _ in row)
        assert ("└" in text) is axes
        assert any(0x2800 < ord(char) < 0x2900 for char in text)


def test_curves_lie_above_raw_points_and_each_cell_knows_its_role() -> None:
    points = [(float(x), 1 + math.exp(-x / 20)) for x in range(100)]
    roles = {role for row in plot_process.draw(request(points, 78, 18)) for _, role in row}
    assert {"axis", "grid", "val", "best", "floor"} <= roles


# The process


def wait_for(client: PlotClient, seconds: float = 20.0) -> DrawnChart | None:
    end = time.monotonic() + seconds
    while client.busy and time.monotonic() < end:
        drawing = client.poll()
        if drawing is not None and not client.busy:
            return drawing
        time.sleep(0.01)
    return None


LINE = [(float(x), float(x * x)) for x in range(30)]


def test_the_newest_request_wins() -> None:
    client = PlotClient()
    try:
        for number in range(1, 6):
            client.request(request(LINE, 40, 10) | {"id": number})
        drawing = wait_for(client)
        assert drawing is not None
        assert drawing.id == 5
        assert_exact(drawing.rows, 40, 10)
        assert drawing.cpu_seconds > 0
    finally:
        client.close()


def test_a_dead_process_is_restarted_only_once() -> None:
    client = PlotClient()
    try:
        client.request(request(LINE, 40, 10))
        assert wait_for(client) is not None
        first = client.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        client.request(request(LINE, 40, 10))
        assert wait_for(client) is not None
        assert client.pid not in (None, first)
        os.kill(client.pid, signal.SIGKILL)  # type: ignore[arg-type]
        client.request(request(LINE, 40, 10))
        assert wait_for(client) is None
        assert "failed twice" in client.failed
        assert not client.busy
    finally:
        client.close()


def test_a_request_that_cannot_be_drawn_leaves_the_process_alive() -> None:
    client = PlotClient()
    try:
        client.request({"width": "wide", "height": 3})
        assert wait_for(client) is None
        pid = client.pid
        client.request(request(LINE, 40, 10))
        assert wait_for(client) is not None
        assert client.pid == pid
    finally:
        client.close()


def test_without_a_process_the_app_draws_itself_but_rarely() -> None:
    client = PlotClient(["/nonexistent/python"])
    client.request(request(LINE, 40, 10))
    drawing = wait_for(client)
    assert drawing is not None
    assert_exact(drawing.rows, 40, 10)
    client.request(request(LINE, 40, 10))
    assert client.poll() is None
    assert client.busy
    client.close()


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_the_plot_process_exits_when_the_app_is_killed() -> None:
    script = (
        "import time\n"
        "from slm_tui.tui.charts.client import PlotClient\n"
        "client = PlotClient()\n"
        "client.request({'id': 1, 'width': 9, 'height': 3, 'series': [],\n"
        "    'x_range': [0, 1], 'y_range': [0, 1]})\n"
        "while client.poll() is None: time.sleep(0.02)\n"
        "print(client.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    app = limits.start(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert app.stdout is not None
    pid = int(app.stdout.readline())
    assert not gone(pid)
    app.kill()
    app.wait(30)
    app.stdout.close()
    end = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert gone(pid)


def test_the_app_side_imports_neither_plotext_nor_numpy() -> None:
    code = (
        "import sys, slm_tui.tui.charts.chart, slm_tui.tui.charts.sparkline\n"
        "print(sorted({'plotext', 'numpy', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    out = limits.run(command, capture_output=True, text=True, env=environment)
    assert out.stdout.strip() == "[]"


# Curves between drawings


def take_in(curve: Curve, series: Series, weight: float) -> int:
    """Update until the curve has the whole series; return how often."""
    for times in range(1, 1000):
        curve.update(series, weight, LIMIT)
        if not curve.is_behind:
            return times
    raise AssertionError("the curve never has the whole series")


@pytest.mark.parametrize("weight", [0.0, 0.9])
def test_a_long_series_is_taken_in_parts_that_add_up_to_the_whole(weight: float) -> None:
    xs = [float(x) for x in range(20_000)]
    ys = [math.sin(x / 50) for x in xs]
    series = Series("train", "train", xs, ys, smooth=True)
    curve, smoother, whole = Curve(), Smoother(weight), ThinnedSeries(LIMIT)
    assert take_in(curve, series, weight) > 3
    smoother.extend(ys)
    whole.extend(xs, smoother.values if weight else ys)
    assert curve.points == whole.points()


def test_a_curve_reads_the_exact_nearest_point() -> None:
    xs = [float(x) for x in range(10_000)]
    curve = Curve()
    take_in(curve, Series("val", "val", xs, [2 * x for x in xs]), 0.9)
    assert curve.at(1234.4) == (1234.0, 2468.0)
    assert curve.at(None) == (9999.0, 19998.0)
    assert curve.at(-5) == (0.0, 0.0)


def test_a_curve_follows_growing_lists_and_restarts_with_new_ones() -> None:
    xs, ys = [1.0, 2.0], [5.0, 4.0]
    curve = Curve()
    line = Series("train", "train", xs, ys)
    curve.update(line, 0.0, LIMIT)
    xs.append(3.0)
    ys.append(math.nan)
    xs.append(4.0)
    ys.append(3.0)
    curve.update(line, 0.0, LIMIT)
    assert curve.points == ([1.0, 2.0, 4.0], [5.0, 4.0, 3.0])
    curve.update(Series("train", "train", [1.0, 2.0, 3.0, 4.0], [9.0] * 4), 0.0, LIMIT)
    assert curve.points[1] == [9.0] * 4


def test_the_changed_part_of_a_row_is_found_in_text_and_role() -> None:
    old = [("ab", "axis"), ("cd", "raw")]
    assert row_span(old, old) is None
    assert row_span(old, [("ab", "axis"), ("cX", "raw")]) == (3, 4)
    assert row_span(old, [("ab", "axis"), ("c", "train"), ("d", "raw")]) == (2, 3)


# The widgets


class ChartApp(App[None]):
    CSS = "Chart { height: 20; width: 80; } SmallChart { width: 26; height: 8; }"

    def compose(self) -> ComposeResult:
        yield Chart("loss", empty="No steps yet.", min_interval=0.0)
        yield SmallChart("lr", from_zero=True)


def losses(count: int) -> ChartData:
    xs = [float(x) for x in range(1, count + 1)]
    ys = [1 + 3 * math.exp(-x / 100) for x in xs]
    lines = [
        Series("raw", "raw", xs, ys, "dots"),
        Series("train", "train", xs, ys, smooth=True),
        Series("val", "val", xs[::50], ys[::50], "points"),
    ]
    marks = [VerticalLine(300.0)], [HorizontalLine(1.0)]
    return ChartData(lines, *marks, note="best val 1.050 @ 300 ┊")


async def drawn(pilot: object, chart: Chart, count: int) -> None:
    end = time.monotonic() + 20
    while chart.drawings < count and time.monotonic() < end:
        await pilot.pause(0.02)  # type: ignore[attr-defined]
    assert chart.drawings >= count


def text_of(widget: Chart | SmallChart) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.size.height)]


async def test_an_empty_chart_shows_the_text_it_was_given() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        await pilot.pause()
        assert "No steps yet." in "".join(text_of(pilot.app.query_one(Chart)))


async def test_an_empty_chart_repaints_when_its_text_changes() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        await pilot.pause()
        chart = pilot.app.query_one(Chart)
        chart.empty = "a long reason why there is nothing to see here, " * 4 + "and what to do"
        await pilot.pause()
        shown = "".join(
            segment.text
            for strip in pilot.app.screen._compositor.render_strips()
            for segment in strip
        )
        assert "No steps yet." not in shown
        words = " ".join(text.strip() for text in text_of(chart)).split()
        assert " ".join(words).startswith("a long reason")
        assert " ".join(words).endswith("and what to do")
        assert "and what to do" in shown


async def test_a_chart_shows_curves_labels_and_current_values() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        rows = text_of(chart)
        assert all(len(row) == chart.size.width for row in rows)
        assert any(0x2800 < ord(char) < 0x2900 for row in rows for char in row)
        assert re.search(r"⠕ raw 1\.007 .*━ train 1\.\d{3} .*● val 1\.012", rows[0])
        assert "┤" in "".join(rows)
        assert "500" in rows[-1]
        assert "best val" in str(chart.border_subtitle)


async def test_after_a_small_change_only_what_changed_is_repainted() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        await pilot.pause(0.1)
        painted: list[Region] = []
        refresh = chart.refresh

        def count(*regions: Region, **options: bool) -> Chart:
            painted.extend(regions or [Region(0, 0, *chart.size)])
            return refresh(*regions, **options)

        with patch.object(chart, "refresh", count):
            chart.show(losses(606))
            await drawn(pilot, chart, 2)
        assert painted
        assert sum(region.area for region in painted if region.y) < chart.size.area / 20
        before = chart.drawings
        chart.show(losses(606))
        await pilot.pause(0.3)
        assert chart.drawings == before


async def test_the_crosshair_reads_all_series_at_its_column_and_escape_removes_it() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        newest = text_of(chart)[0]
        chart.focus()
        await pilot.press("shift+left", "shift+left", "left")
        assert chart.crosshair is not None
        rows = text_of(chart)
        assert rows[0] != newest
        assert sum("│" in row[8:] for row in rows) > 8
        values = [float(value) for value in re.findall(r"\d\.\d{3}", rows[0])]
        step = int(re.findall(r"\d+", rows[0])[0])
        assert values[0] == pytest.approx(1 + 3 * math.exp(-step / 100), abs=1e-3)
        await pilot.press("escape")
        assert chart.crosshair is None
        assert text_of(chart)[0] == newest


async def test_the_mouse_moves_the_crosshair_and_a_click_keeps_it() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        await pilot.hover(chart, offset=(30, 5))
        hovered = chart.crosshair
        await pilot.click(chart, offset=(40, 5))
        clicked = chart.crosshair
        await pilot.hover(SmallChart)
        assert hovered is not None
        assert clicked is not None
        assert clicked == hovered + 10
        assert chart.crosshair == clicked


async def test_options_change_the_drawing() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        await drawn(pilot, chart, 1)
        linear = text_of(chart)
        chart.log_y = True
        await drawn(pilot, chart, 2)
        assert text_of(chart)[2:-2] != linear[2:-2]
        chart.x_mode = "time"
        await drawn(pilot, chart, 3)
        assert "4:00" in text_of(chart)[-1]


@pytest.mark.parametrize("size", [(1, 1), (4, 3), (12, 6), (24, 9), (300, 100)])
async def test_a_chart_of_any_size_is_drawn(size: tuple[int, int]) -> None:
    class Sized(ChartApp):
        CSS = "Chart { height: 100%; width: 100%; } SmallChart { height: 100%; width: 100%; }"

    async with Sized().run_test(size=size) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(600))
        pilot.app.query_one(SmallChart).show([1.0, 2.0], [math.nan, 3.0])
        await pilot.pause(0.1)
        if chart.size.area:
            await drawn(pilot, chart, 1)
            assert all(len(row) == chart.size.width for row in text_of(chart))


async def test_a_dead_plot_process_is_reported_quietly() -> None:
    class Dead(ChartApp):
        def compose(self) -> ComposeResult:
            client = PlotClient([sys.executable, "-c", "pass"])
            yield Chart("loss", client=client, min_interval=0.0)

    async with Dead().run_test(size=(80, 40)) as pilot:
        chart = pilot.app.query_one(Chart)
        chart.show(losses(10))
        end = time.monotonic() + 20
        while not chart.client.failed and time.monotonic() < end:
            await pilot.pause(0.05)
        await pilot.pause(0.1)
        assert "failed twice" in str(chart.border_subtitle)


# Small charts


@quick
@given(st.lists(FINITE, max_size=50), st.integers(1, 30), st.integers(1, 6))
def test_braille_fills_exactly_its_cells(ys: list[float], width: int, height: int) -> None:
    points = ([float(x) for x in range(len(ys))], ys)
    across = (0.0, float(len(ys)))
    rows = braille(points, width, height, across, (min(ys, default=0.0), max(ys, default=1.0)))
    assert [len(row) for row in rows] == [width] * height
    assert any(row.strip() for row in rows) is bool(ys)


@pytest.mark.parametrize(
    ("width", "title", "below"),
    [
        (40, "learning rate 0.00203", None),
        (22, "rate 0.00203", None),
        (14, "rate", "0.00203"),
        (9, "… 0.00203", None),
    ],
)
async def test_a_narrow_small_chart_has_a_short_title_and_then_its_value_below(
    width: int, title: str, below: str | None
) -> None:
    class Small(App[None]):
        def compose(self) -> ComposeResult:
            yield SmallChart("learning rate", short_title="rate", min_interval=0)

    async with Small().run_test(size=(width, 8)) as pilot:
        chart = pilot.app.query_one(SmallChart)
        chart.show([1, 2], [0.001, 0.00203])
        await pilot.pause()
        assert str(chart.border_title) == title
        assert (None if chart.border_subtitle is None else str(chart.border_subtitle)) == below


async def test_a_small_chart_shows_its_last_value_and_round_labels() -> None:
    async with ChartApp().run_test(size=(80, 40)) as pilot:
        small = pilot.app.query_one(SmallChart)
        small.show([1.0, 2.0, 3.0], [0.0, 6e-4, 2e-4])
        await pilot.pause()
        assert str(small.border_title) == "lr 2e-4"
        rows = text_of(small)
        assert any(row.startswith(" 5e-4┤") for row in rows)
        assert all(len(row) == small.size.width for row in rows)


async def test_a_small_chart_fits_anew_as_if_all_points_had_come_at_once() -> None:
    xs = [float(x) for x in range(1, 200)]
    ys = [3.0 / x for x in xs]

    class Charts(App[None]):
        CSS = "SmallChart { width: 40; height: 8; }"

        def compose(self) -> ComposeResult:
            yield SmallChart("loss", id="slices", min_interval=0)
            yield SmallChart("loss", id="whole", min_interval=0)

    async with Charts().run_test(size=(80, 24)) as pilot:
        slices = pilot.app.query_one("#slices", SmallChart)
        whole = pilot.app.query_one("#whole", SmallChart)
        whole.show(xs, ys)
        for count in (50, 130, 199):
            slices.show(xs[:count], ys[:count])
        await pilot.pause()
        assert text_of(slices) != text_of(whole)
        slices.fit_anew()
        slices.show(xs, ys)
        await pilot.pause()
        assert text_of(slices) == text_of(whole)
