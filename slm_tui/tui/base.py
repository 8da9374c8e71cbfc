"""What every screen is built on."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, cast

from textual import events, on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.containers import Container
from textual.content import Content
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from slm_tui.config.drafts import Draft, Origin
from slm_tui.config.estimate import Calibration
from slm_tui.config.preset import Preset
from slm_tui.live.workshop import LiveStatus, Workshop
from slm_tui.tui import actions
from slm_tui.tui.actions import Action, Room
from slm_tui.tui.redraw_pace import RedrawPace
from slm_tui.tui.widgets.key_footer import KeyFooter
from slm_tui.tui.widgets.status_line import StatusLine
from slm_tui.tui.widgets.tab_line import TabLine


class PaletteEntry(NamedTuple):
    """A line of the palette: plain text, never markup."""

    title: str
    help: str
    run: Callable[[], object]
    # What it is found by besides its title and help.
    words: tuple[str, ...] = ()
    # Between entries that fit a search equally well, the heavier one is first.
    weight: float = 1.0


class AppServices(Protocol):
    """What a screen may use of the app."""

    calibration: Calibration | None
    keys: dict[str, str]
    # Whether screens show losses in bits per byte instead of nats per token.
    in_bits: bool

    @property
    def workshop(self) -> Workshop:
        """Where runs are trained."""
        ...

    @property
    def hint(self) -> str:
        """What the status line shows besides the run."""
        ...

    @property
    def opened_run(self) -> Path | None:
        """The run that the user opened last, unless another was started since."""
        ...

    def note_state(self, live: LiveStatus | None) -> None:
        """Report changes in the state of the run in the status line."""
        ...

    def chosen_preset(self) -> Preset:
        """The preset under the cursor of the Presets screen, with its edits.

        Raises:
            SlmTuiError: it is invalid, or there is none.
        """
        ...

    @property
    def chosen_draft(self) -> Draft | None:
        """The draft under the cursor of the Presets screen."""
        ...

    def open_text(self) -> None:
        """Ask for another text for the draft under the cursor, on the Data screen."""
        ...

    def draft_changed(self) -> None:
        """Another screen changed the draft under the cursor: show its current state."""
        ...

    def go(self, room: Room) -> AwaitComplete:
        """Show one of the five screens; await the result to know that it is shown."""
        ...

    def open_experiments(self, suite: str = "", *, start: bool = False) -> None:
        """Show the Experiments screen with the cursor on `suite`; start that suite if asked."""
        ...

    def start_training(self, preset: Preset, origin: Origin | None = None) -> bool:
        """Start a run of `preset` and show it, or report why it cannot start."""
        ...

    def edit_settings(self, preset: Preset, origin: Origin, at: str = "") -> None:
        """Show the settings of a run in the form, the cursor on the path `at`, to train them."""
        ...

    def show_setting(self, path: str) -> None:
        """Go to the Presets screen with the cursor on the setting `path` of the chosen preset."""
        ...

    def open_run(self, path: Path) -> None:
        """Show the run in `path` on the Train screen."""
        ...

    def open_chat(self, checkpoint: Path) -> None:
        """Load `checkpoint` on the Chat screen and go there."""
        ...

    def show_checkpoints(self, path: Path) -> None:
        """Go to the Runs screen with the cursor on the checkpoints of the run in `path`."""
        ...


# From so many columns and rows a screen has the class `-vast`, beside `-wide` and `-tall`.
_VAST = (180, 48)


def _is_vast(size: Size) -> bool:
    columns, rows = _VAST
    return size.width >= columns and size.height >= rows


def redraws_per_second() -> int:
    """Four locally, one over SSH."""
    return 1 if os.environ.get("SSH_CONNECTION") else 4


class RoomScreen(Screen[None]):
    """One of the five screens: status line, tabs, the body, and the footer.

    A subclass sets `ROOM`, yields its widgets in `compose_body`, and implements actions of the
    table as methods `action_<name>`; `refresh_room` is called while it is visible.
    """

    ROOM: ClassVar[Room] = "presets"
    # The tab that is marked: that of the screen which opened this one.
    TAB: ClassVar[Room | None] = None

    def __init_subclass__(cls) -> None:
        cls.BINDINGS = actions.bindings(cls, cls.ROOM)
        super().__init_subclass__()

    @property
    def slm(self) -> AppServices:
        return cast(AppServices, self.app)

    def compose(self) -> ComposeResult:
        self._look_at_size_of_app()
        yield StatusLine()
        yield TabLine(self.TAB or self.ROOM)
        with Container(id="body"):
            yield from self.compose_body()
        yield KeyFooter()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between the tabs and the footer."""
        return ()

    def on_mount(self) -> None:
        self._was_shown = False
        tick = 1 / redraws_per_second()
        self._pace = RedrawPace(tick)
        self.set_interval(tick, self._tick)
        self.refresh_status()

    def _look_at_size_of_app(self) -> None:
        """Set the classes of the size before there are widgets, so that the styles of these are
        applied once: with the first resize event, Textual would apply them all again."""
        classes = {"-vast": _is_vast(self.app.size)}
        for size, breakpoints in (
            (self.app.size.width, self.app.HORIZONTAL_BREAKPOINTS or []),
            (self.app.size.height, self.app.VERTICAL_BREAKPOINTS or []),
        ):
            reached = max((one for one in breakpoints if one[0] <= size), default=None)
            classes |= {one[1]: one == reached for one in breakpoints}
        self.update_classes(classes, update=False)

    @on(events.Resize)
    def _look_at_size(self, event: events.Resize) -> None:
        self.set_class(_is_vast(event.size), "-vast")

    def _compositor_refresh(self) -> None:
        # In a batch of updates, Textual would draw the whole screen and discard the picture. What
        # is to be drawn stays noted until the batch has ended.
        if not self.app._batch_count:
            super()._compositor_refresh()

    @on(events.ScreenResume)
    def _keep_styles_at_first(self, event: events.ScreenResume) -> None:
        # Its widgets were given their styles a moment ago, when it was composed.
        event.refresh_styles = self._was_shown
        self._was_shown = True

    def on_screen_resume(self) -> None:
        self.refresh_status()
        self.refresh_room()
        self.refresh_footer()

    def _tick(self) -> None:
        if not self.is_current:
            return
        is_due = self._pace.is_due(time.monotonic(), time.thread_time())
        if is_due or not self.slm.workshop.is_training:
            self.refresh_status()
            self.refresh_room()

    def refresh_room(self) -> None:
        """Called up to four times a second while visible, less often if that takes long while a
        model trains: repaint only what changed."""

    def refresh_status(self) -> None:
        """Update the status line and the dot on the Train tab."""
        live = self.slm.workshop.live_status()
        self.query_one(StatusLine).show(live, self.slm.hint)
        self.query_one(TabLine).show_live(
            self.slm.workshop.is_training or (live is not None and live.live)
        )
        self.slm.note_state(live)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In an input, the keys of these actions are text, not commands."""
        if action in ("filter", "edit") and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    # The footer

    def footer_actions(self) -> list[Action]:
        """What the footer may show, most important first. Override to suit the focus."""
        ranked = [one for one in actions.offered(type(self), self.ROOM) if one.footer_rank]
        return sorted(ranked, key=lambda one: one.footer_rank)

    def refresh_footer(self) -> None:
        """Call when the result of `footer_actions` has changed."""
        typing = isinstance(self.focused, Input)
        for footer in self.query(KeyFooter):
            footer.show(self.footer_actions(), self.slm.keys, typing=typing)

    def watch_focused(self) -> None:
        self.refresh_footer()

    def help_lines(self, width: int) -> list[Content]:
        """What the help screen shows above the keys, in lines of at most `width` cells."""
        return []

    # Zoom: everything except the focused pane and its ancestors is hidden

    @property
    def is_zoomed(self) -> bool:
        return bool(self.query(".-zoomed"))

    def action_zoom(self) -> None:
        """Give the focused pane (the nearest widget with class `pane`) the whole body."""
        if self.is_zoomed:
            self._unzoom()
            return
        node = self.focused
        pane = (
            next((n for n in node.ancestors_with_self if n.has_class("pane")), None)
            if node
            else None
        )
        if isinstance(pane, Widget) and self.query_one("#body") in pane.ancestors:
            self._zoom(pane)

    def zoom(self, pane: Widget) -> None:
        """Give `pane` the whole body and the focus, or undo that if it is zoomed already."""
        was_zoomed = pane.has_class("-zoomed")
        self._unzoom()
        if not was_zoomed:
            self._zoom(pane)
            self.call_after_refresh(pane.focus)

    def _zoom(self, pane: Widget) -> None:
        body = self.query_one("#body")
        pane.add_class("-zoomed")
        while pane is not body:
            parent = pane.parent
            assert isinstance(parent, Widget)
            for sibling in parent.children:
                if sibling is not pane:
                    sibling.add_class("-beside-zoom")
            if parent is not body:
                parent.add_class("-zoom-path")
            pane = parent

    def _unzoom(self) -> None:
        for name in ("-zoomed", "-beside-zoom", "-zoom-path"):
            self.query(f".{name}").remove_class(name)

    def action_back(self) -> None:
        """Leave the innermost layer."""
        self.step_out()

    def step_out(self) -> bool:
        """Leave the innermost layer; return whether there was one. Extend for filters and edits."""
        if self.is_zoomed:
            self._unzoom()
            return True
        return False
