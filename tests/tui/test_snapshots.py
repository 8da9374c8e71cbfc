"""Every screen, at the two sizes that matter most, dark and light, as it was last approved.

A changed picture fails; look at the report, and approve it with `--snapshot-update`.
"""

import itertools
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from textual.pilot import Pilot
from textual.screen import Screen

from slm_tui.config import library
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.training import Sampling
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.subwords import SubwordCut
from slm_tui.corpus.tokenizers import byte_tokenizer
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.generation.chunks import Chunks
from slm_tui.generation.inspect import TokenSurprise
from slm_tui.live.generation_thread import LoadedModel, ModelFacts
from slm_tui.live.inspector import InspectionStatus, OtherCheckpoint
from slm_tui.models.build import build
from slm_tui.runs import store
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.sparkline import SmallChart
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.screens.chat.transcript import Entry
from slm_tui.tui.screens.runs.screen import RunsScreen
from slm_tui.tui.screens.side_by_side.screen import SideBySide
from tests import extent
from tests.conftest import make_tiny
from tests.models.families import HNET_STAGES
from tests.tui.made_runs import add_checkpoints, until
from tests.tui.shown import STORY, ShownWorkshop, make_run
from tests.tui.test_chat_screen import FakeGenerator, type_line
from tests.tui.test_runs_screen import on_screen, open_runs, with_checkpoints

SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
THEMES = {"dark": "slm-dark", "light": "slm-light"}


def looks(at: int) -> pytest.MarkDecorator:
    """All sizes and themes of a picture; in the sample a size with a theme, in turn by `at`."""
    sample = list(zip(SIZES, THEMES, strict=True))[at % 2]
    return pytest.mark.parametrize(
        ("size", "theme"),
        [
            pytest.param(size, theme, id=f"{size}-{theme}")
            for size in SIZES
            for theme in THEMES
            if extent.ALL or (size, theme) == sample
        ],
    )


Snap = Callable[..., bool]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the prepared corpus of the default preset."""
    home = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLM_TUI_HOME", str(home))
        prepare(library.get(library.DEFAULT))
    return home / "cache"


@pytest.fixture(autouse=True)
def _one_time_and_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prepared: Path) -> None:
    import time

    (tmp_path / "cache").symlink_to(prepared)
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()


async def drawn(pilot: Pilot[Any]) -> None:
    """Wait for threads and the plot process, so that results are shown, not placeholders."""
    if isinstance(pilot.app.screen, RunsScreen):
        await open_runs(pilot, 2)
        await with_checkpoints(pilot, pilot.app.screen)
    worker = getattr(pilot.app.screen, "worker", None)
    await until(pilot, lambda: worker is None or worker.snapshot.state != "looking")
    pilot.app.screen.refresh_room()  # type: ignore[attr-defined]
    await until(pilot, lambda: are_drawn(pilot.app.screen))
    await still(pilot)


def are_drawn(screen: Screen[Any]) -> bool:
    """Whether nothing of the charts is waiting to be drawn, nor a verdict to be made."""
    view = getattr(screen, "view", None)
    if getattr(screen, "_small_are_behind", False) or not getattr(view, "_is_judged", True):
        return False
    large = [one for one in screen.query(Chart) if one.display]
    if not all(one.drawings and not (one._dirty or one.client.busy) for one in large):
        return False
    return all(one._timer is None for one in screen.query(SmallChart))


async def still(pilot: Pilot[Any]) -> None:
    """Wait until the screen has not changed for half a second; charts are drawn elsewhere."""
    before, same = "", 0
    end = time.monotonic() + 60
    while same < 5:
        assert time.monotonic() < end, "the screen does not come to rest"
        await pilot.pause(0.1)
        now = on_screen(pilot)
        quiet = now == before and are_drawn(pilot.app.screen)
        same = same + 1 if quiet else 0
        before = now


def _shown(
    screen: str,
) -> tuple[SlmTuiApp, Callable[[str], Callable[[Pilot[Any]], Awaitable[None]]]]:
    older = make_run("educational-tiny", 1, steps=500, rate=0.4, state="stopped")
    run = make_run("stories-tiny", 2, steps=1840, rate=1.0, state="done")
    add_checkpoints(run, make_tiny(), [500, 1000, 1500, 1840], best=1840)
    assert older.path != run.path
    app = SlmTuiApp(workshop=ShownWorkshop(run.id), load_torch=False)

    def before(theme: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
        async def prepare(pilot: Pilot[Any]) -> None:
            pilot.app.theme = THEMES[theme]
            if screen != "presets":
                app.open_run(run.path)
                await pilot.press({"train": "2", "runs": "3", "chat": "4", "data": "5"}[screen])
            await pilot.pause()
            for field in pilot.app.screen.query("Input"):
                field.cursor_blink = False  # type: ignore[attr-defined]
            await drawn(pilot)

        return prepare

    return app, before


def _compare(screen: str, size: str, theme: str, snap_compare: Snap) -> bool:
    app, before = _shown(screen)
    return snap_compare(app, run_before=before(theme), terminal_size=SIZES[size])


@looks(0)
def test_presets_screen(size: str, theme: str, snap_compare: Snap) -> None:
    assert _compare("presets", size, theme, snap_compare)


@looks(1)
def test_train_screen(size: str, theme: str, snap_compare: Snap) -> None:
    assert _compare("train", size, theme, snap_compare)


def test_train_screen_on_a_large_terminal(snap_compare: Snap) -> None:
    run = make_run("stories-tiny", 2, steps=1840, rate=1.0)
    before = make_run("stories-tiny", 1, steps=1200, rate=0.5, state="stopped")
    info = run.info()
    info.before, info.remedy = before.id, "a higher learning rate"
    run.write_info(info)
    app = SlmTuiApp(workshop=ShownWorkshop(run.id), load_torch=False)

    async def opened(pilot: Pilot[Any]) -> None:
        app.open_run(run.path)
        await pilot.press("2")
        await drawn(pilot)

    assert snap_compare(app, run_before=opened, terminal_size=(200, 60))


def _chunk_length(step: int) -> float:
    """As in a real run: boundaries everywhere, then almost nowhere, then near the target."""
    return 4.0 - 2.0 * math.exp(-step / 200) + 9.0 * math.exp(-(((step - 60) / 30) ** 2))


@looks(2)
def test_train_screen_of_an_hnet(size: str, theme: str, snap_compare: Snap) -> None:
    metrics = {"stage1_compression": _chunk_length}
    run = make_run("bytes-hnet-tiny", 3, steps=1840, rate=1.0, metrics=metrics)
    app = SlmTuiApp(workshop=ShownWorkshop(run.id), load_torch=False)

    async def opened(pilot: Pilot[Any]) -> None:
        pilot.app.theme = THEMES[theme]
        app.open_run(run.path)
        await pilot.press("2")
        await drawn(pilot)

    assert snap_compare(app, run_before=opened, terminal_size=SIZES[size])


CUTS = {
    100: "Once| upo|n a| time| the|re w|as a| swee|t fo|x na|med |Bibi|, an|d sh|e li|ved.",
    500: "Once‖ upon| a| ti|me‖ there| was‖ a| sw|eet| fox‖ named| Bi|bi‖, and| she‖ lived|.",
    1840: "Once‖ upon| a| time‖ there| was‖ a| sweet| fox‖ named| Bibi‖,| and| she‖ lived|.",
}
SUBWORDS = "Once| upon| a| time| there| was| a| s|we|et| fo|x| named| B|i|bi|,| and| she| lived|."


def _chunks_of(text: str) -> Chunks:
    """Chunks of two stages, where `|` begins one of the first and `‖` one of both."""
    first, second, sign = [], [], "‖"
    for letter in text:
        if letter in "|‖":
            sign = letter
            continue
        first.append(0.93 if sign else 0.08)
        second.append({"": math.nan, "|": 0.21, "‖": 0.97}[sign])
        sign = ""
    return Chunks(np.array([first, second]))


@looks(3)
def test_chunks_in_inspect_mode(
    size: str, theme: str, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = FakeGenerator()
    monkeypatch.setattr("slm_tui.tui.screens.chat.screen.GenerationThread", lambda *_: generator)
    app, before = _shown("chat")
    saved = store.checkpoint_of(store.find("stories-tiny"), "best")
    generator.facts = ModelFacts(saved, "stories-tiny", 1840, 321_024, 128, "bytes", 256)
    model = build(HnetModel.model_validate(HNET_STAGES[1]), 256, torch.device("cpu"), 1)
    loaded = LoadedModel(saved, model, byte_tokenizer(), begins_documents=False)
    monkeypatch.setattr(generator, "loaded", lambda: loaded)
    text = SUBWORDS.replace("|", "")
    ends = list(itertools.accumulate(map(len, SUBWORDS.split("|"))))
    heat = TokenSurprise(*(np.full(len(text), value) for value in (0.7, 3, 101, 0.4)))
    counts = np.full(256, 28_462)
    others = tuple(OtherCheckpoint(step, heat, _chunks_of(CUTS[step])) for step in (100, 500))

    async def inspect(pilot: Pilot[Any]) -> None:
        await before(theme)(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        pane = screen.pane
        monkeypatch.setattr(pane.inspector, "look", lambda *_: None)
        monkeypatch.setattr(pane.inspector, "focus", lambda *_: None)
        monkeypatch.setattr(pane.inspector, "poll", lambda: seen)
        seen = InspectionStatus()
        screen.inspect(Entry(prompt=text), 10)
        subwords = SubwordCut(1024, (0, *ends[:-1]))
        seen = InspectionStatus(
            pane._tokens, heat, _chunks_of(CUTS[1840]), 1840, subwords, None, others, counts
        )
        await pilot.press("v")
        await pilot.pause()
        screen.refresh_room()
        await still(pilot)

    assert snap_compare(app, run_before=inspect, terminal_size=SIZES[size])


@looks(4)
def test_runs_screen(size: str, theme: str, snap_compare: Snap) -> None:
    assert _compare("runs", size, theme, snap_compare)


@looks(5)
def test_chat_screen(
    size: str, theme: str, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = FakeGenerator()
    monkeypatch.setattr("slm_tui.tui.screens.chat.screen.GenerationThread", lambda *_: generator)
    app, before = _shown("chat")
    saved = store.checkpoint_of(store.find("stories-tiny"), "best")
    generator.facts = ModelFacts(saved, "stories-tiny", 1840, 321_024, 128, "bpe", 1024)

    async def talk(pilot: Pilot[Any]) -> None:
        await before(theme)(pilot)
        await type_line(pilot, "Once upon a time")
        generator.write(STORY, tokens=64, tokens_per_second=1240.0)
        generator.end("end of text")
        await still(pilot)

    assert snap_compare(app, run_before=talk, terminal_size=SIZES[size])


@looks(6)
def test_side_by_side(
    size: str, theme: str, snap_compare: Snap, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, before = _shown("chat")
    saved = store.find("stories-tiny").checkpoints
    steps = (500, 1000, 1840)
    generators = []
    for step in steps:
        generator = FakeGenerator()
        path = saved / f"step-{step:06}"
        generator.facts = ModelFacts(path, "stories-tiny", step, 321_024, 128, "bpe", 1024)
        generators.append(generator)
    waiting = list(generators)
    chat = FakeGenerator()
    monkeypatch.setattr("slm_tui.tui.screens.chat.screen.GenerationThread", lambda *_: chat)
    monkeypatch.setattr(
        "slm_tui.tui.screens.side_by_side.column.GenerationThread", lambda lock: waiting.pop(0)
    )

    async def talk(pilot: Pilot[Any]) -> None:
        await before(theme)(pilot)
        screen = SideBySide([one.facts.checkpoint for one in generators], ChatSettings(Sampling()))
        await pilot.app.push_screen(screen)
        screen.query_one("Input").cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause()
        await type_line(pilot, "Once upon a time")
        for number, generator in enumerate(generators):
            text = STORY[: 120 * (number + 1)]
            generator.write(text, tokens=30 * (number + 1), tokens_per_second=400.0)
        generators[0].end("end of text")
        generators[1].end("max tokens")
        await still(pilot)

    assert snap_compare(app, run_before=talk, terminal_size=SIZES[size])


@looks(7)
def test_data_screen(size: str, theme: str, snap_compare: Snap) -> None:
    assert _compare("data", size, theme, snap_compare)
