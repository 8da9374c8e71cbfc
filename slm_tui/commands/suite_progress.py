"""How the command line shows a suite that trains: a line for the suite and one for the run."""

import os
import time
from dataclasses import asdict
from typing import TextIO

from slm_tui.commands import output
from slm_tui.commands.progress import status_text
from slm_tui.commands.progress_line import bar
from slm_tui.experiments import queue
from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.started_suite import ENDED, EntryState, StartedSuite
from slm_tui.formatting import clock, finite, runs_text
from slm_tui.live.session import Session
from slm_tui.runs.store import Run
from slm_tui.text import cells, one_line, visible

_SECONDS_BETWEEN_DRAWINGS = 0.2
_SECONDS_BETWEEN_LINES = 30.0
_UP_AND_CLEAR = "\x1b[1A\r\x1b[J"


def ended_text(name: str, state: EntryState, run: Run | None, error: str) -> str:
    """The outcome of a run in one line."""
    if state == "failed":
        return f"✗ {name}: {error}"
    if state == "skipped":
        return f"✓ {name}: done before, as {run.id if run is not None else 'another run'}"
    info = run.info() if run is not None else None
    bits = info.best_bpb if info is not None else None
    loss = f", best {bits:.4f} bits per byte" if bits is not None else ""
    steps = f" at step {info.step:,}" if info is not None else ""
    if state == "ended early":
        return f"✓ {name}: ended early{steps}: others were better{loss}"
    if state == "stopped":
        return f"- {name}: stopped{steps}{': ' + error if error else ''}"
    return f"✓ {name}: done{loss}"


class _Tally:
    """How many runs have ended, of a suite or of the queue."""

    def __init__(self, started: StartedSuite | None) -> None:
        self._suite = started
        self._began = time.time()
        self._trained = 0
        self._ended = 0
        self.failed = 0

    def count(self, state: EntryState) -> None:
        self._ended += 1
        self._trained += state != "skipped"
        self.failed += state == "failed"

    def line(self, width: int) -> str:
        """A bar, the number of runs, and the time left."""
        if self._suite is not None:
            runs = self._suite.runs()
            ended, total = sum(run.state in ENDED for run in runs), len(runs)
        else:
            ended, total = self._ended, self._ended + len(queue.runs())
        left = ""
        if self._trained and ended < total:
            left = f" ETA {clock((time.time() - self._began) / self._trained * (total - ended))}"
        wrong = f" {self.failed} failed" if self.failed else ""
        text = f" {ended}/{runs_text(total)}{wrong}{left}"
        name = one_line(_name(self._suite), max(8, width - len(text) - 22))
        return f"{name} {bar(ended / max(1, total), 20)}{text}"


def _name(started: StartedSuite | None) -> str:
    return started.id if started is not None else "queue"


class TextProgress:
    """Lines for what happened; below them, on a terminal, the suite and the current run."""

    def __init__(self, started: StartedSuite | None, out: TextIO) -> None:
        self._suite = started
        self._tally = _Tally(started)
        self._out = out
        self._rewrites = out.isatty() and os.environ.get("TERM", "") not in ("dumb", "")
        self._session: Session | None = None
        self._drawn_at = 0.0
        self._said_at = time.monotonic()
        self._is_drawn = False
        self._reason = ""
        if started is not None:
            self._say(f"suite {started.id}: {runs_text(len(started.runs()))}")

    @property
    def has_failures(self) -> bool:
        """Whether a run failed."""
        return bool(self._tally.failed)

    def started(self, item: QueuedRun, session: Session) -> None:
        self._session = session
        self._say(f"▶ {item.name}: run {session.run.id}")

    def ended(self, item: QueuedRun, state: EntryState, run: Run | None, error: str) -> None:
        self._session = None
        self._tally.count(state)
        self._say(ended_text(item.name, state, run, error))

    def waiting(self, reason: str) -> None:
        self._reason = reason
        if reason:
            self._say(f"waiting: {reason}")

    def tick(self) -> None:
        now = time.monotonic()
        if not self._rewrites:
            if now - self._said_at >= _SECONDS_BETWEEN_LINES and self._session is not None:
                self._say(status_text(self._session.status, 100))
            return
        if now - self._drawn_at < _SECONDS_BETWEEN_DRAWINGS:
            return
        self._drawn_at = now
        width = output.columns()
        status = self._session.status if self._session is not None else None
        second = status_text(status, width) if status is not None else self._reason
        self._clear()
        first = self._tally.line(width)
        lines = [one if cells(one) <= width else one[:width] for one in (first, second)]
        self._out.write("\n".join(visible(line, keep="") for line in lines))
        self._out.flush()
        self._is_drawn = True

    def end(self) -> None:
        """Everything has ended."""
        self._clear()
        if self._suite is not None:
            self._say_end(self._suite)
        if self._rewrites:
            self._out.write("\a")

    def _say_end(self, started: StartedSuite) -> None:
        runs = started.runs()
        good = sum(run.state in ENDED and run.state != "failed" for run in runs)
        failed = sum(run.state == "failed" for run in runs)
        rest = len(runs) - good - failed
        text = f"{good} of {runs_text(len(runs))} done"
        text += f", {failed} failed" if failed else ""
        self._say(text)
        if rest or failed:
            self._say(f"resume with: slm-tui suite resume {started.id}")
        self._say(f"compare them: slm-tui suite report {started.id}")

    def _say(self, text: str) -> None:
        self._clear()
        self._said_at = time.monotonic()
        self._out.write(visible(text) + "\n")
        self._out.flush()

    def _clear(self) -> None:
        if self._is_drawn:
            self._out.write(_UP_AND_CLEAR)
            self._is_drawn = False


class JsonProgress:
    """One JSON object per event of the suite."""

    def __init__(self, started: StartedSuite | None) -> None:
        self._suite = started
        self.has_failures = False
        if started is not None:
            self._say(
                event="suite", suite=started.id, path=str(started.path), runs=len(started.runs())
            )

    def started(self, item: QueuedRun, session: Session) -> None:
        self._say(event="started", name=item.name, seed=item.seed, run=session.run.id)

    def ended(self, item: QueuedRun, state: EntryState, run: Run | None, error: str) -> None:
        self.has_failures |= state == "failed"
        info = asdict(run.info()) if run is not None else {}
        bits = {name: info.get(name) for name in ("step", "val_bpb", "best_bpb", "elapsed_seconds")}
        name = run.id if run is not None else ""
        self._say(event="ended", name=item.name, state=state, run=name, error=error, **bits)

    def waiting(self, reason: str) -> None:
        self._say(event="waiting", reason=reason)

    def tick(self) -> None:
        return

    def end(self) -> None:
        """Everything has ended."""
        if self._suite is None:
            return
        states = [run.state for run in self._suite.runs()]
        counts = {state: states.count(state) for state in dict.fromkeys(states)}
        self._say(event="end", suite=self._suite.id, states=counts)

    def _say(self, **values: object) -> None:
        output.say_json(finite(values))
