"""Runs, presets and keymaps written by released versions open, resume, evaluate and chat.

`tests/released/<version>/` holds what that version wrote, unchanged: a finished run on stories, a
stopped run on a text file, and a run forked from the first whose process was killed. Never edit
these files. When a format changes, migrate it when it is read.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.cli import main
from slm_tui.config import library
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.live.generation_thread import GenerationStatus, GenerationThread
from slm_tui.live.session import Session
from slm_tui.runs import conversation, evaluation_results, evidence, store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training.events import Event, Stepped
from slm_tui.tui import keymap
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.chat.screen import ChatScreen
from tests.tui.made_runs import until

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name[0].isdigit())
# Label, state, steps, evaluations, best step, texts in the chat.
KNOWN = {
    "stories": ("done", 600, 4, 600, 2),
    "play": ("stopped", 2800, 8, 2800, 3),
    "forked": ("interrupted", 4000, 5, 4000, 2),
}


@pytest.fixture(params=VERSIONS)
def released(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything that a version wrote; the working directory is where its text is."""
    source = HERE / request.param
    shutil.copytree(source / "runs", paths.runs_dir(), symlinks=True)
    shutil.copytree(source / "config", paths.config_dir())
    monkeypatch.chdir(source / "texts")
    return source


@pytest.fixture(params=KNOWN)
def run(released: Path, request: pytest.FixtureRequest) -> Run:
    return store.find(request.param)


def test_all_runs_are_listed_and_shown(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["name"]: one["state"] for one in listed} == {
        name: state for name, (state, *_) in KNOWN.items()
    }
    for name, (state, step, _, best, _) in KNOWN.items():
        assert main(["runs", "show", name]) == 0
        out = capsys.readouterr().out
        assert state in out
        assert f"{step:,} of" in out
        assert f"at step {best:,}" in out
        assert "diagnosis" in out


def test_curves_samples_and_events_are_read(run: Run) -> None:
    _, step, evaluations, best, _ = KNOWN[run.info().name]
    curves = Curves(run)
    assert curves.read()
    # A killed process may have logged steps after it last wrote its totals.
    assert step <= curves.steps.step[-1] + 20
    assert len(curves.steps.step) > 50
    assert all(map(math.isfinite, curves.steps.loss))
    assert len(curves.evaluations.step) == evaluations
    at = curves.evaluations.best()
    assert at is not None
    assert curves.evaluations.step[at] == best
    assert curves.events
    assert evidence.of_run(run)[0].word
    if run.info().name != "forked":
        assert curves.samples


def test_evaluations_and_conversations_are_still_readable(run: Run) -> None:
    exchanges = conversation.read(run.path)
    assert len(exchanges) == KNOWN[run.info().name][4]
    assert all(one.text and one.ended in ("max tokens", "end of text") for one in exchanges)
    (report,) = evaluation_results.read(run.path)
    assert report["models"][0]["step"] == KNOWN[run.info().name][3]


def test_an_evaluation_gives_the_same_result(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (before,) = evaluation_results.read(run.path)
    split = before["text"]["split"]
    assert main(["evaluate", run.id, "--split", split, "--no-generations", "--json"]) == 0
    now = json.loads(capsys.readouterr().out)
    for name in ("bits_per_byte", "loss", "accuracy", "num_tokens"):
        assert now["models"][0][name] == pytest.approx(before["models"][0][name], rel=1e-3)


def test_a_run_resumes_where_it_stopped(run: Run) -> None:
    state, step, *_ = KNOWN[run.info().name]
    session: list[Session] = []
    first: list[Stepped] = []

    def watch(event: Event) -> None:
        if isinstance(event, Stepped) and session:
            first.append(event)
            if len(first) == 3:
                session[0].stop()

    more = 200 if state == "done" else 0
    session.append(Session.resume(run, more_steps=more, sinks=(watch,)))
    assert session[0].wait(60)
    status = session[0].status
    assert status.state in ("stopped", "done"), status.error
    assert not status.error
    curves = Curves(run)
    curves.read()
    assert curves.steps.step == sorted(set(curves.steps.step))
    assert curves.steps.step[-1] > step
    after = [
        loss for at, loss in zip(curves.steps.step, curves.steps.loss, strict=True) if at > step
    ]
    # An untrained model has a loss of ln(n_vocab): this one did not start again.
    assert max(after) < 0.5 * math.log(run.info().facts["n_vocab"])


def wait(
    generator: GenerationThread, holds: Callable[[GenerationStatus], object]
) -> GenerationStatus:
    import time

    for _ in range(6000):
        generation = generator.poll()
        assert generation.error is None, generation.error
        if holds(generation):
            return generation
        time.sleep(0.01)
    raise AssertionError(f"never came: {generator.poll()}")


@pytest.fixture
def generator() -> Iterator[GenerationThread]:
    thread = GenerationThread()
    yield thread
    thread.close()


def test_checkpoints_still_generate_text(run: Run, generator: GenerationThread) -> None:
    for path in sorted(run.checkpoints.glob("step-*")):
        generator.load(path)
        wait(generator, lambda generation: generation.state == "ready")
        generator.complete("The ", SamplingSettings(max_tokens=8, temperature=0.0))
        assert wait(generator, lambda generation: generation.ended).text


async def test_the_chat_screen_shows_the_conversation_and_adds_to_it(run: Run) -> None:
    before = len(conversation.read(run.path))
    app: Any = SlmTuiApp(run=run.path)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "best" in app.export_screenshot())
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await until(pilot, lambda: "continues" in app.export_screenshot())
        await pilot.press(*"Dogs", "enter")
        await until(pilot, lambda: len(conversation.read(run.path)) == before + 1)
    assert conversation.read(run.path)[-1].prompt == "Dogs"


def test_user_presets_and_keymaps_are_read(released: Path) -> None:
    assert library.find("mine") is not None
    assert library.get("mine").model.block_size > 0
    keys, problems = keymap.load()
    assert not problems
    assert keys["train.save"] == "w"
    assert keys["runs.open"] == "enter,o"
