"""What every screen is built on: the base screen, and what it may ask of the workshop."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol, cast, runtime_checkable

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.tui import actions
from slm_tui.tui.actions import Action, Room
from slm_tui.tui.widgets.key_footer import KeyFooter
from slm_tui.tui.widgets.status_line import LiveStatus, StatusLine
from slm_tui.tui.widgets.tab_line import TabLine

if TYPE_CHECKING:
    from slm_tui.runs.store import Run
    from slm_tui.tui.app import SlmTuiApp

QuitChoice = Literal["keep", "save"]


class Workshop(Protocol):
    """Where runs are made: all that the screens need to know of training."""

    # Called with the directory of each run that starts or goes on here.
    on_start: Callable[[Path], None] | None

    @property
    def is_training(self) -> bool:
        """Whether a run is going now, paused ones included."""
        ...

    def live_status(self) -> LiveStatus | None:
        """The run for the status line; `None` where there is none. Called often: be quick."""
        ...

    def train(self, preset: Preset) -> None:
        """Start a run of `preset`.

        Raises:
            SlmTuiError: it cannot start, with what to do.
        """
        ...

    def request_quit(self, choice: QuitChoice) -> None:
        """The app is leaving: let the run go on without a screen, or save and stop it."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """A workshop that can go on with runs."""

    def resume(self, run: "Run", more_steps: int = 0, preset: Preset | None = None) -> None:
        """Go on with `run`.

        Raises:
            SlmTuiError: it cannot.
        """


class NoWorkshop:
    """Stands in where the app is given none: nothing trains."""

    is_training = False
    on_start: Callable[[Path], None] | None = None

    def live_status(self) -> LiveStatus | None:
        return None

    def train(self, preset: Preset) -> None:
        raise SlmTuiError("nothing can be trained here", "training arrives with the workshop")

    def request_quit(self, choice: QuitChoice) -> None:
        return


@dataclass
class Shared:
    """What one screen hands to another: `app.state`.

    `run` was opened by the user; `started` is the run that started last. The Train screen shows
    whichever came later: a start takes the place of what was opened before it.
    """

    run: Path | None = None
    started: Path | None = None
    checkpoint: Path | None = None


class PaletteEntry(NamedTuple):
    """A line of the palette: plain text, never markup."""

    title: str
    help: str
    run: Callable[[], object]


def redraws_per_second() -> int:
    """Four here, one over SSH."""
    return 1 if os.environ.get("SSH_CONNECTION") else 4


class RoomScreen(Screen[None]):
    """One of the five screens: status line, tabs, the body, and the footer.

    A subclass sets `ROOM`, gives its widgets in `compose_body`, and implements actions of the
    table as methods `action_<name>`; `refresh_room` is called while it is visible.
    """

    ROOM: ClassVar[Room] = "presets"

    def __init_subclass__(cls) -> None:
        cls.BINDINGS = actions.bindings(cls, cls.ROOM)
        super().__init_subclass__()

    @property
    def slm(self) -> "SlmTuiApp":
        return cast("SlmTuiApp", self.app)

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield TabLine(self.ROOM)
        with Container(id="body"):
            yield from self.compose_body()
        yield KeyFooter()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between the tabs and the footer."""
        return ()

    def on_mount(self) -> None:
        self.set_interval(1 / redraws_per_second(), self._tick)
        self.refresh_status()

    def on_screen_resume(self) -> None:
        self.refresh_status()
        self.refresh_room()
        self.refresh_footer()

    def _tick(self) -> None:
        if self.is_current:
            self.refresh_status()
            self.refresh_room()

    def refresh_room(self) -> None:
        """Called up to four times a second while visible: repaint only what has changed."""

    def refresh_status(self) -> None:
        """Bring the status line and the dot of the train tab up to date."""
        live = self.slm.workshop.live_status()
        self.query_one(StatusLine).show(live, self.slm.hint)
        self.query_one(TabLine).show_live(
            self.slm.workshop.is_training or (live is not None and live.live)
        )
        self.slm.note_state(live)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In an input, the keys of these actions are text and not commands."""
        if action in ("filter", "edit") and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    # The footer

    def footer_actions(self) -> list[Action]:
        """What the footer may show, most important first. Override to suit the focus."""
        ranked = [one for one in actions.offered(type(self), self.ROOM) if one.footer_rank]
        return sorted(ranked, key=lambda one: one.footer_rank)

    def refresh_footer(self) -> None:
        """Call when what `footer_actions` says has changed."""
        typing = isinstance(self.focused, Input)
        for footer in self.query(KeyFooter):
            footer.show(self.footer_actions(), self.slm.keys, typing=typing)

    def watch_focused(self) -> None:
        self.refresh_footer()

    def help_lines(self, width: int) -> list[Content]:
        """What the help screen says above the keys, in lines of at most `width` cells."""
        return []

    # Zoom: everything beside the focused pane and its ancestors is hidden

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
        body = self.query_one("#body")
        if pane is None or body not in pane.ancestors:
            return
        pane.add_class("-zoomed")
        while pane is not None and pane is not body:
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
        """Step out of one layer."""
        self.step_out()

    def step_out(self) -> bool:
        """Leave the innermost layer; whether there was one. Extend it for filters and edits."""
        if self.is_zoomed:
            self._unzoom()
            return True
        return False
