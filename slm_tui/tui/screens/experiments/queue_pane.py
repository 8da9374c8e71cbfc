"""The queue as a pane, on the Experiments and on the Runs screen."""

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import background, queue
from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.queue_watcher import QueueState
from slm_tui.experiments.started_suite import StartedSuite
from slm_tui.text import one_line
from slm_tui.tui.actions import BY_ID, Action
from slm_tui.tui.base import AppServices
from slm_tui.tui.dialogs import show_error_notice
from slm_tui.tui.screens.experiments.lists import QueueList

_NAMES = ("run", "earlier", "later", "remove")


class QueuePane(Vertical):
    """The runs that wait and train; nothing while the queue is empty.

    Args:
        changed: called after the queue was changed, to read it again.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        BY_ID[f"experiments.{name}"].binding() for name in _NAMES
    ]

    def __init__(self, changed: Callable[[], None], *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._changed = changed
        # Lines of the border: above and below, or only above.
        self._frame = 2 if self.has_class("pane") else 1
        self._shown: tuple[QueueState, int] | None = None
        self.display = False

    def compose(self) -> ComposeResult:
        yield QueueList(id="queue")

    def show(self, state: QueueState, most_lines: int) -> None:
        """Show the queue in at most so many lines, frame included."""
        if (state, most_lines) == self._shown:
            return
        self._shown = state, most_lines
        self.list.show(state.items)
        self.display = bool(state.items or state.problem)
        lines = max(1, len(state.items)) + self._frame
        self.styles.height = max(self._frame + 1, min(lines, most_lines))
        waiting = state.waiting
        words = f" queue: {waiting} waiting " if waiting else " queue "
        if state.problem:
            words = f" ✗ {one_line(state.problem, 60)} "
        elif waiting and not state.has_worker:
            words = f" queue: {waiting} waiting · not started: press r here "
        self.border_title = Content(words)

    @property
    def list(self) -> QueueList:
        """The list of runs."""
        return self.query_one(QueueList)

    @property
    def current(self) -> QueuedRun | None:
        """The run under the cursor."""
        return self.list.current

    @property
    def is_focused(self) -> bool:
        """Whether the keys act on the queue."""
        return self.screen.focused is self.list

    def open(self, services: AppServices) -> None:
        """Show the run under the cursor on the Train screen, if it trains."""
        item = self.current
        if item is not None and item.run:
            services.open_run(paths.runs_dir() / item.run)

    def action_run(self) -> None:
        """Start the worker."""
        self._attempt(background.start_worker)

    def action_earlier(self) -> None:
        self._move(-1)

    def action_later(self) -> None:
        self._move(1)

    def _move(self, by: int) -> None:
        item = self.current
        if item is not None:
            self._attempt(lambda: queue.move(item.id, by))

    def action_remove(self) -> None:
        """Remove the waiting run under the cursor."""
        item = self.current
        if not self.is_focused or item is None:
            self.app.notify("Move to the queue first (tab)", markup=False)
            return

        def remove() -> None:
            for gone in queue.remove([item.id]):
                if gone.suite:
                    StartedSuite(paths.suites_dir() / gone.suite).set(gone.index, state="stopped")

        self._attempt(remove)

    def _attempt(self, do: Callable[[], object]) -> None:
        try:
            do()
        except SlmTuiError as error:
            show_error_notice(self.app, error)
        self._changed()


def queue_actions() -> Iterable[Action]:
    """What the footer shows while the queue has the focus."""
    return [BY_ID[f"experiments.{name}"] for name in ("earlier", "later", "remove", "run")]
