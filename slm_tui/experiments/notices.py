"""What happened in the queue since the last look: a run failed, a suite or the queue is done."""

from collections import deque
from dataclasses import dataclass

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import queue
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.started_suite import StartedSuite
from slm_tui.formatting import runs_text
from slm_tui.live.periodic import Periodic
from slm_tui.runs.store import Run

_INTERVAL_SECONDS = 2.0


@dataclass(frozen=True)
class QueueNotice:
    """Something that the user may want to know."""

    title: str
    text: str
    is_failure: bool = False


class QueueNotices:
    """Watches the queue in a thread, whichever process trains its runs."""

    def __init__(self) -> None:
        self._before: dict[int, QueuedRun] = {}
        self._stamp: tuple[int, ...] = ()
        self._found: deque[QueueNotice] = deque()
        self._thread = Periodic("queue-notices", self.look, _INTERVAL_SECONDS)

    def start(self) -> None:
        """Start watching, unless already started."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._thread.close()

    def take(self) -> list[QueueNotice]:
        """The notices since the last call."""
        found = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def look(self) -> None:
        """Look once; reads nothing unless the queue has changed."""
        try:
            stamp = queue.stamp()
            if stamp == self._stamp:
                return
            now = {item.id: item for item in queue.runs()}
        except SlmTuiError:
            return  # screens that show the queue report this
        self._stamp = stamp
        before, self._before = self._before, now
        gone = [item for number, item in before.items() if number not in now]
        for item in gone:
            if item.running:
                self._note_failure(item)
        for name in dict.fromkeys(item.suite for item in gone):
            if not any(item.suite == name for item in now.values()):
                self._note_end(name, gone)

    def _note_failure(self, item: QueuedRun) -> None:
        error = ""
        if item.suite:
            try:
                entry = StartedSuite(paths.suites_dir() / item.suite).runs()[item.index]
            except (SlmTuiError, IndexError):
                return
            error = entry.error if entry.state == "failed" else ""
        elif item.run:
            try:
                info = Run(paths.runs_dir() / item.run).info()
            except SlmTuiError:
                return
            error = info.error if info.state == "failed" else ""
        if error:
            self._found.append(QueueNotice(f"{item.name} failed", error, is_failure=True))

    def _note_end(self, name: str, gone: list[QueuedRun]) -> None:
        if not name:
            alone = [item for item in gone if not item.suite]
            if any(item.running for item in alone):
                self._found.append(QueueNotice("Queue finished", f"{alone[-1].name} was the last"))
            return
        try:
            states = [run.state for run in StartedSuite(paths.suites_dir() / name).runs()]
        except SlmTuiError:
            return
        if "stopped" in states:
            return  # the user stopped it
        failed = states.count("failed")
        good = sum(state in started_suites.GOOD for state in states)
        text = f"{good} of {runs_text(len(states))} done" + (f", {failed} failed" if failed else "")
        self._found.append(QueueNotice(f"{name.rsplit('-', 2)[0]} finished", text))
