"""The command palette finds the actions of all screens, and settings, by natural words."""

from pathlib import Path

import pytest
from textual.app import App
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Input

from slm_tui.config import describe
from slm_tui.tui import search_words
from slm_tui.tui.actions import ACTIONS, BY_ID, ROOMS
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import TextDialog
from slm_tui.tui.keymap import shown
from slm_tui.tui.outside import OUTSIDE
from slm_tui.tui.palette import PaletteProvider
from slm_tui.tui.relevance import relevance
from slm_tui.tui.screens.presets.screen import PresetsScreen
from tests import extent
from tests.tui.made_runs import add_run, until

# What is found first on the Presets screen: the id of an action, or the start of a title.
FIRST = {
    "temperature": "Setting sampling.temperature",
    "learning rate": "Setting optimizer.learning_rate",
    "lr": "Setting optimizer.learning_rate",
    "batch size": "Setting training.micro_batch",
    "number of layers": "Setting model.n_layer",
    "context length": "Setting model.block_size",
    "vocabulary size": "Setting tokenizer.vocab_size",
    "dropout": "Setting model.dropout",
    "warmup": "Setting schedule.warmup",
    "gpu": "Setting training.device",
    "early stopping": "Setting training.early_stop_patience",
    "how many epochs": "Setting training.max_steps",
    "random seed": "Setting training.seed",
    "wandb": "Setting training.log_to",
    "prompts": "Setting sampling.prompts",
    "dark mode": "Dark or light",
    "light theme": "Dark or light",
    "colors": "Theme",
    "font": "Font",
    "bigger text": "Font",
    "restore a deleted run": "Trash",
    "screenshot": "Screenshot",
    "export": "runs.export",
    "benchmark": "Measure the speed",
    "help": "app.help",
    "keyboard shortcuts": "app.help",
    "quit": "app.quit",
    "exit": "app.quit",
    "start training": "presets.train",
    "create a preset": "presets.new",
    "delete preset": "presets.delete",
    "grid search": "presets.vary",
    "tutorial": "presets.lessons",
    "stop training": "train.stop",
    "stopping the run": "train.stop",
    "pause": "train.pause",
    "pause training": "train.pause",
    "save checkpoint": "train.save",
    "train longer": "train.more_steps",
    "lower the learning rate": "train.halve_rate",
    "log scale": "train.log",
    "fine-tune": "train.fork",
    "fix overfitting": "train.apply",
    "delete checkpoint": "runs.delete",
    "delete a run": "runs.delete",
    "rename": "runs.rename",
    "compare": "runs.compare",
    "compare two runs": "runs.compare",
    "export csv": "runs.compare",
    "chat with a checkpoint": "runs.load",
    "markdown report": "experiments.report",
    "start experiment": "experiments.run",
    "side by side": "chat.side",
    "next token probability": "chat.inspect",
    "regenerate": "chat.resample",
    "greedy": "chat.greedy",
    "tokenize": "data.prepare",
    "use my own text": "data.open",
    "compare tokenizers": "data.compare",
    "crosshair": "chart.crosshair_left",
    # As it is typed, or mistyped.
    "temper": "Setting sampling.temperature",
    "learnign rate": "Setting optimizer.learning_rate",
    "screensho": "Screenshot",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


async def found(app: App[None], query: str) -> list[str]:
    """The titles that `query` finds on the current screen, best first."""
    return await found_by(PaletteProvider(app.screen), query)


async def found_by(provider: PaletteProvider, query: str) -> list[str]:
    hits = [(hit.score, str(hit.text)) async for hit in provider.search(query)]
    return [title for _, title in sorted(hits, key=lambda hit: -hit[0])]


def titled(expected: str) -> str:
    action = BY_ID.get(expected)
    return f"{action.label}  ({action.keys[0]}" if action else expected


async def test_natural_words_find_first_what_they_mean() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        wrong = {}
        for query, expected in FIRST.items():
            titles = await found(app, query)
            best = _as_shown(titles[0]) if titles else ""
            if not best.startswith(_as_shown(titled(expected))):
                wrong[query] = (expected, titles[:3])
        assert wrong == {}


def _as_shown(title: str) -> str:
    head, bracket, rest = title.partition("  (")
    key = rest.partition(" ")[0].rstrip(")")
    return f"{head}{bracket}{shown(key)}" if bracket else title


@extent.sample(2)
@pytest.mark.parametrize("room", ROOMS)
async def test_all_actions_are_found_on_all_screens_by_label_and_help(room: str) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(f"f{ROOMS.index(room) + 2}")  # type: ignore[arg-type]
        await until(pilot, lambda: app.current_mode == room)
        provider = PaletteProvider(app.screen)
        entries = [(entry.title, entry.help) for entry in provider.entries]
        for action in ACTIONS:
            if action.name in ("palette", "back"):
                continue
            listed = [title for title, help in entries if help == action.help]
            label = f"{action.label}  ("
            assert any(title.startswith(label) for title in listed), action.id
            # Up to two more places have the same name, such as `log scale` of Train and Runs.
            best = (await found_by(provider, f"{action.label} {action.help}"))[:3]
            assert any(title.startswith(label) for title in best), (action.id, best)


def test_each_action_has_search_words_and_nothing_else_has() -> None:
    ids = {action.id for action in ACTIONS}
    assert set(search_words.OF_ACTIONS) == ids
    for phrases in search_words.OF_ACTIONS.values():
        assert all(phrase.strip() for phrase in phrases)


async def test_the_words_of_commands_and_settings_belong_to_existing_ones() -> None:
    assert set(search_words.OF_SETTINGS) <= set(describe.every_path())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test():
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert set(search_words.OF_COMMANDS) == titles


async def choose(pilot: Pilot[None], query: str) -> None:
    """Type `query` in the palette and choose what is found first."""
    best = (await found(pilot.app, query))[0]
    await pilot.press("ctrl+p")
    await until(pilot, lambda: pilot.app.screen.query(CommandList))
    commands = pilot.app.screen.query_one(CommandList)
    pilot.app.screen.query_one(Input).value = query

    def is_first() -> bool:
        return bool(commands.option_count) and best in str(commands.options[0].prompt)

    await until(pilot, is_first)
    await pilot.press("enter")


async def test_a_setting_opens_the_form_at_that_setting() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: app.current_mode == "train")
        await choose(pilot, "temperature")
        await until(pilot, lambda: app.current_mode == "presets")
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        await until(pilot, lambda: presets.form.properties.key == "sampling.temperature")
        assert app.focused is presets.form.properties


async def test_an_action_of_another_screen_opens_it_and_names_the_key() -> None:
    add_run("a-run", checkpoints=[10])
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await choose(pilot, "delete checkpoint")
        await until(pilot, lambda: app.current_mode == "runs")
        await until(pilot, lambda: notices(app))
        assert notices(app) == ["Press D: move the run or checkpoint to the trash (u restores it)."]
        assert not app.screen.is_modal


async def test_a_key_that_types_in_the_prompt_of_chat_is_named_with_esc() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await choose(pilot, "lower temperature")
        await until(pilot, lambda: app.current_mode == "chat")
        await until(pilot, lambda: notices(app))
        assert notices(app) == ["Press esc, then t: lower the temperature."]


async def test_an_action_of_experiments_opens_that_screen() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await choose(pilot, "start experiment")
        await until(pilot, lambda: type(app.screen).__name__ == "ExperimentsScreen")
        await until(pilot, lambda: notices(app))
        assert notices(app)[0].startswith("Press r: ")


async def test_the_temperature_of_the_chat_comes_first_on_chat() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "chat")
        titles = await found(app, "temperature")
        assert titles[0].startswith("Temp  (t)")
        assert any(title.startswith("Setting sampling.temperature") for title in titles[:4])


async def test_dark_mode_switches_and_the_font_is_explained() -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.current_theme.dark
        await choose(pilot, "dark mode")
        await until(pilot, lambda: not app.current_theme.dark)
        await choose(pilot, "font")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        screen = app.screen
        assert isinstance(screen, TextDialog)
        assert "terminal" in screen.lines[0].plain


def test_the_texts_of_commands_outside_the_app_fit_a_narrow_dialog() -> None:
    for outside in OUTSIDE:
        assert max(map(len, outside.text.splitlines())) <= 70, outside.title


def notices(app: SlmTuiApp) -> list[str]:
    return [one.message for one in app._notifications]


def test_relevance_weighs_whole_phrases_above_parts() -> None:
    def of(query: str, *phrases: str, help: str = "") -> float:
        return relevance(query, "Title", phrases, help)

    assert of("stop training", "stop training") == 1.0
    assert of("stop", "stop training") < of("stop", "stop")
    assert of("stopping", "stop") > 0.8
    assert of("sto", "stop") > 0.5
    assert of("how do I stop", "stop") == 1.0
    assert of("", "stop") == of("xyzzy", "stop") == 0.0
    assert of("words of help", help="words of help") < of("words of help", "words of help")
