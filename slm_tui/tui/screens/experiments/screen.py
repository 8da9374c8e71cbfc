"""The Experiments screen: suites on the left, the runs of one on the right, the queue below."""

import functools
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import background, control, worker
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.markdown import write_report
from slm_tui.experiments.plan import plan
from slm_tui.experiments.started_suite import StartedSuite
from slm_tui.experiments.watcher import SuiteLine, SuiteWatcher
from slm_tui.live.background import Background
from slm_tui.text import one_line
from slm_tui.tui.actions import BY_ID, Action, Room
from slm_tui.tui.base import AppServices, RoomScreen
from slm_tui.tui.dialogs import Choice, Question, copy, show_error_notice
from slm_tui.tui.screens.comparison.screen import ComparisonDialog
from slm_tui.tui.screens.experiments.lines import about
from slm_tui.tui.screens.experiments.lists import SuiteList, SuiteRuns
from slm_tui.tui.screens.experiments.queue_pane import QueuePane, queue_actions
from slm_tui.tui.widgets.line_list import LineList, ReadingList, Row

# Lines of a pane for its border, or for its title where it has none.
_FRAME = 2
LESSONS = ("week-1", "week-2", "week-3", "week-4")


class ExperimentsScreen(RoomScreen):
    """Opened from Presets or Runs; escape goes back.

    Args:
        select: the suite to put the cursor on; empty: the first one.
        start: whether to start that suite at once.
    """

    ROOM: ClassVar[Room] = "experiments"
    TAB: ClassVar[Room] = "runs"
    CSS_PATH = Path(__file__).with_suffix(".tcss")
    AUTO_FOCUS = "#suites"

    def __init__(self, select: str = "", *, start: bool = False) -> None:
        super().__init__()
        self.watcher = SuiteWatcher()
        self._writing: Background[str] = Background("report", "")
        self._drawn = 0
        self._select: str | None = select or None
        self._start = start

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="suites-pane", classes="pane"):
            yield SuiteList(id="suites")
        with Vertical(id="right"):
            with Vertical(id="runs-pane", classes="pane"):
                yield SuiteRuns(id="runs")
            with Vertical(id="about-pane", classes="pane"):
                yield ReadingList(id="about")
            yield QueuePane(self.watcher.wake, id="queue-pane", classes="pane")

    def on_mount(self) -> None:
        self.query_one("#suites-pane").border_title = " suites "
        self.watcher.wake()

    def on_screen_resume(self) -> None:
        self.watcher.wake()

    def on_screen_suspend(self) -> None:
        self.watcher.sleep()

    def on_unmount(self) -> None:
        self.watcher.close()

    # What the cursor is on

    @property
    def suites(self) -> SuiteList:
        return self.query_one(SuiteList)

    @property
    def queue(self) -> QueuePane:
        return self.query_one(QueuePane)

    @property
    def current(self) -> SuiteLine | None:
        return self.suites.current

    # Drawing

    def refresh_room(self) -> None:
        if self._writing.snapshot:
            self.app.notify(self._writing.snapshot, title="Report", markup=False)
            self._writing.snapshot = ""
        if self.watcher.snapshot.version != self._drawn:
            self._drawn = self.watcher.snapshot.version
            self.draw()

    def draw(self) -> None:
        """Draw everything from the newest snapshot."""
        snapshot = self.watcher.snapshot
        select, self._select = self._select, None
        self.suites.show(snapshot.suites, select)
        self.queue.show(snapshot.queue, max(4, self.size.height // 4))
        self._look()
        if self._start and self.current is not None:
            self._start = False
            self.call_after_refresh(self._start_shown)

    def _look(self) -> None:
        line = self.current
        if line is not None:
            self.watcher.look(line.name)
        self._draw_suite()

    def _draw_suite(self) -> None:
        line, detail = self.current, self.watcher.snapshot.detail
        if detail is not None and (line is None or detail.name != line.name):
            detail = None
        runs = detail.runs if detail is not None else ()
        self.query_one(SuiteRuns).show(runs)
        self.query_one("#body").set_class(not runs, "-no-runs")
        pane = self.query_one("#runs-pane")
        pane.styles.height = min(len(runs) + _FRAME, max(4, self.size.height // 2 - 2))
        title = ""
        if line is not None and line.suite is not None:
            done = f"  {line.ended} of {line.total} done" if line.total else ""
            failed = f", {line.failed} failed" if line.failed else ""
            title = f" {one_line(line.suite.title or line.name, 44)}{done}{failed} "
        pane.border_title = Content(title)
        reading = self.query_one("#about", ReadingList)
        self.query_one("#about-pane").border_title = Content(title if not runs else "")
        width = reading.text_width
        rows = [
            Row(str(at), content)
            for at, content in enumerate(about(line, detail, width) if line is not None else [])
        ]
        if rows != reading.rows:
            reading.set_rows(rows)

    def on_line_list_highlighted(self, message: LineList.Highlighted) -> None:
        if isinstance(message.owner, SuiteList):
            self._look()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        self.action_open()

    def on_resize(self) -> None:
        if self._drawn:
            self.call_after_refresh(self._draw_suite)

    # Actions

    def _attempt(self, do: Callable[[], None]) -> None:
        try:
            do()
        except SlmTuiError as error:
            show_error_notice(self.app, error)
        self.watcher.wake()

    def action_open(self) -> None:
        """Open the run under the cursor; from the list of suites, go to the runs."""
        if self.focused is self.suites:
            runs = self.query_one(SuiteRuns)
            (runs if runs.rows else self.query_one("#about")).focus()
            return
        name = self._focused_run()
        if name:
            self.app.pop_screen()
            self.slm.open_run(paths.runs_dir() / name)

    def _focused_run(self) -> str:
        if self.queue.is_focused:
            item = self.queue.current
            return item.run if item is not None else ""
        line = self.query_one(SuiteRuns).current
        return line.entry.run if line is not None else ""

    def action_run(self) -> None:
        """Start or resume the suite; in the queue, the pane starts the worker."""
        if self.current is not None:
            self._attempt(functools.partial(self._run, self.current))

    def action_queue(self) -> None:
        """Add the runs of the suite to the queue; what trains now goes first."""
        if self.current is not None:
            self._attempt(functools.partial(self._run, self.current, work=False))

    def _start_shown(self) -> None:
        line = self.current
        if line is not None and line.state in ("new", "stopped"):
            self.action_run()

    def _run(self, line: SuiteLine, *, work: bool = True) -> None:
        if line.suite is None:
            raise SlmTuiError(f"suite {line.name} cannot run", line.error)
        if line.state in ("running", "waiting"):
            if work:
                background.start_worker()
            return
        if line.directory is not None and line.ended < line.total:
            worker.start(StartedSuite(line.directory))
        elif line.directory is not None:
            self._ask_again(line)
            return
        else:
            worker.start(started_suites.create(plan(line.suite)))
        if work:
            background.start_worker()

    def _ask_again(self, line: SuiteLine) -> None:
        choices = [
            Choice("again", "Repeat", "train all of them again"),
            Choice("leave", "Cancel", "change nothing"),
        ]
        question = Question(line.name, "All its runs are done.", choices, "leave")
        self.app.push_screen(question, functools.partial(self._again, line))

    def _again(self, line: SuiteLine, answer: str | None) -> None:
        suite = line.suite
        if answer == "again" and suite is not None:

            def start() -> None:
                worker.start(started_suites.create(plan(suite), again=True))
                background.start_worker()

            self._attempt(start)

    def action_stop(self) -> None:
        line = self.current
        if line is None or line.directory is None or line.state not in ("running", "waiting"):
            self.app.notify("No run of this suite is training or waiting", markup=False)
            return
        started = StartedSuite(line.directory)

        def stop() -> None:
            control.stop(started)

        self._attempt(stop)

    def action_earlier(self) -> None:
        self.queue.action_earlier()

    def action_later(self) -> None:
        self.queue.action_later()

    def action_remove(self) -> None:
        """Remove the waiting run under the cursor from the queue."""
        self.queue.action_remove()

    def action_compare(self) -> None:
        detail = self.watcher.snapshot.detail
        if detail is None or detail.report is None or not detail.report.rows:
            self.app.notify("No run of this suite has a validation loss yet", markup=False)
            return
        self.app.push_screen(ComparisonDialog(detail.report))

    def action_report(self) -> None:
        """Write the report as Markdown with its picture, in a thread."""
        line, detail = self.current, self.watcher.snapshot.detail
        if line is None or line.directory is None or detail is None or detail.report is None:
            self.app.notify("There is nothing to report yet", markup=False)
            return
        path, report = line.directory / "report.md", detail.report

        def write(cancel: threading.Event) -> str:
            write_report(report, path)
            return f"Wrote {path}"

        self._writing.start(write, str, "the report was not written")

    def action_lesson(self) -> None:
        """Go to the next lesson that is not done, and start it."""
        name = next_lesson(self.watcher.snapshot.suites)
        self.suites.select(name)
        self.suites.focus()
        line = self.current
        if line is not None and line.state == "new":
            self.action_run()

    def action_copy(self) -> None:
        line = self.current
        if line is not None:
            copy(self.app, f"slm-tui suite run {line.name}")

    def action_back(self) -> None:
        if not self.step_out():
            self.dismiss()

    def footer_actions(self) -> list[Action]:
        """The suites, their runs and the queue have different actions."""
        if self.queue.is_focused:
            return [*queue_actions(), BY_ID["experiments.open"], BY_ID["app.back"]]
        names = ["open", "run", "stop", "compare", "report", "lesson"]
        if isinstance(self.focused, SuiteRuns):
            names = ["open", "compare", "report", "run", "stop"]
        return [*(BY_ID[f"experiments.{name}"] for name in names), BY_ID["app.back"]]


def next_lesson(suites: Iterable[SuiteLine]) -> str:
    """The first lesson that is not done; the last one if all are."""
    states = {line.name: line.state for line in suites}
    return next((name for name in LESSONS if states.get(name) != "done"), LESSONS[-1])


def start_next_lesson(services: AppServices) -> None:
    """Open the suites on the next lesson that is not done, and start it."""
    reader = SuiteWatcher()
    reader.read()
    services.open_experiments(next_lesson(reader.snapshot.suites), start=True)
