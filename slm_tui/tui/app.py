"""The app: five screens as modes, the keys that work everywhere, and how screens connect."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import App, SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from slm_tui.config import library
from slm_tui.config.drafts import Draft, Origin
from slm_tui.config.estimate import Calibration
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.live.workshop import LiveStatus, NoWorkshop, QuitChoice, Workshop
from slm_tui.text import one_line
from slm_tui.tui import actions, garbage, keymap, theme
from slm_tui.tui.actions import ROOMS, Room
from slm_tui.tui.base import PaletteEntry, RoomScreen
from slm_tui.tui.dialogs import Notice, Question
from slm_tui.tui.notices import keymap_error, quit_question, torch_error, unsaved_question
from slm_tui.tui.outside import OUTSIDE
from slm_tui.tui.screens.presets.screen import PresetsScreen
from slm_tui.tui.stylesheet import KeptStylesheet
from slm_tui.tui.suspend import Suspension

if TYPE_CHECKING:
    from slm_tui.experiments.notices import QueueNotices
    from slm_tui.tui.screens.chat.screen import ChatScreen
    from slm_tui.tui.screens.data.screen import DataScreen
    from slm_tui.tui.screens.runs.screen import RunsScreen
    from slm_tui.tui.screens.train.screen import TrainScreen

_ENDED = ("done", "failed")


# Modules with heavy imports: loaded in a thread after the first frame, or on first use.
_SCREENS: dict[Room, tuple[str, str]] = {
    "presets": ("presets.screen", "PresetsScreen"),
    "train": ("train.screen", "TrainScreen"),
    "runs": ("runs.screen", "RunsScreen"),
    "chat": ("chat.screen", "ChatScreen"),
    "data": ("data.screen", "DataScreen"),
}


def _screen_class(room: Room) -> type[RoomScreen]:
    module, name = _SCREENS[room]
    return cast(type[RoomScreen], getattr(import_module(f"slm_tui.tui.screens.{module}"), name))


def _palette_provider() -> Any:
    from slm_tui.tui.palette import PaletteProvider

    return PaletteProvider


class SlmTuiApp(App[None]):
    """The full-screen app.

    Args:
        workshop: trains the runs; without one nothing can be trained.
        load_torch: import torch in a thread after the first frame.
        run: open the train screen on this run first.
    """

    TITLE = "slm-tui"
    CSS_PATH = Path(__file__).with_name("base.tcss")
    DEFAULT_MODE = "presets"
    BINDINGS: ClassVar[list[BindingType]] = [
        action.binding() for action in actions.ACTIONS if action.screen == "all"
    ]
    COMMANDS: ClassVar[set[Any]] = {_palette_provider}
    ESCAPE_TO_MINIMIZE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        workshop: Workshop | None = None,
        *,
        load_torch: bool = True,
        run: Path | None = None,
    ) -> None:
        super().__init__()
        self.stylesheet = KeptStylesheet(variables=self.get_css_variables())
        self.workshop: Workshop = workshop if workshop is not None else NoWorkshop()
        self.workshop.on_start = self._run_started
        self._opened_on = run
        self._rooms: dict[Room, RoomScreen] = {}
        for room in ROOMS:
            self.add_mode(room, functools.partial(self._room, room))
        self.calibration: Calibration | None = None
        self.in_bits = False
        self.keys, self._keymap_problems = keymap.load()
        self.palette_sources: list[Callable[[], Iterable[PaletteEntry]]] = [
            self._palette_settings,
            self._palette_presets,
            self._palette_suites,
            self._palette_runs,
        ]
        self.torch_ready = threading.Event()
        self.torch_error: str | None = None
        self._queue_notices: QueueNotices | None = None
        self._is_over = False
        self._load_torch = load_torch
        self._last_state = ""
        self._waiting_for = ""
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._leaving: QuitChoice | None = None
        self._suspension = Suspension(self)
        self._open_question: Question | None = None

    def on_load(self) -> None:
        self.register_theme(theme.DARK)
        self.register_theme(theme.LIGHT)
        name = theme.remembered()
        self.theme = name if name in self.available_themes else theme.DARK.name
        self.set_keymap(self.keys)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda chosen: theme.remember(chosen.name))
        self._event_loop = asyncio.get_running_loop()
        self._suspension.watch(self._event_loop)
        if self._leaving is not None:
            self._leave(self._leaving)
        if self._keymap_problems:
            self.push_screen(Notice(keymap_error(self._keymap_problems), "Your keymap"))
        self.call_after_refresh(self._after_first_frame)

    def _after_first_frame(self) -> None:
        garbage.leave_out()
        self.workshop.start()
        if self._opened_on is not None:
            self.open_run(self._opened_on)
        threading.Thread(target=self._watch_queue, name="watch-queue", daemon=True).start()
        threading.Thread(target=self._import_rest, name="import-rest", daemon=True).start()

    def _watch_queue(self) -> None:
        """Runs in a thread: even the import takes a moment."""
        from slm_tui.experiments.notices import QueueNotices

        self._queue_notices = notices = QueueNotices()
        notices.start()
        if self._is_over:
            notices.close()

    def on_unmount(self) -> None:
        self._is_over = True
        if self._queue_notices is not None:
            self._queue_notices.close()

    def _import_rest(self) -> None:
        """Runs in a thread: the other screens, so that they open at once, then torch."""
        for room in ROOMS:
            # If one cannot be imported, its first use reports why.
            with contextlib.suppress(Exception):
                _screen_class(room)
        if self._load_torch:
            self._import_torch()

    def _import_torch(self) -> None:
        """The status line's timer reads the result."""
        try:
            import torch  # noqa: F401
        except Exception as error:  # noqa: BLE001 - a broken install fails in many ways
            self.torch_error = in_words(error)
            return
        garbage.leave_out()
        self.torch_ready.set()
        if self.calibration is None:
            from slm_tui.training.calibrate import calibration

            self.calibration = calibration(busy=lambda: self.workshop.is_training)

    def leave_soon(self, choice: QuitChoice) -> None:
        """Quit as if the user had answered `choice`; from any thread or signal handler."""
        self._leaving = choice
        if self._event_loop is not None:
            # The loop is closed: the app is already quitting.
            with contextlib.suppress(RuntimeError):
                self._event_loop.call_soon_threadsafe(self._leave, choice)

    @property
    def failure(self) -> str:
        """The error that ended the app, if any."""
        error = self._exception
        return "" if error is None else f"{type(error).__name__}: {one_line(str(error), 200)}"

    @property
    def hint(self) -> str:
        """What the status line adds: torch is still loading, or could not be loaded."""
        if self.torch_error:
            return "no torch"
        return "loading torch…" if self._load_torch and not self.torch_ready.is_set() else ""

    def note_state(self, live: LiveStatus | None) -> None:
        """Ring once when the run ends or cannot continue; report once that torch is missing."""
        state = live.state if live else ""
        waiting_for = live.waiting_for if live else ""
        if waiting_for and not self._waiting_for:
            self.bell()
            text = f"{waiting_for}. Training continues once there is space."
            self.notify(text, title="Training paused", severity="error", timeout=30, markup=False)
        self._waiting_for = waiting_for
        if live and state != self._last_state and self._last_state and state in _ENDED:
            self.bell()
            self.set_terminal_title(f"{live.run}: {state}")
        self._last_state = state
        for notice in self._queue_notices.take() if self._queue_notices is not None else ():
            self.bell()
            severity: Any = "error" if notice.is_failure else "information"
            self.notify(notice.text, title=notice.title, severity=severity, markup=False)
            self.set_terminal_title(f"{notice.title}: {notice.text}")
        if self.torch_error and self._load_torch:
            self._load_torch = False
            self.push_screen(Notice(torch_error(self.torch_error)))

    def set_terminal_title(self, title: str) -> None:
        """Name the terminal's window or tab."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(f"\x1b]2;{one_line(title, 80)}\x07")

    def _room(self, room: Room) -> RoomScreen:
        """One of the five screens; created on first use."""
        screen = self._rooms.get(room)
        if screen is None:
            screen = self._rooms[room] = _screen_class(room)()
        return screen

    def go(self, room: Room) -> AwaitComplete:
        """Show one of the five screens; await it, so that later keys reach the new screen."""
        if room not in ROOMS or self.current_mode == room or self.screen.is_modal:
            return AwaitComplete()
        return AwaitComplete(self.switch_mode(room))

    async def action_go_presets(self) -> None:
        await self.go("presets")

    async def action_go_train(self) -> None:
        await self.go("train")

    async def action_go_runs(self) -> None:
        await self.go("runs")

    async def action_go_chat(self) -> None:
        await self.go("chat")

    async def action_go_data(self) -> None:
        await self.go("data")

    async def on_event(self, event: events.Event) -> None:
        if not self._suspension.is_for_shell(event):
            await super().on_event(event)

    def action_suspend(self) -> None:
        if not self._suspension.begin():
            self.notify("Programs cannot be suspended in this terminal", markup=False)

    def action_palette(self) -> None:
        self.action_command_palette()

    async def action_back(self) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def action_jump(self) -> None:
        from slm_tui.tui.jump import JumpScreen

        room = self.screen
        if isinstance(room, RoomScreen):
            targets = [widget for widget in room.focus_chain if isinstance(widget, Widget)]
            self.push_screen(JumpScreen(targets), _focus)

    def action_help(self) -> None:
        from slm_tui.tui.screens.help.screen import HelpScreen

        room = self.screen
        if isinstance(room, RoomScreen):
            here = actions.offered(type(room), room.ROOM)
            self.push_screen(HelpScreen(room.ROOM, here, self.keys, room.help_lines))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield SystemCommand("Theme", "Choose the color theme", self.action_change_theme)
        yield SystemCommand(
            "Trash", "Restore a deleted preset, run or conversation", self.open_trash
        )
        yield SystemCommand("Screenshot", "Save the screen as SVG", self.action_screenshot)
        yield SystemCommand(
            "Dark or light", "Switch between the dark and the light theme", self._turn_theme
        )
        for outside in OUTSIDE:
            yield SystemCommand(outside.title, outside.help, outside.shown_in(self))

    def _turn_theme(self) -> None:
        self.theme = theme.LIGHT.name if self.current_theme.dark else theme.DARK.name

    def open_trash(self) -> None:
        """Show what was deleted."""
        from slm_tui.tui.screens.trash.screen import TrashScreen

        self.push_screen(TrashScreen(), self._item_restored)

    def _item_restored(self, name: str | None) -> None:
        if name is not None:
            self._presets.reload()
            self.notify(f"{one_line(name, 40)} restored", markup=False)

    def _palette_settings(self) -> Iterable[PaletteEntry]:
        from slm_tui.tui.screens.presets import palette

        return palette.entries(self.chosen_draft, self.show_setting)

    def _palette_presets(self) -> Iterable[PaletteEntry]:
        for entry in library.entries():
            title = entry.preset.title if entry.preset else "invalid"
            show = functools.partial(self.show_preset, entry.name)
            yield PaletteEntry(f"Preset {entry.name}", title, show)

    def _palette_suites(self) -> Iterable[PaletteEntry]:
        from slm_tui.experiments import shelf

        for entry in shelf.entries():
            title = entry.suite.title if entry.suite else "invalid"
            show = functools.partial(self.open_experiments, entry.name)
            yield PaletteEntry(f"Suite {entry.name}", title, show)

    def _palette_runs(self) -> Iterable[PaletteEntry]:
        from slm_tui.tui.screens.runs import palette

        return palette.entries(self)

    def show_preset(self, name: str, then: Callable[[], object] | None = None) -> None:
        """Go to the Presets screen, select `name`, then call `then`."""

        async def chosen() -> None:
            await self.switch_mode("presets")
            self._presets.choose(name)
            if then is not None:
                then()

        self.run_worker(chosen(), exit_on_error=True)

    def show_setting(self, path: str) -> None:
        """Go to the Presets screen with the cursor on the setting `path` of the chosen preset."""

        async def show() -> None:
            await self.switch_mode("presets")
            self._presets.show_setting(path)

        self.run_worker(show(), exit_on_error=True)

    # Training

    def start_training(self, preset: Preset, origin: Origin | None = None) -> bool:
        """Start a run of `preset` and show it, or report why it cannot start."""
        try:
            if origin is None:
                self.workshop.train(preset)
            elif origin.checkpoint is not None:
                self.workshop.fork(origin.checkpoint, preset)
            else:
                self.workshop.train(preset, before=origin.run, remedy=origin.remedy)
        except SlmTuiError as error:
            self.push_screen(Notice(error, "This run cannot start"))
            return False
        self.go("train")
        return True

    def edit_settings(self, preset: Preset, origin: Origin, at: str = "") -> None:
        """Show the settings of a run in the form, the cursor on the path `at`, to train them."""
        try:
            name = library.entry_for(preset).name
        except SlmTuiError as error:
            self.push_screen(Notice(error, "These settings cannot be edited"))
        else:
            self.show_preset(name, lambda: self._presets.take(preset, origin, at))

    def open_text(self) -> None:
        """Ask for another text for the chosen preset, on the Data screen."""

        async def ask() -> None:
            await self.go("data")
            cast("DataScreen", self._room("data")).action_open()

        self.run_worker(ask(), exit_on_error=False)

    def _run_started(self, path: Path) -> None:
        """Show a run that has just started, even if another one was opened before."""
        self._train.show_started(path)

    @property
    def _train(self) -> "TrainScreen":
        return cast("TrainScreen", self._room("train"))

    @property
    def opened_run(self) -> Path | None:
        """The run that the user opened last, unless another was started since."""
        return self._train.opened if "train" in self._rooms else None

    def open_run(self, path: Path) -> None:
        """Show the run in `path` on the Train screen."""
        self._train.open(path)
        self.go("train")

    def open_experiments(self, suite: str = "", *, start: bool = False) -> None:
        """Show the Experiments screen with the cursor on `suite`; start that suite if asked."""
        from slm_tui.tui.screens.experiments.screen import ExperimentsScreen

        self.push_screen(ExperimentsScreen(suite, start=start))

    def open_chat(self, checkpoint: Path) -> None:
        """Load `checkpoint` on the Chat screen and go there."""
        chat = cast("ChatScreen", self._room("chat"))
        chat.open(checkpoint)
        self.go("chat")

    def show_checkpoints(self, path: Path) -> None:
        """Go to the Runs screen with the cursor on the checkpoints of the run in `path`."""
        runs = cast("RunsScreen", self._room("runs"))
        runs.show_checkpoints(path)
        self.go("runs")

    def action_help_quit(self) -> None:
        """Ctrl+C does not quit: people press it out of habit to copy or to clear a line."""
        self.notify("ctrl+q quits (it asks about unsaved edits and a training run)", markup=False)

    async def action_quit(self) -> None:
        """Quit; asks first about unsaved edits, then about a run in progress."""
        if self.screen is self._open_question:
            return
        unsaved = self._presets.drafts.unsaved()
        if unsaved:
            self._ask(unsaved_question([draft.name for draft in unsaved]), self._leave_edits)
        else:
            self._leave_run()

    def _ask(self, question: Question, then: Callable[[str | None], None]) -> None:
        """Ask before quitting; pressing quit again does not ask twice."""
        self._open_question = question
        self.push_screen(question, then)

    @property
    def _presets(self) -> PresetsScreen:
        return cast(PresetsScreen, self._room("presets"))

    def chosen_preset(self) -> Preset:
        """The preset under the cursor of the Presets screen, with its edits.

        Raises:
            SlmTuiError: it is invalid, or there is none.
        """
        return self._presets.chosen()

    @property
    def chosen_draft(self) -> Draft | None:
        """The draft under the cursor of the Presets screen."""
        return self._presets.draft

    def draft_changed(self) -> None:
        """Another screen changed the draft under the cursor: show its current state."""
        self._presets.show_draft()

    def _leave_edits(self, answer: str | None) -> None:
        if answer not in ("save", "lose"):
            return
        wrong = self._presets.save_all() if answer == "save" else None
        if wrong is None:
            self._leave_run()
        else:
            name, problem = wrong
            remedy = problem.remedy or "correct it, or press u to undo"
            error = SlmTuiError(problem.what, problem.why, remedy)
            title = f"{one_line(name, 40)} cannot be saved"
            self.show_preset(name, lambda: self.push_screen(Notice(error, title)))

    def _leave_run(self) -> None:
        if self.workshop.is_training:
            self._ask(quit_question(), self._leave)
        else:
            self.exit()

    def _leave(self, choice: str | None) -> None:
        if choice in ("keep", "save"):
            self.workshop.request_quit("keep" if choice == "keep" else "save")
            self.exit()


def _focus(target: Widget | None) -> None:
    if target is not None:
        target.focus()
