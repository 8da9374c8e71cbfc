"""The Presets screen: choosing, editing, the budget, saving, and starting a run."""

import contextlib
import stat
from pathlib import Path

import pytest
from textual.command import CommandList
from textual.widgets import Input

from slm_tui import paths
from slm_tui.config import library, overrides
from slm_tui.config.drafts import Draft, spelled
from slm_tui.config.estimate import Calibration
from slm_tui.config.preset import from_file
from slm_tui.tui import dialogs
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.widgets.budget import Budget
from slm_tui.tui.widgets.line_list import LineList
from tests import extent
from tests.tui.made_runs import until
from tests.tui.two_presets import MINE, Recorder, an_app, draft, enter, room


@pytest.fixture(autouse=True)
def home(two_presets: Path) -> Path:
    return two_presets


def on_screen(app: SlmTuiApp) -> str:
    """All text on the screen as drawn, line by line."""
    lines = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def help_text(app: SlmTuiApp) -> str:
    return str(room(app).query_one("#setting-help").render())


def budget_text(app: SlmTuiApp) -> str:
    return str(room(app).query_one(Budget).render())


# Choosing


async def test_the_default_preset_is_selected_and_user_presets_come_first() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)):
        screen = room(app)
        assert screen.presets.key == "stories-tiny"
        keys = [row.key for row in screen.presets.rows]
        assert keys == ["#yours", "mine", "#stories", "stories-tiny"]
        assert "★" in on_screen(app)


async def test_the_filter_shows_matches_and_escape_clears_it() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("/", *"min", "enter")
        screen = room(app)
        assert [row.key for row in screen.presets.rows if row.selectable] == ["mine"]
        assert screen.draft is not None
        assert screen.draft.name == "mine"
        await pilot.press("escape")
        assert len([row for row in screen.presets.rows if row.selectable]) == 2


async def test_slash_in_the_form_filters_settings() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter", "/", *"beta", "enter")
        keys = [row.key for row in room(app).form.properties.rows]
        assert [key for key in keys if not key.startswith("+")] == [
            "optimizer.beta1",
            "optimizer.beta2",
        ]
        await pilot.press("escape")
        assert len(room(app).form.properties.rows) > 20


async def test_preset_text_is_neither_markup_nor_a_terminal_command() -> None:
    app = an_app()
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.pause()
        shown = on_screen(app)
        assert "[red]My[/red] own" in shown
        assert "[bold]words[/bold] ␛[31m" in shown
        assert "\x1b[31m and" not in shown


async def test_a_broken_file_is_listed_with_its_error_and_cannot_train(home: Path) -> None:
    (home / "config" / "presets" / "bad.toml").write_text("name = 'bad")
    workshop = Recorder()
    app = an_app(workshop)
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("bad")
        await pilot.pause()
        rows = room(app).form.properties.rows
        assert "not valid TOML" in " ".join(row.content.plain for row in rows)
        assert "E opens the file" in help_text(app)
        assert "bad ✗" in on_screen(app)
        await pilot.press("t")
        assert isinstance(app.screen, dialogs.Notice)
        assert workshop.trained == []


async def test_an_empty_library_names_the_key_that_helps(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "builtin_presets_dir", lambda: home / "nothing")
    (home / "config" / "presets" / "mine.toml").unlink()
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "No presets. Press n to create one." in on_screen(app)
        for key in ("t", "S", "D", "u", "=", "E", "c", "enter", "left"):
            await pilot.press(key)
        await pilot.press("n", "enter")
        await pilot.pause()
        assert room(app).presets.key == "my-preset"


# Editing


async def test_enter_edits_and_arrows_nudge() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        assert overrides.get(draft(app).values, "model.n_layer") == 7
        await pilot.press("right", "right", "left")
        assert overrides.get(draft(app).values, "model.n_layer") == 8
        assert "n_layer" in on_screen(app)
        assert "●" in on_screen(app)


async def test_the_input_covers_its_row_even_after_scrolling() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        form = room(app).form
        form.properties.focus()
        form.properties.reveal("training.seed")
        await pilot.press("enter")
        for _ in range(2):
            await pilot.pause()
            box, rows = app.screen.query_one("#edit"), form.properties
            row = rows.region.y + rows.cursor - rows.scroll_offset.y
            assert box.region.y == row
            assert box.region.x == rows.region.x + rows.value_place[0]
            rows.scroll_relative(y=-2, animate=False, force=True)


async def test_leaving_an_edit_with_a_click_keeps_the_input() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        form = room(app).form
        form.properties.focus()
        form.properties.reveal("model.n_layer")
        await pilot.press("enter", "9")
        await pilot.click("#presets", offset=(3, 1))
        await pilot.pause()
        assert app.focused is room(app).presets
        mine, tiny = (room(app).drafts.of(entry) for entry in library.entries())
        assert mine is not None
        assert tiny is not None
        assert (draft(app).name, mine.is_changed) == ("mine", False)
        assert overrides.get(tiny.values, "model.n_layer") == 9


async def test_the_palette_runs_an_action_of_this_screen_and_finds_presets() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+p", *"changes from")
        commands = app.screen.query_one(CommandList)
        await until(
            pilot,
            lambda: commands.option_count and "Diff" in str(commands.options[0].prompt),
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, dialogs.TextDialog))
        await pilot.press("escape")
        app.show_preset("mine")
        await pilot.pause()
        assert draft(app).name == "mine"


async def test_escape_leaves_an_edit_without_change() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = room(app)
        screen.form.properties.focus()
        screen.form.properties.reveal("model.n_layer")
        await pilot.press("enter", "9", "escape")
        await pilot.pause()
        assert not draft(app).is_changed
        assert not screen.form.is_editing
        await pilot.press("escape")
        assert app.focused is screen.presets


async def test_switches_flip_and_choices_are_shown() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = room(app)
        screen.form.properties.focus()
        screen.form.properties.reveal("model.bias")
        await pilot.press("right")
        assert overrides.get(draft(app).values, "model.bias") is False
        screen.form.properties.reveal("schedule.kind")
        await pilot.press("right")
        assert overrides.get(draft(app).values, "schedule.kind") != "cosine"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Question)
        listed = app.screen.query_one(LineList)
        assert [row.key for row in listed.rows] == ["constant", "linear", "cosine", "wsd"]
        assert listed.key == overrides.get(draft(app).values, "schedule.kind")
        listed.select("wsd")
        await pilot.press("enter")
        await pilot.pause()
        assert overrides.get(draft(app).values, "schedule.kind") == "wsd"


async def test_left_goes_back_to_the_list_right_after_entering_the_form() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = room(app)
        await pilot.press("right", "left")
        assert screen.focused is screen.presets
        assert not draft(app).is_changed
        # Once something was changed, it nudges.
        await pilot.press("right", "down", "down", "right", "left", "left")
        assert screen.focused is screen.form.properties
        assert draft(app).is_changed


async def test_a_digit_edits_a_number_and_is_a_key_of_the_app_elsewhere() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = room(app)
        screen.form.properties.focus()
        screen.form.properties.reveal("training.max_steps")
        await pilot.press("2", "5", "0", "enter")
        assert overrides.get(draft(app).values, "training.max_steps") == 250
        screen.form.properties.reveal("schedule.kind")
        await pilot.press("3")
        await pilot.pause()
        assert app.current_mode == "runs"


async def test_columns_have_titles_and_defaults_show_only_where_they_differ() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        properties = room(app).form.properties
        width = properties.scrollable_content_region.width
        first = properties.draw_row(properties.rows[0], 0, width).plain
        assert "value" in first
        assert "default" in first
        properties.focus()
        properties.reveal("model.n_layer")
        at = next(i for i, row in enumerate(properties.rows) if row.key == "model.n_layer")
        before = properties.draw_row(properties.rows[at], at, width).plain.split()
        await pilot.press("right")
        after = properties.draw_row(properties.rows[at], at, width).plain.split()
        default = str(draft(app).default(properties.setting))  # type: ignore[arg-type]
        assert len(after) > len(before)
        assert default in after


async def test_an_invalid_value_stays_with_its_error_and_blocks_training() -> None:
    workshop = Recorder()
    app = an_app(workshop)
    async with app.run_test(size=(120, 40)) as pilot:
        await enter(pilot, "model.n_head", "5")
        shown = on_screen(app)
        assert "5" in shown
        assert "✗ 128 is not divisible by 5; try 4 or 8" in shown
        assert "params        –" in budget_text(app)
        await pilot.press("escape", "t")
        await pilot.pause()
        assert workshop.trained == []
        assert app.current_mode == "presets"
        assert room(app).form.properties.key == "model.n_head"
        assert "try 4 or 8" in help_text(app)
        await pilot.press("left", "t")
        await pilot.pause()
        assert len(workshop.trained) == 1


@extent.sample(3)
@pytest.mark.parametrize("text", ["many", "-3", "1e99", "[1]", "true", "[bold]"])
async def test_any_nonsense_stays_visible_as_an_error(text: str) -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await enter(pilot, "model.n_layer", text)
        assert "model.n_layer" in draft(app).problems
        await pilot.press("right")
        await pilot.press("u", "u", "u")
        assert draft(app).problems == {}


async def test_undo_reverts_edits_one_by_one_and_goes_to_them() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await enter(pilot, "training.seed", "1")
        await pilot.press("u")
        assert room(app).form.properties.key == "training.seed"
        assert overrides.get(draft(app).values, "training.seed") == 42
        assert overrides.get(draft(app).values, "model.n_layer") == 7
        await pilot.press("u")
        assert not draft(app).is_changed
        await pilot.press("u")
        assert "nothing to undo" in help_text(app)


@pytest.mark.parametrize("key", ["backspace", "delete"])
async def test_backspace_resets_to_the_base_preset(key: str) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        room(app).form.properties.focus()
        room(app).form.properties.reveal("model.n_layer")
        await pilot.press(key)
        assert overrides.get(draft(app).values, "model.n_layer") == 4


async def test_edits_are_kept_and_marked_while_another_preset_is_shown() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("escape", "up")
        assert draft(app).name == "mine"
        await pilot.press("f3", "f2", "down")
        await pilot.pause()
        assert overrides.get(draft(app).values, "model.n_layer") == 7
        assert "stories-tiny ● ★" in on_screen(app)


async def test_another_kind_brings_its_own_settings() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = room(app)
        screen.form.properties.focus()
        screen.form.properties.reveal("data.kind")
        await pilot.press("right")
        keys = [row.key for row in screen.form.properties.rows]
        assert "data.path" in keys
        assert "data.richness" not in keys
        assert screen.form.properties.key == "data.kind"
        assert "name a text file" in str(draft(app).problems["data.path"])
        screen.form.properties.reveal("tokenizer.kind")
        await pilot.press("left")
        assert "tokenizer.vocab_size" not in [row.key for row in screen.form.properties.rows]
        await pilot.press("u", "u")
        assert not draft(app).is_changed


async def test_a_wrong_path_is_an_error_with_the_nearest_file_as_hint(tmp_path: Path) -> None:
    (tmp_path / "shakespeare.txt").write_text("To be, or not to be. " * 2000)
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        room(app).form.properties.focus()
        room(app).form.properties.reveal("data.kind")
        await pilot.press("right")
        await enter(pilot, "data.path", "shakespear.txt")
        assert "no such file; try shakespeare.txt" in on_screen(app)
        await enter(pilot, "data.path", "shakespeare.txt")
        assert draft(app).can_train
        await pilot.press("t")


async def test_collapsed_settings_expand_when_they_are_invalid() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        draft(app).put("sampling.temperature", -1)
        room(app).show_draft()
        assert "sampling.temperature" not in [row.key for row in room(app).form.properties.rows]
        await pilot.press("t")
        await pilot.pause()
        assert room(app).form.properties.key == "sampling.temperature"


# The budget


async def test_the_budget_follows_every_edit() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        before = budget_text(app)
        assert "params" in before
        assert "not measured yet" in before
        await enter(pilot, "model.n_layer", "12")
        assert budget_text(app) != before
        app.calibration = Calibration("cpu", 1e10, 1e-4)
        room(app).refresh_room()
        assert "~" in budget_text(app).split("time")[-1]


async def test_unwise_settings_give_warnings() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await enter(pilot, "training.early_stop_patience", "5000")
        await enter(pilot, "model.n_embd", "512")
        text = budget_text(app)
        assert "has no effect" in text
        assert "tokens/param" in text
        assert "▲" in text


async def test_a_preset_that_takes_days_says_so() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        assert "days" not in budget_text(app)
        await enter(pilot, "training.max_steps", "100000000")
        assert "on this CPU: meant for a GPU" in budget_text(app)
        app.calibration = Calibration("cpu", 1e9, 1e-4)
        room(app).refresh_room()
        assert "days on this machine" in budget_text(app)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (100, 32), (120, 40), (200, 60)])
async def test_every_size_shows_list_form_budget_and_help(size: tuple[int, int]) -> None:
    app = an_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        shown = on_screen(app)
        for part in ("stories-tiny", "data", "Where the text comes from", "params", "? Help"):
            assert part in shown, part
        for name in ("#list", "#form", "#budget-pane"):
            region = app.screen.query_one(name).region
            assert region.width > 15
            assert region.right <= size[0]
            assert region.bottom <= size[1] - 1


async def test_the_sides_can_be_hidden() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        width = room(app).form.size.width
        await pilot.press("[")
        await pilot.pause()
        assert room(app).form.size.width > width + 15
        height = room(app).form.size.height
        await pilot.press("]")
        await pilot.pause()
        assert room(app).form.size.height > height


# The difference, the command, the editor


async def test_the_difference_from_the_base_is_shown() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await pilot.press("=")
        assert isinstance(app.screen, dialogs.TextDialog)
        lines = [line.plain.split() for line in app.screen.lines]
        assert ["model.n_layer", "4", "→", "2"] in lines


async def test_the_copied_command_gives_the_same_preset() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await enter(pilot, "schedule.warmup_steps", "20")
        await enter(pilot, "sampling.prompts", '["one, two", "it\'s"]')
        await pilot.press("c")
        import shlex

        words = shlex.split(app.clipboard)
        assert words[:3] == ["slm-tui", "train", "stories-tiny"]
        base = library.builtin("stories-tiny")
        assert base is not None
        preset = overrides.apply(base, words[4::2])
        assert set(words[3::2]) == {"--set"}
        assert preset.to_dict() == draft(app).values


def an_editor(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "editor.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("VISUAL", str(path))
    # The headless driver cannot suspend the app.
    monkeypatch.setattr(SlmTuiApp, "suspend", lambda self: contextlib.nullcontext())


async def test_the_editor_gets_the_toml_and_its_result_is_one_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_editor(
        tmp_path, 'sed -i "s/n_layer = 4/n_layer = 9/; s/seed = 42/seed = 3/" "$1"', monkeypatch
    )
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("E")
        assert overrides.get(draft(app).values, "model.n_layer") == 9
        assert overrides.get(draft(app).values, "training.seed") == 3
        await pilot.press("u")
        assert not draft(app).is_changed


async def test_an_invalid_text_can_be_edited_again_without_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first edit breaks the text; the second gets the broken text and fixes it.
    script = 'if grep -q "= oops" "$1"; then sed -i "s/= oops/= 6/" "$1"; '
    script += 'else sed -i "s/n_layer = 4/n_layer = oops/" "$1"; fi'
    an_editor(tmp_path, script, monkeypatch)
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("E")
        assert isinstance(app.screen, dialogs.Question)
        await pilot.press("enter")
        await pilot.pause()
        assert overrides.get(draft(app).values, "model.n_layer") == 6


async def test_invalid_values_from_the_editor_can_be_fixed_in_the_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_editor(tmp_path, 'sed -i "s/n_head = 4/n_head = 5/" "$1"', monkeypatch)
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("E")
        await pilot.press("down", "enter")
        await pilot.pause()
        assert "model.n_head" in draft(app).problems


async def test_a_broken_file_can_be_repaired_with_the_editor(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config" / "presets" / "bad.toml").write_text("name = 'bad")
    an_editor(tmp_path, 'printf \'name = "bad"\\n\' > "$1"', monkeypatch)
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("bad")
        await pilot.pause()
        await pilot.press("E")
        await pilot.pause()
        assert draft(app).name == "bad"
        assert from_file(home / "config" / "presets" / "bad.toml").name == "bad"


@pytest.mark.parametrize(
    ("editor", "message"),
    [("", "no editor"), ("/no/such/editor", "cannot be started"), ("'", "$VISUAL")],
)
async def test_without_a_working_editor_a_notice_shows_what_to_do(
    editor: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(SlmTuiApp, "suspend", lambda self: contextlib.nullcontext())
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("E")
        assert isinstance(app.screen, dialogs.Notice)
        assert message in str(app.screen.error)


# Training and the library


async def test_an_edited_built_in_preset_trains_unsaved_under_a_new_name(home: Path) -> None:
    workshop = Recorder()
    app = an_app(workshop)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await pilot.pause()
        assert app.current_mode == "train"
        await pilot.press("1")
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("t")
        await pilot.pause()
    assert [preset.name for preset in workshop.trained] == ["stories-tiny", "my-stories-tiny"]
    edited = workshop.trained[1]
    assert (edited.base, edited.to_dict()["model"]["n_layer"]) == ("stories-tiny", 7)
    assert not (home / "config" / "presets" / "my-stories-tiny.toml").exists()


async def test_saving_a_built_in_preset_asks_for_an_unused_name(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("S")
        box = app.screen.query_one(Input)
        assert box.value == "my-stories-tiny"
        box.value = "mine"
        await pilot.press("enter")
        assert isinstance(app.screen, dialogs.Ask)
        box.value = "seven"
        await pilot.press("enter")
        await pilot.pause()
        assert room(app).presets.key == "seven"
        assert not draft(app).is_changed
        saved = from_file(home / "config" / "presets" / "seven.toml")
        assert (saved.base, saved.group, saved.to_dict()["model"]["n_layer"]) == (
            "stories-tiny",
            "mine",
            7,
        )
        room(app).choose("stories-tiny")
        assert not draft(app).is_changed


async def test_a_user_preset_is_saved_in_place(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await enter(pilot, "model.n_layer", "9")
        await pilot.press("S")
        await pilot.pause()
        assert not draft(app).is_changed
    assert from_file(home / "config" / "presets" / "mine.toml").to_dict()["model"]["n_layer"] == 9


async def test_an_invalid_preset_is_not_saved(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        room(app).choose("mine")
        await pilot.pause()
        await enter(pilot, "model.n_head", "5")
        await pilot.press("S")
        await pilot.pause()
        assert room(app).form.properties.key == "model.n_head"
    assert (home / "config" / "presets" / "mine.toml").read_text() == MINE


async def test_a_built_in_preset_cannot_be_deleted() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("D")
        assert "is built in" in help_text(app)
        assert library.find("stories-tiny") is not None


async def test_new_creates_a_copy_with_the_edits(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot, "model.n_layer", "7")
        await pilot.press("n", "enter")
        await pilot.pause()
        assert room(app).presets.key == "my-stories-tiny"
    copy = from_file(home / "config" / "presets" / "my-stories-tiny.toml")
    assert copy.to_dict()["model"]["n_layer"] == 7


# Drafts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0.001, "0.001"),
        (1e-08, "1e-08"),
        (2.0, "2.0"),
        ([64, 96], "[64, 96]"),
        (["a\nb", 'c"'], '["a\\nb", "c\\""]'),
        ([[1, 0, 1], [3]], "[[1, 0, 1], [3]]"),
    ],
)
def test_a_value_parses_from_its_displayed_text(value: object, text: str) -> None:
    assert spelled(value) == text
    assert overrides.read_value(text) == value


def test_every_setting_survives_being_opened_and_accepted_unchanged() -> None:
    preset = library.builtin("stories-tiny")
    assert preset is not None
    one = Draft(preset, builtin=True)
    for setting in one.settings():
        one.put_text(setting, spelled(one.value(setting)))
        assert one.problems == {}, setting.path
    assert one.preset == preset


async def test_choosing_a_kind_again_restores_its_settings() -> None:
    draft = Draft(library.get("stories-tiny"), builtin=True)
    before = draft.values["data"]
    draft.put("data.kind", "file")
    draft.put("data.path", "plays.txt")
    for kind in ("directory", "huggingface", "stories"):
        draft.put("data.kind", kind)
    assert draft.values["data"] == before
    draft.put("data.kind", "file")
    assert draft.values["data"]["path"] == "plays.txt"
