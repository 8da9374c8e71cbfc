"""The worker: trains the runs of the queue, one per processor, until none is left."""

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.experiments import done, queue, summary
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.search import Halving
from slm_tui.experiments.started_suite import EntryState, StartedSuite
from slm_tui.live.session import Session
from slm_tui.runs import info as infos
from slm_tui.runs.index import RunIndex
from slm_tui.runs.store import Run
from slm_tui.training import device as devices
from slm_tui.training.events import Evaluated, Event, Sink

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 0.2


class Observer(Protocol):
    """Follows a worker, for example to print its progress."""

    def started(self, item: QueuedRun, session: Session) -> None:
        """A run has started to train."""

    def ended(self, item: QueuedRun, state: EntryState, run: Run | None, error: str) -> None:
        """A run has ended; `error` says why it failed."""

    def waiting(self, reason: str) -> None:
        """The worker waits for a free processor; with an empty `reason`, it no longer does."""

    def tick(self) -> None:
        """Called several times a second."""


@dataclass
class _Job:
    """A run that trains in this process."""

    item: QueuedRun
    slot: str
    session: Session
    pruner: "_Pruner | None" = None


class Worker:
    """Takes runs from the queue. At most one process of this machine does.

    Args:
        only: take runs of this started suite only.
    """

    def __init__(self, observer: Observer, only: StartedSuite | None = None) -> None:
        self._observer = observer
        self._only = only.id if only is not None else ""
        self._jobs: list[_Job] = []
        self._index = RunIndex()
        self._halvings: dict[str, Halving] = {}
        self._stopping = threading.Event()
        self._slots = devices.slots()
        self._reason = ""

    def stop(self) -> None:
        """Save and stop what trains; leave the rest in the queue. From any thread."""
        self._stopping.set()
        for job in list(self._jobs):
            job.session.stop()

    def work(self) -> None:
        """Train until no run is left that this worker takes. The caller holds the lock.

        Raises:
            SlmTuiError: the queue is damaged or cannot be written.
        """
        queue.recover()
        queue.take_stop_request()  # it was meant for an earlier worker
        try:
            self._work()
        except SlmTuiError:
            for job in self._jobs:
                job.session.stop()
            for job in self._jobs:
                job.session.wait()
            raise

    def _work(self) -> None:
        while True:
            self._collect()
            if queue.take_stop_request():
                self.stop()
            if not self._stopping.is_set():
                self._start_runs()
            if not self._jobs and (self._stopping.is_set() or not self._waiting()):
                return
            self._observer.tick()
            if self._jobs:
                self._jobs[0].session.wait(_TICK_SECONDS)
            else:
                self._stopping.wait(_TICK_SECONDS)

    def _waiting(self) -> list[QueuedRun]:
        return [one for one in queue.runs() if not one.running and self._takes(one)]

    def _takes(self, item: QueuedRun) -> bool:
        return not self._only or item.suite == self._only

    def _start_runs(self) -> None:
        if not self._waiting():
            self._say("")
            return
        used = {job.slot for job in self._jobs}
        busy = {slot: why for slot, why in self._busy().items() if slot not in used}
        for slot in self._slots:
            if slot in used or slot in busy or any(_shares(job.item) for job in self._jobs):
                continue
            alone = not self._jobs and not busy
            while (item := self._claimed(slot, alone=alone)) is not None:
                if self._started(item, slot):
                    break
        if self._jobs or not busy:
            self._say("")
        else:
            self._say(next(iter(busy.values())))

    def _say(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self._observer.waiting(reason)

    def _busy(self) -> dict[str, str]:
        """The processors that runs of others use, with the reason."""
        own = {job.session.run.path for job in self._jobs}
        result: dict[str, str] = {}
        for path, run in self._index.read().items():
            if path in own or not run.is_live or run.info.state == "paused":
                continue
            # A run that still prepares its text has not chosen its processor.
            slot = run.info.facts.get("slot")
            several = float(run.info.facts.get("processes") or 1) > 1
            for one in self._slots if several or not slot else [str(slot)]:
                result[one] = f"{path.name} is training; the next run starts after it"
        return result

    def _claimed(self, slot: str, *, alone: bool) -> QueuedRun | None:
        """The next run for `slot`; one for several devices only if none of them is used."""

        def fits(item: QueuedRun) -> bool:
            return self._takes(item) and self._fits(item, slot) and (alone or not _shares(item))

        return queue.claim(fits)

    def _fits(self, item: QueuedRun, slot: str) -> bool:
        training = item.preset.get("training")
        wanted = str(training.get("device", "auto")) if isinstance(training, dict) else "auto"
        if wanted == "auto":
            # Without a GPU, the processor that `auto` means.
            return slot.startswith("cuda") or slot == self._slots[0]
        if wanted not in self._slots and not (
            wanted == "cuda" and any(one.startswith("cuda") for one in self._slots)
        ):
            return slot == self._slots[0]  # it fails there, and says why
        return slot == wanted or (wanted == "cuda" and slot.startswith("cuda"))

    def _started(self, item: QueuedRun, slot: str) -> bool:
        """Start a claimed run; whether it trains now. If not, its end has been recorded."""
        try:
            if (end := self._needless(item)) is not None:
                self._end(item, *end)
                return False
            pruner = self._pruner(item)
            session = self._session(item, slot, (pruner,) if pruner is not None else ())
        except SlmTuiError as error:
            self._end(item, "failed", None, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - the other runs must continue
            _LOG.debug("a queued run did not start", exc_info=error)
            self._end(item, "failed", None, in_words(error))
            return False
        self._jobs.append(_Job(item, slot, session, pruner))
        if pruner is not None:
            pruner.stop_when_worse(session)
        queue.update(item.id, run=session.run.id)
        self._note(item, state="running", run=session.run.id, error="")
        self._observer.started(item, session)
        return True

    def _needless(self, item: QueuedRun) -> tuple[EntryState, Run | None, str] | None:
        """The end of a run that need not or must not start."""
        if item.run:
            run = Run(paths.runs_dir() / item.run)
            if infos.is_run(run.path) and run.info().state in ("done", "stopped early"):
                # The worker died after the run had ended, before that was recorded.
                return "done", run, ""
        started = self._suite_of(item)
        if started is None:
            return None
        minutes = started.suite().budget.minutes
        began = started.began()
        if minutes is not None and began and time.time() - began > 60 * minutes and not item.run:
            return "stopped", None, f"the suite has used its {minutes:g} minutes"
        if not started.again and not item.run:
            before = done.run_like(item.made(), self._index)
            if before is not None:
                return "skipped", before, ""
        return None

    def _session(self, item: QueuedRun, slot: str, sinks: tuple[Sink, ...]) -> Session:
        if item.run:
            run = Run(paths.runs_dir() / item.run)
            was_stopped = infos.is_run(run.path) and run.info().state in ("interrupted", "stopped")
            if was_stopped and _has_checkpoint(run):
                return Session.resume(run, sinks=sinks)
        preset, variation = _on(item.made(), slot), self._variation(item)
        return Session.start(preset, item.name, group=item.suite, variation=variation, sinks=sinks)

    def _variation(self, item: QueuedRun) -> str:
        started = self._suite_of(item)
        return started.runs()[item.index].variation if started is not None else ""

    def _suite_of(self, item: QueuedRun) -> StartedSuite | None:
        return StartedSuite(paths.suites_dir() / item.suite) if item.suite else None

    def _pruner(self, item: QueuedRun) -> "_Pruner | None":
        """What ends a run of a search early; a resumed run counts its earlier evaluations."""
        halving = self._halving(item)
        if halving is None:
            return None
        logged = infos.evaluations(paths.runs_dir() / item.run) if item.run else []
        return _Pruner(f"{item.suite}/{item.index}", halving, sum(bool(one.step) for one in logged))

    def _halving(self, item: QueuedRun) -> Halving | None:
        started = self._suite_of(item)
        search = started.suite().search if started is not None else None
        if started is None or search is None or not search.halving:
            return None
        if item.suite not in self._halvings:
            halving = self._halvings[item.suite] = Halving(search)
            for one in started.runs():
                if one.state in started_suites.GOOD and one.run:
                    logged = infos.evaluations(paths.runs_dir() / one.run)
                    halving.add([each.bits_per_byte for each in logged if each.step])
        return self._halvings[item.suite]

    def _collect(self) -> None:
        """Record the runs that have ended since the last look."""
        for job in [one for one in self._jobs if not one.session.is_live]:
            job.session.wait()
            self._jobs.remove(job)
            status = job.session.status
            state: EntryState = "done"
            if status.state == "failed":
                state = "failed"
            elif job.pruner is not None and job.pruner.is_worse:
                state = "ended early"
            elif status.state == "stopped":
                state = "stopped"
            run = job.session.run if infos.is_run(job.session.run.path) else None
            self._end(job.item, state, run, status.error)

    def _end(self, item: QueuedRun, state: EntryState, run: Run | None, error: str) -> None:
        run_id = run.id if run is not None else ""
        self._note(item, state=state, run=run_id, error=error[:2000])
        if state == "stopped" and self._stopping.is_set() and run is not None:
            # The worker was stopped, not the run: it continues when the queue does.
            queue.update(item.id, running=False, run=run_id)
            self._note(item, state="waiting")
        else:
            queue.finish(item.id)
        started = self._suite_of(item)
        if started is not None:
            try:
                summary.write(started)
            except (SlmTuiError, OSError, ImportError, ValueError) as error_:
                error = error or f"the summary was not written: {in_words(error_)}"
        self._observer.ended(item, state, run, error)

    def _note(self, item: QueuedRun, **changes: Any) -> None:
        started = self._suite_of(item)
        if started is not None:
            # The queue continues, even if the record of a suite is damaged or was deleted.
            with contextlib.suppress(SlmTuiError, OSError):
                started.set(item.index, **changes)


class _Pruner:
    """A sink that stops a run which is among the worse ones of its search.

    Args:
        name: identifies the run in the search.
        evaluated: how many evaluations the run has had.
    """

    def __init__(self, name: str, halving: Halving, evaluated: int) -> None:
        self._name = name
        self._halving = halving
        self._evaluated = evaluated
        self._session: Session | None = None
        self.is_worse = False

    def stop_when_worse(self, session: Session) -> None:
        """Stop this session, which may have begun before."""
        self._session = session
        if self.is_worse:
            session.stop()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Evaluated) or not event.step:
            return
        self._evaluated += 1
        if self._halving.is_worse(self._name, self._evaluated, event.bits_per_byte):
            self.is_worse = True
            if self._session is not None:
                self._session.stop()


def _shares(item: QueuedRun) -> bool:
    """Whether a run divides its steps over several devices."""
    training = item.preset.get("training")
    return isinstance(training, dict) and training.get("devices", 1) != 1


def _on(preset: Preset, slot: str) -> Preset:
    """`preset` on the processor `slot`, if it left the choice open."""
    several = preset.training.devices != 1
    if preset.training.device in ("auto", "cuda") and not several and slot.startswith("cuda"):
        changed = preset.training.model_copy(update={"device": slot})
        return preset.model_copy(update={"training": changed})
    return preset


def _has_checkpoint(run: Run) -> bool:
    from slm_tui.training import checkpoint_dir

    return checkpoint_dir.any_in(run.checkpoints)


def start(started: StartedSuite) -> list[QueuedRun]:
    """Add the runs of a started suite that are not done to the queue; return them.

    Raises:
        SlmTuiError: the queue or the suite is damaged or cannot be written.
    """
    runs = started.runs()
    queued_already = {item.index for item in queue.runs() if item.suite == started.id}
    several = len({one.variation for one in runs}) < len(runs)
    items = []
    for index, one in enumerate(runs):
        if index in queued_already or one.state in started_suites.GOOD:
            continue
        name = f"{one.variation}-s{one.seed}"[:64] if several else one.variation
        resumes = one.run if one.state in ("running", "stopped", "waiting") else ""
        items.append(
            QueuedRun(
                0, name, one.preset, suite=started.id, index=index, seed=one.seed, run=resumes
            )
        )
        started.set(index, state="waiting", error="")
    return queue.add(items)
