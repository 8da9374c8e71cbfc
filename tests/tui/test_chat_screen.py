"""The Chat screen: any model output is shown safely, and commands report valid values."""

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError
from slm_tui.generation import chat_commands as commands
from slm_tui.generation.chat_commands import COMMANDS, ChatSettings
from slm_tui.live.generation_thread import GenerationStatus, ModelFacts
from slm_tui.live.workshop import NoWorkshop
from slm_tui.runs import conversation
from slm_tui.runs.conversation import Exchange
from slm_tui.text import visible
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Notice, TextDialog
from slm_tui.tui.screens.chat.panels import context, fact_lines
from slm_tui.tui.screens.chat.picker import ModelPicker
from slm_tui.tui.screens.chat.prompt_input import PromptInput
from slm_tui.tui.screens.chat.screen import ChatScreen
from slm_tui.tui.screens.chat.transcript import Entry, Transcript, line_starts
from slm_tui.tui.widgets.key_footer import KeyFooter
from tests import extent
from tests.conftest import make_tiny
from tests.tui.made_runs import add_checkpoints, add_run, until

SIZES = extent.sizes([(60, 20), (80, 24), (99, 40), (100, 30), (120, 40), (160, 45), (200, 60)])
HOSTILE = (
    "[bold]x[/bold] [@click=app.quit]y[/] \x1b[2J\x1b]0;owned\x07 NUL\x00 \x9b31m \u202eback "
    "half\ud83d \ufffd tab\t cr\r bell\x07 wide 漢字 e\u0301 $text ]]]] [/] \\[ "
)
PLAIN = ChatSettings(Sampling())


class FakeGenerator:
    """Returns text from the test, for output that a real model cannot be made to produce."""

    def __init__(self) -> None:
        self.generation = GenerationStatus()
        self.asked: list[tuple[str, str, Any]] = []
        self.facts = ModelFacts(
            Path("/r/run-1/checkpoints/step-000007"), "run-1", 7, 900, 16, "bpe", 99
        )

    def load(self, checkpoint: Path) -> None:
        self.generation = GenerationStatus("ready", self.generation.completion, facts=self.facts)

    def complete(self, prompt: str, settings: Any) -> None:
        self._ask("complete", prompt, settings)

    def continue_last(self, text: str, settings: Any) -> None:
        self._ask("continue", text, settings)

    def _ask(self, how: str, text: str, settings: Any) -> None:
        self.asked.append((how, text, settings))
        self.generation = GenerationStatus(
            "generating", self.generation.completion + 1, facts=self.facts
        )

    def write(self, text: str, **changes: Any) -> None:
        changes = {"tokens": 3, **changes}
        self.generation = replace(self.generation, text=self.generation.text + text, **changes)

    def end(self, ended: Any = "max tokens") -> None:
        self.generation = replace(self.generation, state="ready", ended=ended)

    def stop(self) -> None:
        if self.generation.state == "generating":
            self.end("stopped")

    def poll(self) -> GenerationStatus:
        return self.generation

    def loaded(self) -> None:
        return None

    def tokens(self) -> None:
        return None

    def close(self) -> None:
        pass


def on_transcript(pilot: Pilot[Any]) -> str:
    """Everything that the transcript draws."""
    return "\n".join(line.plain for line in pilot.app.screen.query_one(Transcript)._lines)


def on_screen(pilot: Pilot[Any]) -> str:
    """Every character on the screen."""
    screen = pilot.app.screen
    lines = screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


async def open_chat(pilot: Pilot[Any], generator: FakeGenerator | None = None) -> ChatScreen:
    app = pilot.app
    assert isinstance(app, SlmTuiApp)
    if generator is not None:
        app.open_chat(generator.facts.checkpoint)
    await app.switch_mode("chat")
    screen = app.screen
    assert isinstance(screen, ChatScreen)
    await pilot.pause()
    return screen


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeGenerator:
    generator = FakeGenerator()
    monkeypatch.setattr("slm_tui.tui.screens.chat.screen.GenerationThread", lambda *_: generator)
    return generator


async def type_line(pilot: Pilot[Any], line: str) -> None:
    """Type into the prompt, as a paste would, and press enter."""
    box = pilot.app.screen.query_one(PromptInput)
    box.focus()
    box.value = line
    await pilot.press("enter")
    await pilot.pause()


# A real model


async def test_a_real_model_continues_the_prompt_and_reports_figures() -> None:
    add_run("talker", checkpoints=[10, 20], best=10)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        await until(pilot, lambda: "talker @ 10 ★ best · continues text" in on_screen(pilot))
        await type_line(pilot, "/max 20")
        await type_line(pilot, "Once upon")
        await until(pilot, lambda: "UTF-8" in on_transcript(pilot))
        assert "Once upon" in on_transcript(pilot)
        assert "tokens ·" in on_transcript(pilot)
        assert not any(ord(char) < 32 for char in on_screen(pilot).replace("\n", ""))


async def test_a_checkpoint_passed_by_another_screen_is_loaded() -> None:
    add_run("newest", checkpoints=[10])
    other = add_run("other", checkpoints=[10, 20], best=20, created=5.0)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, SlmTuiApp)
        app.open_chat(other.checkpoints / "step-000010")
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.facts)
        assert screen.generation.facts is not None
        assert screen.generation.facts.run == other.id
        assert screen.generation.facts.step == 10
        await app.switch_mode("runs")
        app.open_run(other.path)
        await app.switch_mode("chat")
        await until(pilot, lambda: screen.generation.facts and screen.generation.facts.step == 20)


async def test_a_newer_checkpoint_is_offered_and_a_key_loads_it() -> None:
    preset = make_tiny()
    run = add_run("growing", preset=preset, checkpoints=[10])
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        assert not screen.query_one("#newer").display
        add_checkpoints(run, preset, [20])
        await until(pilot, lambda: screen.query_one("#newer").display)
        assert "F8" in on_screen(pilot)
        await pilot.press("f8")
        await until(pilot, lambda: screen.generation.facts and screen.generation.facts.step == 20)
        await until(pilot, lambda: not screen.query_one("#newer").display)


async def test_a_run_is_loaded_once_it_has_a_checkpoint() -> None:
    preset = make_tiny()
    run = add_run("young", preset=preset)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        app = screen.slm
        await app.switch_mode("runs")
        app.open_run(run.path)
        await app.switch_mode("chat")
        await until(pilot, lambda: screen.generation.state == "failed")
        assert on_transcript(pilot).count("no checkpoint") == 1
        add_checkpoints(run, preset, [10])
        await until(pilot, lambda: screen.generation.state == "ready")


async def test_the_picker_lists_all_checkpoints_and_loads_the_chosen_one() -> None:
    add_run("first", checkpoints=[10, 20], best=10)
    add_run("second", checkpoints=[30], created=5.0)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        await pilot.press("f7")
        picker = pilot.app.screen
        assert isinstance(picker, ModelPicker)
        await until(pilot, lambda: len(picker.query_one("#choices").rows) == 5)  # type: ignore[attr-defined]
        await pilot.press(*"second")
        await pilot.press("enter")
        await until(pilot, lambda: screen.generation.facts and screen.generation.facts.step == 30)


async def test_without_any_run_the_screen_names_the_keys_that_help() -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        assert "Press 1, choose a preset and press t." in on_screen(pilot)
        await type_line(pilot, "Once")
        assert isinstance(pilot.app.screen, Notice)


async def test_while_a_run_trains_its_checkpoint_comes_first() -> None:
    live = add_run("live", checkpoints=[10], created=5.0)
    add_run("newer", checkpoints=[20])

    class Training(NoWorkshop):
        def current_training(self) -> Any:
            return SimpleNamespace(run=live)

    async with SlmTuiApp(Training(), load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.facts)
        assert screen.generation.facts is not None
        assert screen.generation.facts.run == live.id


# Model output


async def test_hostile_text_is_shown_as_plain_symbols(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "[red]prompt[/red] \x1b[31m")
        for char in HOSTILE * 3:
            fake.write(char)
        await until(pilot, lambda: "漢字" in on_transcript(pilot))
        text = on_screen(pilot)
        assert "[bold]x[/bold]" in text
        assert "[red]prompt[/red]" in text
        assert "␛[2J" in text
        assert "NUL␀" in text
        assert not {"\x1b", "\x00", "\x07", "\x9b", "\t", "\r", "\u202e", "\ud83d"} & set(text)
        fake.end()
        await until(pilot, lambda: "max tokens" in on_transcript(pilot))


async def test_the_scrollbar_hides_no_text() -> None:
    add_run("talker", checkpoints=[10], best=10)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        transcript = screen.transcript
        entry = Entry(prompt="Once")
        transcript.add(entry)
        await pilot.pause()
        # All at once, as from a fast model between two polls.
        entry.text = "x" * 3000
        entry.ending = "end of text"
        transcript.grown(entry)
        await until(pilot, lambda: transcript.show_vertical_scrollbar)
        await pilot.pause(0.2)
        width = transcript.scrollable_content_region.width
        assert all(len(one.plain.rstrip()) <= width for one in transcript._lines)


async def test_scrolling_up_stops_following_new_text(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot, fake)
        await type_line(pilot, "Once")
        fake.write("\n".join(map(str, range(100))))
        transcript = screen.query_one(Transcript)
        await until(pilot, lambda: transcript.is_vertical_scroll_end and transcript.max_scroll_y)
        transcript.focus()
        await pilot.press("home")
        await until(pilot, lambda: transcript.scroll_y == 0)
        fake.write("\nmore\n" * 50)
        await until(pilot, lambda: on_transcript(pilot).count("more") == 50)
        assert transcript.scroll_y == 0
        transcript.scroll_end(animate=False)
        await until(pilot, lambda: transcript.is_vertical_scroll_end)
        fake.write("\nlast line")
        await until(pilot, lambda: "last line" in on_screen(pilot))


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(2, 40))
def test_wrapping_loses_no_character_and_fits(text: str, width: int) -> None:
    text = visible(text)
    spans = line_starts(text, width)
    joined = "".join(text[start:end] for start, end in spans)
    assert joined == text.replace("\n", "")
    for start, end in spans:
        assert "\n" not in text[start:end]
    if text.isascii():
        assert all(len(text[start:end].rstrip(" ")) <= width for start, end in spans)


@given(st.lists(st.text("ab \n", max_size=9), max_size=20), st.integers(2, 12))
def test_streamed_text_wraps_like_the_whole(pieces: list[str], width: int) -> None:
    from slm_tui.tui.screens.chat.transcript import Entry, _Drawn

    entry = Entry(prompt="p q")
    drawn = _Drawn(entry, width)
    for piece in pieces:
        entry.text += piece
        drawn.update()
    whole = _Drawn(Entry(prompt="p q", text="".join(pieces)), width)
    assert [line.plain for line in drawn.lines] == [line.plain for line in whole.lines]


# Keys


async def test_escape_stops_at_once_and_the_text_stays(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "Once")
        fake.write(" there was")
        await until(pilot, lambda: "there was" in on_transcript(pilot))
        await pilot.press("escape")
        assert fake.generation.state == "ready"
        await until(pilot, lambda: "stopped" in on_transcript(pilot))
        assert "Once there was" in on_transcript(pilot)
        assert pilot.app.screen.query_one(PromptInput).has_focus


async def test_an_empty_prompt_continues_the_last_completion(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "Once")
        fake.write(" upon")
        await until(pilot, lambda: "Once upon" in on_transcript(pilot))
        fake.end()
        await until(pilot, lambda: "max tokens" in on_transcript(pilot))
        await type_line(pilot, "")
        assert fake.asked[-1][:2] == ("continue", "Once upon")
        fake.write(" a time")
        await until(pilot, lambda: "Once upon a time" in on_transcript(pilot))
        fake.end("end of text")
        await until(pilot, lambda: "6 tokens" in on_transcript(pilot))
        await type_line(pilot, "")
        assert fake.asked[-1][:2] == ("complete", "")


async def test_arrows_recall_earlier_lines(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot, fake)
        box = screen.query_one(PromptInput)
        await type_line(pilot, "first")
        await type_line(pilot, "second")
        box.value = "draft"
        await pilot.press("up", "up", "up")
        assert box.value == "first"
        await pilot.press("down", "down")
        assert box.value == "draft"


async def test_a_backslash_n_is_a_line_break(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "ROMEO:\\n")
        assert fake.asked[-1][1] == "ROMEO:\n"


async def test_letters_change_settings_outside_the_input(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot, fake)
        await pilot.press("t")
        assert screen.query_one(PromptInput).value == "t"
        await pilot.press("escape", "T", "k", "p", "s")
        sampling = screen.settings.sampling
        assert (sampling.temperature, sampling.seed) == (0.9, 8)
        assert sampling.top_k == 500
        assert sampling.top_p == 0.98
        await pilot.press("g")
        assert screen.settings.is_greedy
        await pilot.press("g")
        assert screen.settings.sampling.temperature == 0.9
        await pilot.press("i")
        assert screen.query_one(PromptInput).has_focus


async def test_samples_are_generated_in_turn_each_with_its_seed(
    fake: FakeGenerator,
) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "/samples 3")
        await type_line(pilot, "Once")
        for number in range(3):
            await until(pilot, lambda number=number: len(fake.asked) == number + 1)  # type: ignore[misc]
            fake.write(f" text {number}")
            fake.end()
        await until(pilot, lambda: "text 2" in on_transcript(pilot))
        assert [settings.seed for _, _, settings in fake.asked] == [7, 8, 9]
        assert all(f"text {number}" in on_transcript(pilot) for number in range(3))


async def test_copy_takes_the_last_completion_unchanged(fake: FakeGenerator, home: Path) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "Once")
        fake.write("a\tb [bold]")
        await until(pilot, lambda: "[bold]" in on_transcript(pilot))
        fake.end()
        await pilot.press("escape", "escape", "c")
        await pilot.pause()
        assert (home / "data" / "clipboard.txt").read_text() == "a\tb [bold]"


# Commands


async def test_save_writes_the_conversation_but_never_overwrites(
    fake: FakeGenerator, tmp_path: Path
) -> None:
    target = tmp_path / "talk.txt"
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "Once")
        fake.write(" upon \ud83d\x00")
        await until(pilot, lambda: " upon" in on_transcript(pilot))
        fake.end()
        await type_line(pilot, f"/save {target}")
        assert "Once upon" in target.read_text()
        target.write_text("mine")
        await type_line(pilot, f"/save {target}")
        assert "already exists" in on_transcript(pilot)
        assert target.read_text() == "mine"


async def test_help_lists_every_command(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "/help")
        reading = pilot.app.screen
        assert isinstance(reading, TextDialog)
        text = "\n".join(line.plain for line in reading.lines)
        assert all(f"/{name}" in text for name in COMMANDS)


async def test_an_invalid_command_shows_what_is_valid(fake: FakeGenerator) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "/tmep 0.5")
        assert "did you mean /temp?" in on_transcript(pilot)
        await type_line(pilot, "/model nothing@7")
        assert "✗ there is no run" in on_transcript(pilot) or "still being loaded" in on_transcript(
            pilot
        )
        await type_line(pilot, "Once")
        assert fake.asked[-1][1] == "Once"


async def test_quit_leaves_the_app(fake: FakeGenerator) -> None:
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, fake)
        await type_line(pilot, "/quit")
        await until(pilot, lambda: app._exit)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("/temp 0.5", "temperature", 0.5),
        ("/topk 40", "top_k", 40),
        ("/topk off", "top_k", None),
        ("/topp 0.9", "top_p", 0.9),
        ("/rep 1.2", "repetition_penalty", 1.2),
        ("/max 50", "max_tokens", 50),
        ("/seed 11", "seed", 11),
        ("/greedy", "temperature", 0.0),
    ],
)
def test_a_command_sets_its_setting(line: str, field: str, value: object) -> None:
    done = commands.run(line, PLAIN)
    assert getattr(done.settings.sampling, field) == value
    assert done.note


def test_sample_restores_the_temperature_before_greedy() -> None:
    warm = commands.run("/temp 1.3", PLAIN).settings
    greedy = commands.run("/greedy", warm).settings
    assert commands.run("/sample", greedy).settings.sampling.temperature == 1.3


@pytest.mark.parametrize(
    "line",
    [
        *("/temp hot", "/temp 99", "/temp nan", "/topk 0", "/topk 1.5", "/topp 2", "/topp 0"),
        *("/rep 0.5", "/max 0", "/seed -1", "/samples 0", "/samples many", "/save", "/", "/foo"),
        "/max 99999999999999999999",
    ],
)
def test_a_value_out_of_range_is_refused_with_a_reason(line: str) -> None:
    with pytest.raises(GenerationError) as refused:
        commands.run(line, PLAIN)
    assert refused.value.why or refused.value.remedy


@given(st.text(max_size=40))
def test_commands_accept_any_line_without_crashing(line: str) -> None:
    with contextlib.suppress(GenerationError):
        commands.run("/" + line, PLAIN)


@given(st.lists(st.sampled_from(["temperature", "top_k", "top_p"]), max_size=40), st.data())
def test_nudging_stays_in_range(names: list[str], data: st.DataObject) -> None:
    settings = PLAIN
    for name in names:
        settings = settings.nudged(name, data.draw(st.sampled_from([-1, 1])))
    assert Sampling.model_validate(settings.sampling.model_dump()) == settings.sampling


# Sizes


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_footer_settings_and_input(
    fake: FakeGenerator, size: tuple[int, int]
) -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=size) as pilot:
        await open_chat(pilot, fake)
        await until(pilot, lambda: "continues text" in on_screen(pilot))
        lines = on_screen(pilot).split("\n")
        footer = pilot.app.screen.query_one(KeyFooter)
        assert [one.label for one in footer.places][-1] == "Help"
        assert all(one.label in lines[-1] for one in footer.places)
        text = "\n".join(lines)
        assert "T 0.80" in text or "temperature 0.80" in text
        box = pilot.app.screen.query_one(PromptInput)
        assert box.region.bottom < size[1]
        assert box.region.width > 20


# Saved conversations


async def _say(pilot: Pilot[Any], line: str, endings: int) -> None:
    """Type a prompt and wait until `endings` texts have ended."""
    await type_line(pilot, line)
    await until(pilot, lambda: on_transcript(pilot).count("UTF-8") == endings)


async def test_each_run_shows_its_own_conversation_even_after_a_restart() -> None:
    one = add_run("one", checkpoints=[10])
    two = add_run("two", checkpoints=[10], created=5.0)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        await type_line(pilot, "/max 8")
        await _say(pilot, "a first prompt\\nin two lines", 1)
        await _say(pilot, "a second prompt", 2)
        screen.load(two.path)
        await until(pilot, lambda: screen.generation.state == "ready")
        assert "first prompt" not in on_transcript(pilot)
        await _say(pilot, "to the other", 1)
        screen.load(one.path)
        assert on_transcript(pilot).startswith("earlier")
        assert "second prompt" in on_transcript(pilot)
        assert "to the other" not in on_transcript(pilot)
    assert [exchanges.prompt for exchanges in conversation.read(two.path)] == ["to the other"]
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        assert on_transcript(pilot).startswith("earlier")
        assert "in two lines" in on_transcript(pilot)
        assert "max 8" in on_transcript(pilot)
        box = screen.query_one(PromptInput)
        await pilot.press("up", "up")
        assert box.value == "a first prompt\\nin two lines"
        await until(pilot, lambda: screen.generation.state == "ready")
        await type_line(pilot, "/max 8")
        # A continued completion is saved once, as a whole.
        await _say(pilot, "a third", 3)
        newest = conversation.read(one.path)[-1]
        await type_line(pilot, "")
        await until(pilot, lambda: len(conversation.read(one.path)[-1].text) > len(newest.text))
        exchanges = conversation.read(one.path)
        assert [one.prompt for one in exchanges][-1:] == ["a third"]
        assert len(exchanges) == 3
        assert (exchanges[-1].tokens, exchanges[-1].id, exchanges[-1].seed) == (
            16,
            newest.id,
            newest.seed,
        )


async def test_an_unwritable_run_is_reported_once_and_chat_continues() -> None:
    run = add_run("fixed", checkpoints=[10])
    (run.path / conversation.FILE).mkdir()  # root may write in any directory
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        await type_line(pilot, "/max 8")
        await _say(pilot, "one", 1)
        await _say(pilot, "two", 2)
        assert on_transcript(pilot).count("cannot be saved") == 1


async def test_history_counts_and_deletes_only_on_request() -> None:
    run = add_run("kept", checkpoints=[10])
    conversation.append(run.path, Exchange("Once", " upon", 10, 7, "stopped"))
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await type_line(pilot, "/history")
        assert "1 completion since" in on_transcript(pilot)
        await type_line(pilot, "/history clear")
        await pilot.press("enter")  # the default is to keep it
        await pilot.pause()
        assert len(conversation.read(run.path)) == 1
        await type_line(pilot, "/history clear")
        await pilot.press("down", "enter")
        await until(pilot, lambda: not conversation.read(run.path))
        assert "Once" not in on_transcript(pilot)
        await type_line(pilot, "/history")
        assert "no saved chats" in on_transcript(pilot)
        await type_line(pilot, "/history off")
        assert "is invalid" in on_transcript(pilot)


async def test_json_lines_are_saved_with_all_settings(tmp_path: Path) -> None:
    run = add_run("kept", checkpoints=[10])
    exchange = Exchange("Once", " upon \ud83d", 10, 7, "stopped", {"temperature": 0.5})
    conversation.append(run.path, exchange)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        await type_line(pilot, f"/save {tmp_path / 'talk.jsonl'}")
    assert (tmp_path / "talk.jsonl").read_text() == exchange.line()


async def test_saved_hostile_text_is_shown_as_plain_symbols() -> None:
    run = add_run("kept", checkpoints=[10])
    wrong = Exchange(HOSTILE, HOSTILE, 10, 7, HOSTILE, {"stop": [HOSTILE], "temperature": "hot"})
    conversation.append(run.path, wrong)
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot)
        text = on_screen(pilot)
        assert "[bold]x[/bold]" in text
        assert not {"\x1b", "\x00", "\x07", "\x9b", "\t", "\r", "\u202e", "\ud83d"} & set(text)


def test_stop_strings_are_added_shown_and_removed() -> None:
    settings = commands.run("/stop The end", PLAIN).settings
    done = commands.run("/stop \\n\\n", settings)
    assert done.settings.sampling.stop == ("The end", "\n\n")
    assert "“The end” “↵↵”" in done.note
    assert "stop “The end” “↵↵”" in done.settings.short()
    assert "The end" in commands.run("/stop", settings).note
    assert commands.run("/stop off", settings).settings.sampling.stop == ()
    full = PLAIN.changed(stop=tuple(map(str, range(16))))
    with pytest.raises(GenerationError):
        commands.run("/stop one more", full)


async def test_a_text_ends_before_a_stop_string() -> None:
    add_run("talker", checkpoints=[10])
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        screen = await open_chat(pilot)
        await until(pilot, lambda: screen.generation.state == "ready")
        await type_line(pilot, "/max 40")
        await _say(pilot, "Once", 1)
        whole = screen.transcript.entries[-1].text
        # A character that first occurs in the middle of the text.
        at = next(at for at in range(10, len(whole)) if whole.index(whole[at]) == at)
        screen.change(screen.settings.changed(stop=(whole[at],)))
        await _say(pilot, "Once", 2)
        assert screen.transcript.entries[-1].text == whole[:at]
        assert "stop string" in on_transcript(pilot)


@pytest.mark.parametrize(("most", "shown"), [(128, "128/128"), (None, "200")])
def test_a_recurrent_model_has_no_limit_of_context(most: int | None, shown: str) -> None:
    generator = FakeGenerator()
    facts = replace(generator.facts, context=most)
    status = GenerationStatus("ready", context=200, facts=facts)
    assert context(status) == shown
    lines = [line.plain for line in fact_lines(facts, status, "it", 60)]
    assert any(f"{shown} tokens" in line for line in lines)
    assert any("no limit" in line for line in lines) == (most is None)
