"""The small charts of the Train screen: the table, and metrics that it does not know."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.runs.curves import Curves
from slm_tui.runs.recorder import TRAINING_COLUMNS
from slm_tui.runs.store import Run
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.sparkline import SmallChart
from slm_tui.tui.screens.train.charts import CHARTS, SmallCharts, series_of
from tests.conftest import make_tiny
from tests.tui.cut_hints import rows_of
from tests.tui.made_runs import add_run, until

USUAL = ["learning rate", "gradient norm", "tokens/s"]
SIZES = [(80, 24), (120, 40)]


def with_columns(run: Run, log: str, names: list[str]) -> Run:
    """Add columns to a log of `run`: column n has n times the step."""
    path = run.path / log
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    step = header.index("step")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header, *names])
        for row in rows:
            writer.writerow([*row, *(int(row[step]) * n for n in range(1, len(names) + 1))])
    return run


async def opened(pilot: Pilot[Any], run: Run) -> SmallCharts:
    pilot.app.open_run(run.path)
    await pilot.press("2")
    await until(pilot, lambda: pilot.app.screen.query(SmallCharts))
    await until(pilot, lambda: pilot.app.screen.query_one(Chart).drawings)
    await pilot.pause(0.3)
    return pilot.app.screen.query_one(SmallCharts)


def names(charts: SmallCharts) -> list[str]:
    """The names of the charts on the screen."""
    return [one._title for one in charts.query(SmallChart) if one.display and one.region.area]


def app() -> Any:
    return SlmTuiApp(load_torch=False)


def test_every_usual_metric_is_a_column_of_every_log() -> None:
    assert [row.title for row in CHARTS if row.usual] == USUAL
    assert {row.metric for row in CHARTS if row.usual} <= set(TRAINING_COLUMNS)
    assert len({row.id for row in CHARTS}) == len(CHARTS)


@pytest.mark.parametrize("size", SIZES)
async def test_an_unknown_metric_gets_its_own_chart(size: tuple[int, int]) -> None:
    run = with_columns(add_run("one"), "training_log.csv", ["router entropy"])
    async with app().run_test(size=size) as pilot:
        charts = await opened(pilot, run)
        wide = size[0] >= 100
        # Its title is too long for a fourth of the row: the charts there are whole.
        # On a narrow screen there are no small charts, and one key shows them all.
        assert names(charts) == (USUAL if wide else [])
        await pilot.press("v")
        await until(pilot, lambda: names(charts) == [*USUAL, "router entropy"])
        assert not pilot.app.screen.query_one(Chart).region.area
        assert pilot.app.screen.focused is charts
        newest = charts.query(SmallChart).last()
        assert str(newest.border_title) == "router entropy 100"
        assert any(row.strip() for row in newest._rows)
        await pilot.press("escape")
        await until(pilot, lambda: names(charts) == (USUAL if wide else []))
        await until(pilot, lambda: pilot.app.screen.focused is not None)
        assert pilot.app.screen.query_one(Chart).region.area


async def test_many_metrics_keep_the_row_readable_and_show_how_many_are_hidden() -> None:
    many = [f"loss {number}" for number in range(9)]
    run = with_columns(add_run("many"), "training_log.csv", many)
    async with app().run_test(size=(120, 40)) as pilot:
        charts = await opened(pilot, run)
        assert names(charts) == [*USUAL, "loss 0"]
        shown = [one for one in charts.query(SmallChart) if one.display]
        assert min(one.region.width for one in shown) >= 18
        assert [str(one.border_title) for one in shown][1:] == [
            "norm 0.5",
            "tokens/s 1k",
            "loss 0 100",
        ]
        assert str(shown[-1].border_subtitle) == "v: 8 more"
        await pilot.press("v")
        await until(pilot, lambda: names(charts) == [*USUAL, *many])
        assert all(one.border_subtitle is None for one in charts.query(SmallChart))


@pytest.mark.parametrize("name", ["loss", "block1_zero_share", "stage1_compression"])
async def test_titles_of_the_row_are_whole(name: str) -> None:
    """Also with a speed such as 7.19k, and with the metrics of the byte models."""
    run = with_columns(add_run("fast"), "training_log.csv", [name])
    path = run.path / "training_log.csv"
    path.write_text(path.read_text().replace("1000.0", "7190.0"))
    async with app().run_test(size=(120, 40)) as pilot:
        charts = await opened(pilot, run)
        shown = [one for one in charts.query(SmallChart) if one.display]
        await until(pilot, lambda: any("7.19k" in str(one.border_title) for one in shown))
        row = [line for line in rows_of(pilot.app) if "7.19k" in line]
        titles = [str(one.border_title) for one in shown]
        assert all(any(title in line for line in row) for title in titles), (titles, row)
        assert not any("…" in title for title in titles)
        assert len(shown) == (3 if name == "block1_zero_share" else 4)


async def test_charts_belong_to_the_shown_run() -> None:
    plain = add_run("plain")
    rich = with_columns(add_run("rich"), "training_log.csv", ["extra"])
    async with app().run_test(size=(120, 40)) as pilot:
        charts = await opened(pilot, rich)
        assert names(charts) == [*USUAL, "extra"]
        await opened(pilot, plain)
        await until(pilot, lambda: names(charts) == USUAL)
        await opened(pilot, rich)
        await until(pilot, lambda: names(charts) == [*USUAL, "extra"])


async def test_a_metric_name_is_neither_markup_nor_a_terminal_command() -> None:
    run = with_columns(add_run("odd"), "training_log.csv", ["[red]x[/red]", "a\x1b[31mb"])
    async with app().run_test(size=(160, 40)) as pilot:
        charts = await opened(pilot, run)
        await pilot.press("v")
        await until(pilot, lambda: names(charts) == [*USUAL, "[red]x[/red]", "a␛[31mb"])


def test_evaluation_log_columns_are_kept_and_drawn(home: Path) -> None:
    run = with_columns(add_run("judged"), "eval_log.csv", ["accuracy"])
    curves = Curves(run)
    curves.read()
    assert curves.evaluations.metrics == {"accuracy": [float(n) for n in range(0, 101, 10)]}
    (last,) = [one for one in series_of(curves) if one[0].title == "accuracy"]
    assert (list(last[1]), list(last[2])) == (curves.evaluations.step, list(range(0, 101, 10)))


def test_evaluation_metrics_follow_a_rewound_run(home: Path) -> None:
    run = with_columns(add_run("again"), "eval_log.csv", ["accuracy"])
    curves = Curves(run)
    curves.read()
    # It was resumed from step 50, and evaluated at 60 once more.
    with (run.path / "training_log.csv").open("a") as log:
        row = {"step": "60", "elapsed_seconds": "6", "tokens_seen": "9", "train_loss": "1.0"}
        row["val_loss"] = "1.0"
        log.write(",".join(row.get(name, "") or _zero(name) for name in TRAINING_COLUMNS) + "\n")
    assert curves.read()
    assert curves.evaluations.step == [0, 10, 20, 30, 40, 50, 60]
    assert curves.evaluations.metrics["accuracy"] == [0, 10, 20, 30, 40, 50, 60]
    with (run.path / "eval_log.csv").open("a") as log:
        log.write("60,0,6,1.0,2.7,1.4,0.1,1,0.75\n")
        log.write("70,0,7,1.0,2.7,1.4,0.1,1,not a number\n")
    assert curves.read()
    assert curves.evaluations.metrics["accuracy"][-1] == 0.75
    # Read from the start it is the same.
    whole = Curves(run)
    whole.read()
    assert whole.evaluations == curves.evaluations


def test_an_evaluation_without_the_metric_has_none(home: Path) -> None:
    run = with_columns(add_run("gaps"), "eval_log.csv", ["accuracy"])
    path = run.path / "eval_log.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ","
    path.write_text("\n".join(lines) + "\n")
    curves = Curves(run)
    curves.read()
    assert math.isnan(curves.evaluations.metrics["accuracy"][1])
    assert curves.evaluations.metrics["accuracy"][2] == 20


def _zero(name: str) -> str:
    return "0" if name in ("learning_rate", "grad_norm", "tokens_per_second") else ""


@pytest.mark.parametrize("size", SIZES)
async def test_the_chunks_of_an_hnet_are_drawn_against_their_target(size: tuple[int, int]) -> None:
    model = {"kind": "hnet", "block_size": 64, "downsampling_factor": 4.0}
    run = add_run("one", preset=make_tiny(model=model))
    with_columns(run, "training_log.csv", ["stage1_compression"])
    async with app().run_test(size=size) as pilot:
        charts = await opened(pilot, run)
        if size[0] >= 100:
            # In place of a usual one if there is no room for all.
            assert names(charts)[:2] == ["bytes/chunk", *USUAL[:1]]
        await pilot.press("v")
        await until(pilot, lambda: names(charts) == ["bytes/chunk", *USUAL])
        first = charts.query(SmallChart).filter("#compression1").first()
        await until(pilot, lambda: any("╌" in row for row in first._rows))
        assert sum("╌" in row for row in first._rows) == 1
        others = [one for one in charts.query(SmallChart) if one is not first]
        assert not any("╌" in row for one in others for row in one._rows)
