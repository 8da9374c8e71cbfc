"""No hint is cut: on no screen and in no dialog, at 80x24, 120x40 and 200x60."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot

from slm_tui.config import kinds, library, needs
from slm_tui.config.drafts import Origin
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.diagnosis import Remedy, Verdict
from slm_tui.experiments import shelf
from slm_tui.experiments.suite import from_toml
from slm_tui.export.written import Usage, Written
from slm_tui.live.export_worker import ExportSnapshot, ExportWorker
from slm_tui.live.workshop import NoWorkshop
from slm_tui.runs import store
from slm_tui.tui import notices
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Ask, Notice, TextDialog
from slm_tui.tui.outside import OUTSIDE, Outside
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.screens.data.screen import DataScreen
from slm_tui.tui.screens.experiments.lists import SuiteList
from slm_tui.tui.screens.experiments.screen import ExperimentsScreen
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.screens.runs.export import ExportDialog
from slm_tui.tui.screens.train import questions
from slm_tui.tui.screens.train.remedies import ask_for_remedy
from slm_tui.tui.screens.train.screen import TrainScreen
from tests import extent
from tests.cli.test_suite import SUITE
from tests.conftest import make_tiny
from tests.tui.cut_hints import cut_hints, rows_of, setting_help
from tests.tui.made_runs import add_run, until
from tests.tui.shown import make_run
from tests.tui.test_chat_screen import type_line
from tests.tui.test_runs_screen import open_runs, with_checkpoints

SIZES = pytest.mark.parametrize(
    "size",
    [
        (80, 24),
        pytest.param((120, 40), marks=extent.only_in_all),
        pytest.param((200, 60), marks=extent.only_in_all),
    ],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
Opening = Callable[[SlmTuiApp, Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two finished runs with checkpoints, a user preset, and a started suite."""
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    library.save(make_tiny())
    make_run("stories-tiny", 2, steps=900, rate=1.0)
    add_run("second-run", checkpoints=[10, 20, 100], best=20)
    shelf.save(from_toml(SUITE))
    return tmp_path


def kinds_of_settings() -> list[tuple[str, str]]:
    """Each kind of each section of a preset."""
    return [(section, kind) for section, names in kinds.KINDS.items() for kind in names]


async def shown(pilot: Pilot[None], *keys: str) -> None:
    """Press `keys`, and wait for the dialog that they open."""
    await pilot.press(*keys)
    await until(pilot, lambda: pilot.app.screen.is_modal)


def keys_on(mode: str, *keys: str) -> Opening:
    """Go to a screen and press keys that open a dialog."""

    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, mode)
        await shown(pilot, *keys)

    return open


async def go(app: SlmTuiApp, pilot: Pilot[None], mode: str) -> None:
    key = {"presets": "f2", "train": "f3", "runs": "f4", "chat": "f5", "data": "f6"}[mode]
    await pilot.press(key)
    await until(pilot, lambda: app.current_mode == mode)
    if mode == "presets":
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        presets.choose("tiny")
    elif mode == "train":
        app.open_run(store.find("second-run").path)
        train = app.screen
        assert isinstance(train, TrainScreen)
        await until(pilot, lambda: train.view and train.view.run.id.startswith("second-run"))
    elif mode == "runs":
        screen = await open_runs(pilot, 2)
        await with_checkpoints(pilot, screen)
    elif mode == "chat":
        chat = app.screen
        assert isinstance(chat, ChatScreen)
        await until(pilot, lambda: chat.generation.facts)
    elif mode == "data":
        await pilot.press("p")
        data = app.screen
        assert isinstance(data, DataScreen)
        await until(pilot, lambda: data._drawn.state == "ready")
    await pilot.pause()


async def broken_preset(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await go(app, pilot, "presets")
    assert app.chosen_draft is not None
    app.chosen_draft.put("model.n_head", 5)
    app.draft_changed()
    await shown(pilot, "m")


def in_form(path: str, *keys: str) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, "presets")
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        presets.show_setting(path)
        await pilot.pause()
        await shown(pilot, *keys)

    return open


def edited(*keys: str) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, "presets")
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        presets.choose("stories-tiny")
        assert app.chosen_draft is not None
        app.chosen_draft.put("model.n_layer", 5)
        await shown(pilot, *keys)

    return open


def asking_for_text(need: str) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, "presets")
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        entries = library.entries()
        named = (one.name for one in entries if one.preset and needs.need_of(one.preset) == need)
        presets.choose(next(named))
        await shown(pilot, "t")

    return open


def calling(push: Callable[[SlmTuiApp], Any]) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        push(app)
        await until(pilot, lambda: app.screen.is_modal)

    return open


async def experiments(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    if not isinstance(app.screen, ExperimentsScreen):
        app.open_experiments("rates")
        await until(pilot, lambda: isinstance(app.screen, ExperimentsScreen))
    screen = app.screen
    assert isinstance(screen, ExperimentsScreen)
    await until(pilot, lambda: screen.query(SuiteList) and screen.current is not None)


async def help_here(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await shown(pilot, "f1")


def ask_for_some_remedy(app: SlmTuiApp) -> None:
    remedies = (
        Remedy("dropout 0.2", ("model.dropout=0.2",)),
        Remedy("more text: 4 times as much", ("data.limit.tokens=400000",)),
    )
    verdict = Verdict("▲", "overfitting", 1100, "val rises", remedies=remedies)
    run = store.all_runs()[0]
    ask_for_remedy(app, app, verdict, run, Origin(run.id, run.info().name))


def outside(one: Outside) -> Opening:
    return calling(lambda app: one.shown_in(app)())


def on_checkpoints(*keys: str) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, "runs")
        app.screen.query_one("#checkpoints").focus()
        await shown(pilot, *keys)

    return open


def command(line: str) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, "chat")
        await type_line(pilot, line)
        await until(pilot, lambda: app.screen.is_modal)

    return open


async def side_by_side(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await go(app, pilot, "chat")
    chat = app.screen
    assert isinstance(chat, ChatScreen)
    if chat.is_inspecting:
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not chat.is_inspecting)
    await type_line(pilot, "/side second-run@10 second-run@20 second-run@100")
    await until(pilot, lambda: type(app.screen).__name__ == "SideBySide")


async def inspecting(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await go(app, pilot, "chat")
    await type_line(pilot, "Once upon")
    chat = app.screen
    assert isinstance(chat, ChatScreen)
    await until(pilot, lambda: chat.generation.state == "ready" and chat.generation.ended)
    await pilot.press("ctrl+s")
    await until(pilot, lambda: chat.is_inspecting)


async def exported(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    """A result with commands longer than a line."""
    worker = ExportWorker("gguf", Path("from"), Path("to"), "f32")
    command = f"llama-completion -m {'/a long/path of words' * 6}/it.gguf -p 'Once upon a time'"
    usage = (Usage("Ollama", "ollama run it"), Usage("llama.cpp", command))
    written = Written(Path("to"), 1, "wrote it for llama.cpp", usage, ("another GELU",))
    worker._background.snapshot = ExportSnapshot("ready", written=written)
    worker.start = lambda: None  # type: ignore[method-assign]
    app.push_screen(ExportDialog(worker))
    await until(pilot, lambda: "wrote it" in "".join(rows_of(app)))
    text = " ".join("".join(row.strip(" │┃|").ljust(1) + " " for row in rows_of(app)).split())
    assert "'Once upon a time'" in text


async def zoomed_charts(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await go(app, pilot, "train")
    await pilot.press("v")
    await settled(pilot)
    assert cut_hints(app) == []
    await pilot.press("v")


async def comparing(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await go(app, pilot, "runs")
    await pilot.press("space", "down", "space")
    await pilot.pause()


def screen_of(mode: str) -> Opening:
    async def open(app: SlmTuiApp, pilot: Pilot[None]) -> None:
        await go(app, pilot, mode)

    return open


async def form(app: SlmTuiApp, pilot: Pilot[None]) -> None:
    await go(app, pilot, "presets")
    await pilot.press("enter")


TRAINING: Any = SimpleNamespace()
ERROR = SlmTuiError("the run cannot start", "its text is not here", "press o on the Data screen")
# One app for each group: opening one takes longer than all its dialogs.
GROUPS: dict[str, dict[str, Opening]] = {
    "app": {
        "quit": calling(lambda app: app.push_screen(notices.quit_question())),
        "keymap": calling(
            lambda app: app.push_screen(Notice(notices.keymap_error(["a: b"]), "Keys"))
        ),
        "no torch": calling(lambda app: app.push_screen(Notice(notices.torch_error("missing")))),
        "no start": calling(lambda app: app.push_screen(Notice(ERROR, "This run cannot start"))),
        "trash": calling(lambda app: app.open_trash()),
        "theme": calling(lambda app: app.action_change_theme()),
        **{one.title: outside(one) for one in OUTSIDE},
        "palette": keys_on("presets", "ctrl+p"),
    },
    "presets": {
        "screen": screen_of("presets"),
        "form": form,
        "help": keys_on("presets", "f1"),
        "new": keys_on("presets", "n"),
        "delete": keys_on("presets", "D"),
        "choice": in_form("model.kind", "enter"),
        "vary": in_form("model.n_layer", "m"),
        "text is missing": asking_for_text("file"),
        "text is remote": asking_for_text("network"),
        "difference": edited("="),
        "quit with edits": edited("ctrl+q"),
        "save": edited("S"),
        "invalid": broken_preset,
    },
    "train": {
        "screen": screen_of("train"),
        "zoomed charts": zoomed_charts,
        "help": keys_on("train", "f1"),
        "stop": calling(lambda app: questions.ask_to_stop(app, TRAINING)),
        "extend": calling(lambda app: questions.ask_for_steps(app, TRAINING, 3000)),
        "resume": keys_on("train", "r"),
        "details": keys_on("train", "d"),
        "remedies": calling(ask_for_some_remedy),
    },
    "runs": {
        "screen": screen_of("runs"),
        "help": keys_on("runs", "f1"),
        "rename": keys_on("runs", "R"),
        "delete": keys_on("runs", "D"),
        "resume": keys_on("runs", "r"),
        "evaluate": keys_on("runs", "e"),
        "compare": keys_on("runs", "="),
        "label": on_checkpoints("R"),
        "delete checkpoint": on_checkpoints("D"),
        "evaluate checkpoint": on_checkpoints("e"),
        "export": on_checkpoints("E"),
        "export to": on_checkpoints("E", "enter"),
        "exported": exported,
        "selected": comparing,
    },
    "chat": {
        "screen": screen_of("chat"),
        "help": keys_on("chat", "f1"),
        "choose a checkpoint": keys_on("chat", "f7"),
        "choose several": keys_on("chat", "f9"),
        "commands": command("/help"),
        "inspecting": inspecting,
        "help of inspecting": help_here,
        "side by side": side_by_side,
        "help of side by side": help_here,
    },
    "data": {
        "screen": screen_of("data"),
        "help": keys_on("data", "f1"),
        "open text": keys_on("data", "o"),
        "compare": keys_on("data", "w"),
        "train": keys_on("data", "t"),
        "details": keys_on("data", "d"),
    },
    "experiments": {
        "screen": experiments,
        "help": help_here,
    },
}


async def settled(pilot: Pilot[None]) -> None:
    """Wait until the screen stays the same."""
    before: list[str] = []
    for _ in range(100):
        await pilot.pause(0.1)
        now = rows_of(pilot.app)
        if now == before:
            return
        before = now


@SIZES
@extent.sample(3)
@pytest.mark.parametrize("group", GROUPS)
async def test_no_hint_is_cut(group: str, size: tuple[int, int]) -> None:
    cut: dict[str, list[str]] = {}
    app = SlmTuiApp(NoWorkshop(), load_torch=False)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for name, opening in GROUPS[group].items():
            await opening(app, pilot)
            await settled(pilot)
            cut[name] = cut_hints(app)
            while app.screen.is_modal:
                await pilot.press("escape")
                await pilot.pause()
    assert [f"{name}: {hint}" for name, hints in cut.items() for hint in hints] == []


@SIZES
async def test_the_help_of_no_setting_is_cut(size: tuple[int, int]) -> None:
    cut: list[str] = []
    app = SlmTuiApp(NoWorkshop(), load_torch=False)
    async with app.run_test(size=size) as pilot:
        await go(app, pilot, "presets")
        presets, draft = app.screen, app.chosen_draft
        assert isinstance(presets, PresetsScreen)
        assert draft is not None
        for section, kind in [("", ""), *kinds_of_settings()]:
            if section:
                draft.put(f"{section}.kind", kind)
                presets.show_draft()
            for setting in draft.settings():
                if not section or setting.section == section:
                    app.screen.set_focus(presets.form.properties)
                    presets.form.properties.reveal(setting.path)
                    presets.form.show_help()
                    cut += [f"{setting.path}: {hint}" for hint in setting_help(presets.form)]
    assert cut == []


async def test_a_cut_hint_is_noticed() -> None:
    """The test itself: titles, footers and lines that do not fit are found."""
    app = SlmTuiApp(NoWorkshop(), load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert cut_hints(app) == []
        app.screen.query_one("#list").border_title = "a title that is wider than the list of it"
        await pilot.pause()
        assert any("a title" in hint for hint in cut_hints(app))
        app.push_screen(TextDialog("Title", [Content("word " * 30)]))
        await until(pilot, lambda: app.screen.is_modal and app.screen.query("#lines"))
        assert any("word word" in hint for hint in cut_hints(app))
        app.pop_screen()
        app.push_screen(Ask("Title " * 20, "\n".join("text" for _ in range(40))))
        await until(pilot, lambda: app.screen.is_modal and app.screen.query("#wrong"))
        await pilot.pause()
        found = cut_hints(app)
        assert any("Title Title" in hint for hint in found)
        assert any("does not fit" in hint or "text" in hint for hint in found)
