"""`e` on the Runs screen: real evaluations, shown, saved, cancelled, compared."""

import json
import re
import threading
from typing import Any

import pytest
from textual.pilot import Pilot

from slm_tui.live import evaluation_worker
from slm_tui.live.session import Session
from slm_tui.live.workshop import NoWorkshop
from slm_tui.runs import evaluate, evaluation_results, store
from slm_tui.runs.evaluation_results import EvaluationSettings
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Notice, Question
from slm_tui.tui.screens.evaluation.screen import EvaluationDialog
from slm_tui.tui.screens.runs.table import CheckpointList
from slm_tui.tui.widgets.line_list import LineList
from tests import extent, limits
from tests.conftest import make_tiny
from tests.tui.made_runs import add_run, until
from tests.tui.test_runs_screen import on_screen, open_runs, with_checkpoints

SIZES = [(60, 20), (120, 40)]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and short texts, so that the test is about the dialog."""
    real = EvaluationSettings

    def few(split: Any, device: str) -> EvaluationSettings:
        return real(split, samples=1, max_tokens=3, device="cpu")

    monkeypatch.setattr("slm_tui.tui.screens.runs.questions.EvaluationSettings", few)


def trained(name: str, seed: int = 1) -> None:
    session = Session.start(make_tiny(training__seed=seed), name)
    assert session.wait(limits.LIMIT)
    assert session.status.state == "done", session.status.error


def an_app() -> SlmTuiApp:
    return SlmTuiApp(NoWorkshop(), load_torch=False)


async def ask(pilot: Pilot[Any], *keys: str) -> EvaluationDialog:
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.screen, Question))
    await pilot.press(*keys, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, EvaluationDialog))
    dialog = pilot.app.screen
    assert isinstance(dialog, EvaluationDialog)
    return dialog


def text_of(dialog: EvaluationDialog) -> str:
    return "\n".join(row.content.plain for row in dialog.query_one(LineList).rows)


@pytest.mark.parametrize("size", SIZES)
async def test_a_checkpoint_is_evaluated_and_the_report_saved(size: tuple[int, int]) -> None:
    trained("plain")
    async with an_app().run_test(size=size) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        dialog = await ask(pilot)
        await until(pilot, lambda: dialog.worker.snapshot.state != "working")
        assert dialog.worker.snapshot.state == "ready", dialog.worker.snapshot
        await until(pilot, lambda: "bits per byte" in text_of(dialog))
        for word in ("perplexity", "floor", "bigram", "valid UTF-8"):
            assert word in text_of(dialog)
        listed = dialog.query_one(LineList)
        width = listed.scrollable_content_region.width
        assert all(row.content.cell_length <= max(60, width) for row in listed.rows)
        assert "plain" in on_screen(pilot)
        await pilot.press("escape")
        assert pilot.app.screen is screen
        # Saved: shown again immediately, and recomputed only on request.
        dialog = await ask(pilot)
        await until(pilot, lambda: dialog.worker.snapshot.state == "ready")
        assert dialog.worker.snapshot.is_saved
        await until(pilot, lambda: "evaluated on" in text_of(dialog))
        await pilot.press("r")
        await until(pilot, lambda: dialog.worker.snapshot.state == "ready")
        assert not dialog.worker.snapshot.is_saved
    (report,) = evaluation_results.read(store.find("plain").path)
    assert report["text"]["split"] == "validation"


def finish(worker: evaluation_worker.EvaluationWorker) -> None:
    worker.start()
    worker.wait(limits.LIMIT)


async def test_selected_runs_are_compared() -> None:
    trained("one", 1)
    trained("two", 2)
    async with an_app().run_test(size=(120, 40)) as pilot:
        screen = await open_runs(pilot, 2)
        await with_checkpoints(pilot, screen)
        await pilot.press("space", "down", "space")
        dialog = await ask(pilot)
        await until(pilot, lambda: dialog.worker.snapshot.state == "ready")
        await until(pilot, lambda: "2 checkpoints on the same text" in text_of(dialog))
        report = dialog.worker.snapshot.report
        assert report is not None
        assert {one["run"].split("-")[0] for one in report["models"]} == {"one", "two"}
        # In the checkpoint list, `e` applies to one checkpoint, regardless of the selection.
        await pilot.press("escape")
        screen.query_one(CheckpointList).focus()
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Question))
        assert re.search(r"Evaluate (one|two) @ \d", on_screen(pilot))


async def test_escape_cancels_the_evaluation_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained("plain")
    began, may_finish = threading.Event(), threading.Event()
    real = evaluate.evaluate

    def blocked(*arguments: Any, **options: Any) -> Any:
        began.set()
        may_finish.wait(30)
        return real(*arguments, **options)

    monkeypatch.setattr(evaluation_worker.evaluate, "evaluate", blocked)
    async with an_app().run_test(size=(80, 24)) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        dialog = await ask(pilot)
        await until(pilot, began.is_set)
        await pilot.press("enter", "r")
        assert pilot.app.screen is dialog
        await pilot.press("escape")
        assert pilot.app.screen is screen
        may_finish.set()
        await until(pilot, lambda: dialog.worker.snapshot.state == "cancelled")
    assert evaluation_results.read(store.find("plain").path) == []


async def test_a_missing_split_and_a_run_without_checkpoints_are_reported() -> None:
    trained("plain")
    async with an_app().run_test(size=(80, 24)) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        dialog = await ask(pilot, "down")
        await until(pilot, lambda: dialog.worker.snapshot.state == "failed")
        await until(pilot, lambda: "there is no test split" in on_screen(pilot))
        await pilot.press("escape")
        add_run("bare")
        screen.reader.wake()
        await until(pilot, lambda: len(screen.table.lines) == 2)
        await pilot.press("home")
        await until(pilot, lambda: screen.current is not None and screen.current.name == "bare")
        await until(pilot, lambda: screen.current_checkpoint is None)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))


def test_unreadable_results_are_ignored_and_replaced() -> None:
    trained("plain")
    run = store.find("plain")
    checkpoint = store.checkpoint_of(run)
    for text in ("", "[]", '{"format": 9}', '{"format": 1, "evaluations": [3]}'):
        (run.path / evaluation_results.RESULTS).write_text(text)
        assert evaluation_results.saved_report([checkpoint], EvaluationSettings()) is None
    report, _ = evaluate.evaluate([checkpoint], EvaluationSettings(samples=0))
    evaluation_results.write(report, run.path)
    assert evaluation_results.saved_report(
        [checkpoint], EvaluationSettings(samples=0)
    ) == json.loads(json.dumps(report))
    assert (
        evaluation_results.saved_report([checkpoint], EvaluationSettings(samples=0, split="train"))
        is None
    )


@pytest.mark.parametrize(
    "missing",
    [
        "models",
        pytest.param("resampling", marks=extent.only_in_all),
        pytest.param("timestamp", marks=extent.only_in_all),
    ],
)
def test_an_incomplete_saved_report_is_recomputed(missing: str) -> None:
    session = Session.start(make_tiny(), "plain")
    assert session.wait(limits.LIMIT)
    settings = EvaluationSettings(samples=1, max_tokens=3, device="cpu")
    checkpoint = store.checkpoint_of(session.run)
    worker = evaluation_worker.EvaluationWorker([checkpoint], settings, is_training=False)
    finish(worker)
    (report,) = evaluation_results.read(session.run.path)
    del report[missing]
    evaluation_results.write(report, session.run.path)
    finish(worker)
    assert worker.snapshot.state == "ready"
    assert not worker.snapshot.is_saved
    (again,) = evaluation_results.read(session.run.path)
    assert missing in again
    finish(worker)
    assert worker.snapshot.is_saved
