"""A training in this process: its thread, its run directory, and its state for others to read."""

import logging
import shutil
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui.config.built import check_built
from slm_tui.config.preset import Preset
from slm_tui.errors import CheckpointError, RunError, SlmTuiError
from slm_tui.runs import steering, store
from slm_tui.runs.recorder import Recorder
from slm_tui.runs.results import finite
from slm_tui.runs.sinks import open_sinks
from slm_tui.runs.store import Run
from slm_tui.training.control import Control, Request
from slm_tui.training.events import (
    Changed,
    Continued,
    Evaluated,
    Event,
    Failed,
    Finished,
    Paused,
    Sink,
    Started,
    Stepped,
    Warned,
)

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus, Progress
    from slm_tui.training.checkpoint import Checkpoint

_LOG = logging.getLogger(__name__)
_ETA_WINDOW_SECONDS = 30.0
_MOST_WAITING = 100


@dataclass(frozen=True)
class Status:
    """Where a training stands. `stage` and `progress` (0 to 1) tell what is prepared before it
    starts, `pace` its amount, rate and time left."""

    run: str = ""
    state: str = "preparing"
    stage: str = "starting"
    progress: float = 0.0
    pace: str = ""
    step: int = 0
    max_steps: int = 0
    loss: float | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    tokens_per_second: float = 0.0
    eta_seconds: float | None = None
    error: str = ""
    waiting_for: str = ""

    @property
    def is_live(self) -> bool:
        return self.state in ("preparing", "running", "paused")


class Session:
    """Trains one run in a thread of its own, which owns every torch call of the run.

    Make one with `start`, `resume` or `fork`. All methods may be called from any thread.
    """

    def __init__(
        self,
        run: Run,
        preset: Preset,
        *,
        resume: bool = False,
        more_steps: int = 0,
        initial: Path | None = None,
        sinks: tuple[Sink, ...] = (),
    ) -> None:
        self.run = run
        self.preset = preset
        self.control = Control()
        # Nobody watches: a run that cannot begin stays, so that its reason can be read later.
        self.unattended = False
        self._resume = resume
        self._more_steps = more_steps
        self._initial = initial
        self._sinks = sinks
        self._status = Status(run=run.id, max_steps=preset.training.max_steps)
        self._pace: deque[tuple[float, int]] = deque()
        self._cancel = threading.Event()
        self._began = False
        # Its patience was at an end: it begins anew, or the run would stop at once.
        self._had_stopped_early = resume and run.info().state == "stopped early"
        self._held = store.lock(run)
        self._held.__enter__()
        self._recorder = Recorder(run, self.control)
        self._logs = open_sinks(run, preset, self._emit, self.stop)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._main, name="training", daemon=True)
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @classmethod
    def start(
        cls,
        preset: Preset,
        name: str = "",
        *,
        initial: Path | None = None,
        sinks: tuple[Sink, ...] = (),
    ) -> "Session":
        """Begin a new run; from the weights of checkpoint `initial` where it is given.

        Raises:
            NotBuiltYet: this version cannot train the preset.
            RunError: the run directory cannot be made.
            SlmTuiError: `name` cannot be a name.
        """
        check_built(preset)
        parent = f"{initial.parent.parent.name}@{initial.name}" if initial else ""
        run = store.create(preset, name, parent)
        session = cls(run, preset, initial=initial, sinks=sinks)
        session._thread.start()
        return session

    @classmethod
    def resume(cls, run: Run, *, more_steps: int = 0, sinks: tuple[Sink, ...] = ()) -> "Session":
        """Go on with a run exactly where its newest whole checkpoint stands.

        Raises:
            RunError: it is being trained already, or is finished and `more_steps` is 0.
            PresetError: its preset cannot be read.
        """
        info = run.info()
        if info.state == "done" and not more_steps:
            raise RunError(
                f"run {run.id} is finished",
                f"it made all {info.max_steps} steps",
                "give it more steps (--steps N), or fork a new run from it",
            )
        session = cls(run, run.preset(), resume=True, more_steps=more_steps, sinks=sinks)
        session._thread.start()
        return session

    @property
    def status(self) -> Status:
        """The state now; a new object at every change."""
        status = self._status
        return replace(status, eta_seconds=self._eta(status)) if status.is_live else status

    @property
    def is_live(self) -> bool:
        return not self._ended.is_set()

    def stop(self) -> None:
        """Save and end: at the next step boundary, or while still preparing, at once."""
        self._cancel.set()
        self.control.stop()

    def add_sink(self, sink: Sink) -> None:
        """Let `sink` receive the events from now on."""
        self._sinks = (*self._sinks, sink)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until training has ended and everything is on disk; returns whether it has."""
        ended = self._ended.wait(seconds)
        if ended and threading.current_thread() not in (self._thread, self._heart):
            # A thread still unwinding torch's frames at the exit of the process would abort it.
            for thread in (self._thread, self._heart):
                if thread.ident is not None:
                    thread.join()
        return ended

    def _main(self) -> None:
        self._heart.start()
        server = steering.serve(self.run.path, self._told, self._obey)
        try:
            self._train()
        except Exception as error:  # noqa: BLE001 - the thread's last line: it must be told
            _LOG.debug("training failed", exc_info=error)
            self._emit(Failed(self._status.step, _worded(error)))
        finally:
            self._logs.close()
            self._recorder.close()
            if server is not None:
                server.close()
            if self._began or self._resume:
                self._conclude()
            elif self._status.state == "failed" and not self.unattended:
                # Nothing was trained: the error is told, and an empty run would only be in the way.
                shutil.rmtree(self.run.path, ignore_errors=True)
            self._held.__exit__(None, None, None)
            self._ended.set()

    def _told(self) -> dict[str, Any]:
        """The status as other processes get it."""
        told = finite(asdict(self.status))
        assert isinstance(told, dict)
        return told

    def _obey(self, request: Request) -> None:
        """A request of another process.

        Raises:
            RunError: the run has ended, or has more requests than it gets done.
        """
        if not self.status.is_live:
            raise RunError("it has ended")
        if request.verb == "stop":
            self.stop()
        elif self.control.waiting >= _MOST_WAITING:
            raise RunError("it is busy with earlier requests")
        else:
            self.control.put(request)

    def _conclude(self) -> None:
        """Write what the run came to; the run itself is safe whatever happens here."""
        from slm_tui.runs.results import write_results

        try:
            write_results(self.run, self.preset)
        except (OSError, SlmTuiError, ValueError):
            return

    def _train(self) -> None:
        from slm_tui.corpus.prepare import Cancelled

        resume = self._newest_checkpoint() if self._resume else None
        try:
            corpus = self._corpus(resume)
        except Cancelled:
            self._emit(Finished(self._status.step, "stopped"))
            return
        self._set(stage="building the model", progress=0.0, pace="")
        from slm_tui.training import checkpoint
        from slm_tui.training.trainer import Trainer

        initial = checkpoint.read(self._initial) if self._initial is not None else None
        trainer = Trainer(
            self.preset,
            corpus,
            self.run.checkpoints,
            self._emit,
            self.control,
            resume=resume,
            initial=initial,
        )
        if self._resume:
            # An end that was moved after the checkpoint stays where it was moved to.
            moved = max(trainer.state.max_steps, self._recorder.info.max_steps)
            trainer.state.max_steps = moved + self._more_steps
            if self._had_stopped_early:
                trainer.state.patience_from = trainer.state.step
        trainer.run()

    def _newest_checkpoint(self) -> "Checkpoint | None":
        """The newest whole checkpoint; damaged ones after it are put aside and reported.

        Raises:
            CheckpointError: there are checkpoints, and none is whole.
        """
        from slm_tui.training import checkpoint

        self._set(stage="reading the checkpoint")
        checkpoint.sweep(self.run.checkpoints)
        found, wrong = checkpoint.newest(self.run.checkpoints)
        if found is None and wrong:
            raise CheckpointError(
                f"no checkpoint of {self.run.id} is whole", wrong[0], "begin a new run"
            )
        for text in wrong:
            self._emit(Warned(0, f"{text}: going back to an older one"))
        if found is not None:
            checkpoint.set_aside(self.run.checkpoints, found.state.step)
            self._set(step=found.state.step)
        return found

    def _corpus(self, resume: "Checkpoint | None") -> "Corpus":
        """The corpus of the checkpoint where it is still there, else that of the preset."""
        from slm_tui.corpus import fit
        from slm_tui.corpus.prepare import prepare, reopen

        kept = reopen(resume.state.corpus) if resume is not None else None
        if kept is not None:
            return kept
        corpus = prepare(self.preset, progress=self._prepared, cancel=self._cancel)
        if resume is None:
            fit.check(self.preset, corpus)
        return corpus

    def _prepared(self, progress: "Progress") -> None:
        self._set(stage=progress.stage, progress=progress.share or 0.0, pace=progress.detail)

    def _beat(self) -> None:
        while not self._ended.wait(1.0):
            self._recorder.beat()

    def _emit(self, event: Event) -> None:
        self._recorder(event)
        self._follow(event)
        self._logs(event)
        for sink in self._sinks:
            sink(event)

    def _follow(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._status = replace(
                self._status,
                step=event.step,
                loss=event.loss,
                tokens_per_second=event.tokens_per_second,
            )
            self._keep_pace(event.step)
        elif isinstance(event, Started):
            self._began = True
            self._set(state="running", stage="", step=event.step, max_steps=event.max_steps)
        elif isinstance(event, Evaluated):
            self._set(val_loss=event.loss, val_bpb=event.bits_per_byte)
        elif isinstance(event, Changed) and event.what == "max_steps":
            self._set(max_steps=int(event.value))
        elif isinstance(event, Paused):
            self._pace.clear()
            self._set(state="paused", waiting_for=event.reason)
        elif isinstance(event, Continued):
            self._set(state="running", waiting_for="")
        elif isinstance(event, Finished):
            self._set(state=self._recorder.info.state)
        elif isinstance(event, Failed):
            self._set(state="failed", error=event.error)

    def _set(self, **changes: object) -> None:
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]

    def _keep_pace(self, step: int) -> None:
        """Wall-clock marks, half a second apart: evaluations and samples count as well."""
        now = time.monotonic()
        if self._pace and now - self._pace[-1][0] < 0.5:
            return
        self._pace.append((now, step))
        while now - self._pace[0][0] > _ETA_WINDOW_SECONDS:
            self._pace.popleft()

    def _eta(self, status: Status) -> float | None:
        pace = list(self._pace)
        if len(pace) < 2 or pace[-1][1] <= pace[0][1]:
            return None
        seconds_per_step = (pace[-1][0] - pace[0][0]) / (pace[-1][1] - pace[0][1])
        return max(0.0, (status.max_steps - status.step) * seconds_per_step)


def _worded(error: Exception) -> str:
    return str(error) if isinstance(error, SlmTuiError) else f"{type(error).__name__}: {error}"
