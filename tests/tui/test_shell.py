"""The shell: keys, footer, status line, dialogs, themes, and how the app starts and ends."""

from pathlib import Path

import pytest
from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import clock, count, duration, size
from slm_tui.live.workshop import LiveStatus, NoWorkshop
from slm_tui.tui import actions, dialogs, keymap
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.screens.help.screen import HelpScreen
from slm_tui.tui.widgets.key_footer import MOST_KEYS, KeyFooter, footer_keys
from slm_tui.tui.widgets.line_list import LineList, Row
from slm_tui.tui.widgets.status_line import StatusLine, status_content
from slm_tui.tui.widgets.tab_line import TabLine
from tests import extent

SIZES = extent.sizes([(60, 20), (66, 20), (80, 24), (99, 40), (100, 40), (160, 40), (200, 60)])
LIVE = LiveStatus("stories-tiny", "training", 1840, 5000, 132.0, 41_300.0, "▲ overfitting")


class Busy(NoWorkshop):
    """A workshop with a live run, as the app sees it."""

    is_training = True

    def __init__(self) -> None:
        super().__init__()
        self.live: LiveStatus | None = LIVE
        self.quit_with: list[str] = []
        self.trained: list[Preset] = []

    def live_status(self) -> LiveStatus | None:
        return self.live

    def train(self, preset: Preset, **_: object) -> None:
        self.trained.append(preset)

    def request_quit(self, choice: str) -> None:
        self.quit_with.append(choice)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


def an_app(workshop: Busy | None = None) -> SlmTuiApp:
    return SlmTuiApp(workshop=workshop, load_torch=False)


def room_classes() -> list[type[RoomScreen]]:
    from slm_tui.tui.screens.chat.screen import ChatScreen
    from slm_tui.tui.screens.data.screen import DataScreen
    from slm_tui.tui.screens.presets.screen import PresetsScreen
    from slm_tui.tui.screens.runs.screen import RunsScreen
    from slm_tui.tui.screens.train.screen import TrainScreen

    return [PresetsScreen, TrainScreen, RunsScreen, ChatScreen, DataScreen]


def written(widget: object) -> str:
    return str(widget.render())  # type: ignore[attr-defined]


# Keys


def test_every_key_in_the_table_works_in_tmux_and_over_ssh() -> None:
    for action in actions.ACTIONS:
        for key in action.keys:
            assert keymap.allowed(key), f"{action.id} uses {key}"


@pytest.mark.parametrize("key", ["ctrl+h", "ctrl+i", "ctrl+m", "ctrl+enter", "alt+x", "shift+up"])
def test_keys_that_terminals_turn_into_others_are_refused(key: str) -> None:
    assert not keymap.allowed(key)


def test_every_binding_of_every_screen_dialog_and_widget_is_allowed() -> None:
    room_classes()
    ours = [cls for cls in _all_subclasses(object) if cls.__module__.startswith("slm_tui.tui")]
    keys = [
        (cls.__name__, key)
        for cls in ours
        for binding in cls.__dict__.get("BINDINGS", [])
        for key in (binding.key if isinstance(binding, Binding) else binding[0]).split(",")
    ]
    assert len(keys) > 30
    assert [(name, key) for name, key in keys if not keymap.allowed(key)] == []


def _all_subclasses(cls: type) -> list[type]:
    result = {"": cls}
    waiting = [App, RoomScreen, dialogs.Dialog, LineList, StatusLine, TabLine, KeyFooter, Input]
    while waiting:
        one = waiting.pop()
        result[f"{one.__module__}.{one.__qualname__}"] = one
        waiting += one.__subclasses__()
    return list(result.values())


def test_no_two_actions_of_a_screen_share_a_key() -> None:
    assert keymap.clashes({action.id: action.key for action in actions.ACTIONS}) == []


def test_action_ids_are_unique_and_name_their_screen() -> None:
    assert len({action.id for action in actions.ACTIONS}) == len(actions.ACTIONS)
    for action in actions.ACTIONS:
        prefix = "app" if action.screen == "all" else action.screen
        assert action.id.startswith(f"{prefix}.")


def test_screen_actions_and_app_actions_have_distinct_names() -> None:
    everywhere = {action.name for action in actions.ACTIONS if action.screen == "all"}
    for action in actions.ACTIONS:
        assert action.screen == "all" or action.name not in everywhere
        assert not hasattr(Screen, f"action_{action.name}")


def test_a_screen_binds_only_what_it_implements() -> None:
    class Small(RoomScreen):
        ROOM = "train"

        def action_pause(self) -> None: ...

    names = {action.id for action in actions.offered(Small, "train")}
    assert names == {"train.pause", "app.zoom", "app.back"}


@pytest.mark.parametrize(
    ("key", "mode"),
    [("2", "train"), ("3", "runs"), ("4", "chat"), ("5", "data"), ("f3", "train"), ("f6", "data")],
)
async def test_a_key_goes_to_its_screen_and_back(key: str, mode: str) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.current_mode == "presets"
        await pilot.press(key)
        assert app.current_mode == mode
        await pilot.press("f2")
        assert app.current_mode == "presets"


async def test_function_keys_work_while_typing_and_digits_are_typed() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("/")
        assert isinstance(app.focused, Input)
        await pilot.press("2")
        assert app.current_mode == "presets"
        assert app.focused.value == "2"
        await pilot.press("f3")
        assert app.current_mode == "train"


async def test_help_lists_screen_keys_and_global_keys() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        for key in ("?", "f1"):
            await pilot.press(key)
            assert isinstance(app.screen, HelpScreen)
            text = "\n".join(line.plain for line in app.screen.lines)
            assert "presets.train" in text
            assert "app.quit" in text
            assert "train.pause" not in text
            await pilot.press("escape")
            assert isinstance(app.screen, RoomScreen)


async def test_the_palette_offers_actions_and_themes() -> None:
    app = an_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"halve")
        await pilot.press("escape")
        assert isinstance(app.screen, RoomScreen)
        from slm_tui.tui.palette import PaletteProvider

        provider = PaletteProvider(app.screen)
        hits = [hit async for hit in provider.search("shrink nothing at all zzz")]
        assert hits == []
        titles = [str(hit.display) async for hit in provider.discover()]
        assert any(title.startswith("Train  (t)") for title in titles)
        assert any(title.startswith("Quit") for title in titles)


async def test_jump_mode_focuses_the_pane_of_the_letter() -> None:
    app = an_app()
    async with app.run_test(size=(100, 40)) as pilot:
        first = app.focused
        await pilot.press("ctrl+o", "s")
        assert app.focused is not None
        assert app.focused is not first


async def test_zoom_leaves_only_the_focused_pane_and_escape_undoes_it() -> None:
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter", "z")
        await pilot.pause()
        form, others = app.screen.query_one("#form"), app.screen.query_one("#list")
        assert form.size.width > 110
        assert not others.display
        await pilot.press("escape")
        await pilot.pause()
        assert others.display
        assert form.size.width < 110


# The keymap file


def the_keymap(home: Path, text: str) -> tuple[dict[str, str], list[str]]:
    path = home / "config" / "keymap.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return keymap.load()


def test_a_keymap_changes_a_key_with_and_without_quotes(home: Path) -> None:
    keys, wrong = the_keymap(home, 'train.pause = "p"\n"presets.train" = "f7"\n')
    assert (keys["train.pause"], keys["presets.train"], wrong) == ("p", "f7", [])


def test_a_clash_is_reported_and_the_action_keeps_its_key(home: Path) -> None:
    keys, wrong = the_keymap(home, '"train.pause" = "s"\n"train.details" = "q"\n')
    assert keys["train.pause"] == "space"
    assert keys["train.details"] == "q"
    assert len(wrong) == 1
    assert "train.save" in wrong[0]


def test_a_clash_with_a_global_key_is_reported(home: Path) -> None:
    keys, wrong = the_keymap(home, '"runs.sort" = "z"\n')
    assert keys["runs.sort"] == "s"
    assert "app.zoom" in wrong[0]


def test_two_actions_may_swap_their_keys(home: Path) -> None:
    keys, wrong = the_keymap(home, '"train.save" = "g"\n"train.sample" = "s"\n')
    assert (keys["train.save"], keys["train.sample"], wrong) == ("g", "s", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"train.fly" = "p"', "no such action"),
        ('"train.pause" = "ctrl+m"', "does not work"),
        ('"train.pause" = 3', "must be a string"),
        ("= = =", "not valid TOML"),
    ],
)
def test_a_bad_keymap_line_is_reported_and_ignored(home: Path, text: str, expected: str) -> None:
    keys, wrong = the_keymap(home, text)
    assert keys == {action.id: action.key for action in actions.ACTIONS}
    assert expected in wrong[0]


async def test_a_users_key_works_and_the_old_one_does_not(home: Path) -> None:
    the_keymap(home, '"app.go_runs" = "v"\n"presets.fly" = "y"\n')
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert isinstance(app.screen, dialogs.Notice)
        assert "presets.fly" in app.screen.error.why
        await pilot.press("escape", "3")
        assert app.current_mode == "presets"
        await pilot.press("v")
        assert app.current_mode == "runs"


# Footer, tabs, status


@extent.sample(2)
@pytest.mark.parametrize("room", ["f2", "f3", "f4", "f5", "f6"])
async def test_the_footer_is_never_truncated_and_ends_with_help(room: str) -> None:
    app = an_app(Busy())
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press(room)
        for width, height in [
            (60, 20),
            (66, 20),
            (80, 24),
            (99, 40),
            (100, 40),
            (160, 40),
            (200, 60),
        ]:
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            footer = app.screen.query_one(KeyFooter)
            places = footer.places
            assert places[-1].key in ("?", "F1")
            assert len(places) <= MOST_KEYS
            assert len(written(footer)) <= footer.content_size.width
            assert len(written(app.screen.query_one(TabLine))) <= width
            assert len(written(app.screen.query_one(StatusLine))) <= width


def test_a_narrow_footer_drops_the_least_important_first() -> None:
    keys = {action.id: action.key for action in actions.ACTIONS}
    ranked = sorted(
        (one for one in actions.ACTIONS if one.screen == "train" and one.footer_rank),
        key=lambda one: one.footer_rank,
    )
    labels = [one.label for one in footer_keys(ranked, keys, 30)]
    assert labels == ["Pause", "Save", "Help"]
    assert [one.label for one in footer_keys(ranked, keys, 200)][-1] == "Help"


def test_neighbors_with_the_same_label_share_a_place() -> None:
    keys = {action.id: action.key for action in actions.ACTIONS}
    both = [actions.BY_ID["presets.nudge_less"], actions.BY_ID["presets.nudge_more"]]
    first = footer_keys(both, keys, 80)[0]
    assert (first.key, first.label) == ("◀▶", "Nudge")


def test_while_typing_the_footer_shows_only_keys_that_type_nothing() -> None:
    keys = {action.id: action.key for action in actions.ACTIONS}
    ranked = [actions.BY_ID["presets.train"], actions.BY_ID["presets.edit"]]
    shown = [one.key for one in footer_keys(ranked, keys, 80, typing=True)]
    assert shown == ["enter", "F1"]


@pytest.mark.parametrize("width", range(8, 140, 3))
def test_the_status_line_never_truncates_a_word(width: int) -> None:
    whole = set(status_content(LIVE, "loading torch…", 500).plain.split())
    narrow = status_content(LIVE, "loading torch…", width).plain
    assert len(narrow) <= width
    if width >= 12:
        assert set(narrow.split()) <= whole
        assert "training" in narrow


def test_the_status_line_shows_steps_time_speed_and_verdict() -> None:
    text = status_content(LIVE, "", 120).plain
    for part in ("stories-tiny", "1,840/5,000", "37%", "ETA 02:12", "41.3k tok/s", "▲ overfitting"):
        assert part in text


def test_control_characters_in_a_run_name_are_made_visible() -> None:
    text = status_content(LiveStatus("a\x1b[31m[b]", "training", 1, 2), "", 80).plain
    assert "\x1b" not in text
    assert "␛[31m[b]" in text


async def test_the_tabs_show_a_dot_while_a_run_is_live() -> None:
    workshop = Busy()
    app = an_app(workshop)
    async with app.run_test(size=(80, 24)):
        screen = app.screen
        assert isinstance(screen, RoomScreen)
        assert "2 Train●" in written(screen.query_one(TabLine))
        workshop.is_training, workshop.live = False, None
        screen.refresh_status()
        assert "●" not in written(screen.query_one(TabLine))
        assert "no run" in written(screen.query_one(StatusLine))


async def test_a_click_on_a_tab_goes_there() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click(TabLine, offset=(13, 0))
        assert app.current_mode == "train"


async def test_a_click_on_the_footer_does_what_the_key_does() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        places = app.screen.query_one(KeyFooter).places
        at = 1 + sum(one.width + 2 for one in places[:-1])
        await pilot.click(KeyFooter, offset=(at, 0))
        assert isinstance(app.screen, HelpScreen)


async def test_the_bell_rings_once_when_a_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop, rings = Busy(), []
    app = an_app(workshop)
    monkeypatch.setattr(app, "bell", lambda: rings.append(1))
    async with app.run_test(size=(80, 24)):
        screen = app.screen
        assert isinstance(screen, RoomScreen)
        workshop.live = LiveStatus("stories-tiny", "done", 5000, 5000)
        screen.refresh_status()
        screen.refresh_status()
        assert len(rings) == 1


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (80, 24, {"-narrow", "-short"}),
        (100, 32, {"-medium", "-tall"}),
        (159, 31, {"-medium", "-short"}),
        (160, 60, {"-wide", "-tall"}),
    ],
)
async def test_the_screen_knows_its_size_by_class(
    width: int, height: int, expected: set[str]
) -> None:
    app = an_app()
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        assert expected <= set(app.screen.classes)


# Quitting


async def test_quitting_asks_nothing_when_nothing_trains() -> None:
    app = an_app()
    async with app.run_test() as pilot:
        await pilot.press("ctrl+q")
    assert app.return_code == 0
    assert not app.is_running


async def test_quitting_while_training_asks_and_enter_stays() -> None:
    workshop = Busy()
    app = an_app(workshop)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+q")
        assert isinstance(app.screen, dialogs.Question)
        await pilot.press("enter")
        assert isinstance(app.screen, RoomScreen)
        await pilot.press("ctrl+q", "escape")
        assert isinstance(app.screen, RoomScreen)
        assert workshop.quit_with == []


@pytest.mark.parametrize(("ups", "choice"), [(2, "keep"), (1, "save")])
async def test_quitting_passes_the_choice_to_the_workshop(ups: int, choice: str) -> None:
    workshop = Busy()
    app = an_app(workshop)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+q", *["up"] * ups, "enter")
    assert workshop.quit_with == [choice]


async def test_without_a_workshop_training_is_refused() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.start_training(Preset(name="one"))
        await pilot.pause()
        assert isinstance(app.screen, dialogs.Notice)
        assert "workshop" in str(app.screen.error)


# Dialogs and lists


async def test_an_input_shows_what_is_wrong_and_accepts_what_is_right() -> None:
    app, answers = an_app(), []
    ask = dialogs.Ask("Name", "Which?", "", lambda text: "" if text == "good" else "too [b]ad")
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ask, answers.append)
        await pilot.press(*"bad", "enter")
        assert "✗ too [b]ad" in written(ask.query_one("#wrong"))
        assert answers == []
        ask.query_one(Input).value = "good"
        await pilot.press("enter")
    assert answers == ["good"]


async def test_a_notice_shows_what_why_and_what_to_do() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(dialogs.Notice(SlmTuiError("it [b]broke", "a\x1bb", "mend it")))
        await pilot.pause()
        text = written(app.screen.query_one(".text"))
        assert "it [b]broke" in text
        assert "a␛b" in text
        assert "→ mend it" in text
        await pilot.press("escape")
        assert isinstance(app.screen, RoomScreen)


async def test_copying_also_writes_a_file(home: Path) -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)):
        dialogs.copy(app, "slm-tui train x")
        assert app.clipboard == "slm-tui train x"
    assert (paths.data_dir() / "clipboard.txt").read_text() == "slm-tui train x"


class _ListApp(App[None]):
    def compose(self):  # type: ignore[no-untyped-def]
        rows = [Row(f"r{n}", selectable=n % 10 != 0) for n in range(10_000)]
        yield LineList(rows)


async def test_a_list_of_ten_thousand_rows_skips_headings_and_draws_only_visible_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []
    plain = LineList.draw_row

    def counted(self: LineList, row: Row, index: int, width: int):  # type: ignore[no-untyped-def]
        drawn.append(index)
        return plain(self, row, index, width)

    monkeypatch.setattr(LineList, "draw_row", counted)
    app = _ListApp()
    async with app.run_test(size=(40, 12)) as pilot:
        rows = app.query_one(LineList)
        rows.focus()
        assert rows.key == "r1"
        await pilot.press("up")
        assert rows.key == "r1"
        await pilot.press(*["down"] * 9)
        assert rows.key == "r11"
        await pilot.press("end")
        assert rows.key == "r9999"
        await pilot.press("home")
        await pilot.pause()
        assert rows.key == "r1"
        assert rows.scroll_offset.y == 0
        rows.set_rows(rows.rows[100:])
        assert rows.key == "r101"
    assert len(set(drawn)) < 200


# Themes and start


async def test_the_theme_is_remembered(home: Path) -> None:
    app = an_app()
    async with app.run_test() as pilot:
        assert app.theme == "slm-dark"
        app.theme = "nord"
        await pilot.pause()
    assert 'theme = "nord"' in (home / "config" / "settings.toml").read_text()
    again = an_app()
    async with again.run_test():
        assert again.theme == "nord"


async def test_an_unknown_theme_and_a_broken_settings_file_are_ignored(home: Path) -> None:
    (home / "config").mkdir()
    for text in ('theme = "gone"', "theme = 3", "= ="):
        (home / "config" / "settings.toml").write_text(text)
        app = an_app()
        async with app.run_test():
            assert app.theme == "slm-dark"


@extent.sample(2)
@extent.sample(2)
@pytest.mark.parametrize("theme", ["slm-light", "ansi-dark", "ansi-light", "textual-light", "nord"])
async def test_every_kind_of_theme_draws_every_screen(theme: str) -> None:
    app = an_app(Busy())
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        for key in ("f3", "f4", "f5", "f6", "f2"):
            await pilot.press(key)
            await pilot.pause()
        assert "stories-tiny" in app.export_screenshot()


async def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = an_app()
    async with app.run_test(size=(80, 24)):
        assert app.no_color


def test_figures_are_formatted_for_people() -> None:
    assert [count(n) for n in (0, 832, 41_300, 832_000, 1_200_000_000)] == [
        "0",
        "832",
        "41.3k",
        "0.83 M",
        "1.20 B",
    ]
    assert [size(n) for n in (812, 3_400_000, 1_200_000_000)] == ["812 B", "3.40 MB", "1.20 GB"]
    assert [clock(n) for n in (132, 3732, 273_600)] == ["02:12", "1:02:12", "3d 04h"]
    assert [duration(n) for n in (0.2, 40, 180, 9000, 345_600)] == [
        "1 s",
        "40 s",
        "3 min",
        "2.5 h",
        "4 days",
    ]
    assert count(float("nan")) == clock(float("inf")) == duration(float("inf")) == "–"


async def test_page_keys_scroll_a_text_dialog_by_a_page() -> None:
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        lines = [Content(f"line {at}") for at in range(100)]
        await pilot.app.push_screen(dialogs.TextDialog("text", lines))
        listed = pilot.app.screen.query_one(LineList)
        height = listed.scrollable_content_region.height
        assert height < 30
        for key, top in (
            ("down", 1),
            ("pagedown", height),
            ("pageup", 1),
            ("end", 100 - height),
            ("home", 0),
        ):
            await pilot.press(key)
            await pilot.pause()
            assert listed.scroll_offset.y == top


async def test_ctrl_z_reports_a_terminal_that_cannot_suspend() -> None:
    app = an_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+z")
        await pilot.pause()
        message = [notice.message for notice in app._notifications]
        assert message == ["Programs cannot be suspended in this terminal"]
        # Keys work as before.
        await pilot.press("?")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
