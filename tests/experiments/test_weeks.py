"""The four weekly lessons, trained at reduced size: they show what they promise."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slm_tui.experiments import shelf, worker
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.markdown import text_of
from slm_tui.experiments.plan import plan
from slm_tui.experiments.report import ReportRow, RunsReport, of_suite
from slm_tui.experiments.worker import Worker
from tests import extent
from tests.experiments.test_worker import Watch

# One process trains all of them.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("weeks"),
]
# Fewer seeds and steps than the lessons have; learning by heart takes its time.
ALL_SEEDS = {"week-1": (1,), "week-2": (1,), "week-3": (1,), "week-4": (1, 2, 3)}
# The sample: one week, with the tests of it.
SAMPLE = ("week-1",)
SEEDS = {name: seeds for name, seeds in ALL_SEEDS.items() if extent.ALL or name in SAMPLE}
STEPS = {"week-1": 500, "week-2": 160, "week-3": 240, "week-4": 120}
SMALLER = ["training.threads=1", "training.checkpoint_every=500", "training.sample_every=500"]


@dataclass(frozen=True)
class Week:
    """A finished lesson."""

    report: RunsReport

    def row(self, name: str) -> ReportRow:
        return next(row for row in self.report.rows if row.name == name)

    def gap(self, name: str) -> float:
        row = self.row(name)
        assert row.final_val is not None
        assert row.final_train is not None
        return row.final_val - row.final_train


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Week]]:
    before = os.environ.get("SLM_TUI_HOME")
    home = tmp_path_factory.mktemp("weeks")
    os.environ["SLM_TUI_HOME"] = str(home)
    try:
        started = {}
        for name, seeds in SEEDS.items():
            suite = shelf.get(name).model_copy(update={"seeds": seeds})
            steps = f"training.max_steps={STEPS[name]}"
            started[name] = started_suites.create(plan(suite, assignments=[*SMALLER, steps]))
            worker.start(started[name])
        Worker(Watch()).work()
        yield {name: Week(of_suite(started)) for name, started in started.items()}
    finally:
        os.environ.pop("SLM_TUI_HOME")
        if before is not None:
            os.environ["SLM_TUI_HOME"] = before


def test_every_run_of_every_week_is_done(weeks: dict[str, Week]) -> None:
    for week in weeks.values():
        assert week.report.failures == ()
        assert all(one.info.state == "done" for one in week.report.runs)


def test_with_200_tokens_the_gap_opens_and_samples_repeat_the_text(weeks: dict[str, Week]) -> None:
    week = weeks["week-1"]
    assert week.gap("200-tokens") > 2
    row = week.row("200-tokens")
    assert row.copied is not None
    assert row.copied > 0.2
    assert row.best_val is not None
    assert row.final_val is not None
    assert row.final_val > row.best_val + 0.5


@extent.only_in_all
def test_with_more_text_the_gap_closes_and_the_loss_falls(weeks: dict[str, Week]) -> None:
    week = weeks["week-2"]
    names = ["200-tokens", "800-tokens", "3200-tokens", "12800-tokens"]
    gaps = [week.gap(name) for name in names]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.3 < 0.6 < gaps[0]
    means = [week.row(name).mean for name in names]
    assert means == sorted(means, reverse=True)
    assert any("validated on different texts" in note for note in week.report.notes)


@extent.only_in_all
def test_the_bigger_model_overfits_more_on_little_text(weeks: dict[str, Week]) -> None:
    week = weeks["week-3"]
    assert week.gap("bigger") > 1.2 * week.gap("small")
    bigger, small = week.row("bigger"), week.row("small")
    assert bigger.final_train is not None
    assert small.final_train is not None
    assert bigger.final_train < small.final_train


@extent.only_in_all
def test_the_better_rate_wins_and_the_report_says_how_certain_that_is(
    weeks: dict[str, Week],
) -> None:
    week = weeks["week-4"]
    verdict = week.row("rate-1e-4").verdict
    assert verdict.startswith("worse than rate-1e-3 by ")
    assert "p " in verdict
    assert "corrected for 2 comparisons, paired over 3 seeds" in verdict


@pytest.mark.parametrize("name", list(SEEDS))
def test_the_report_of_a_week_reads_as_a_lesson(
    weeks: dict[str, Week], name: str, tmp_path: Path
) -> None:
    text = text_of(weeks[name].report)
    for heading in ("## Before", "## During", "## What happened", "## Question"):
        assert heading in text
    assert "{" not in text
    assert "?" not in text.split("## What happened")[1].split("##")[0]
