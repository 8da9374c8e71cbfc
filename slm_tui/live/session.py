"""A training in this process: its thread, its run directory, and its state for others to read."""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui import safe_files
from slm_tui.config.availability import check_built
from slm_tui.config.preset import Preset
from slm_tui.errors import CheckpointError, RunError, cause_of, in_words, remedy_for
from slm_tui.live import steering
from slm_tui.live.step_pace import StepPace
from slm_tui.runs import store
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
    from slm_tui.training.trainer import Trainer

_LOG = logging.getLogger(__name__)
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
        changed: bool = False,
        more_steps: int = 0,
        initial: Path | None = None,
        sinks: tuple[Sink, ...] = (),
    ) -> None:
        """Open the files of the run and hold it; `_begin` starts the thread.

        Raises:
            RunError: it is being trained already, or its record is damaged.
            OSError: its files cannot be opened.
        """
        self.run = run
        self.preset = preset
        self.control = Control()
        # Nobody watches: a run that cannot begin stays, so that its reason can be read later.
        self.unattended = False
        self._resume = resume
        self._changed = changed
        self._more_steps = more_steps
        self._initial = initial
        self._sinks = sinks
        self._status = Status(run=run.id, max_steps=preset.training.max_steps)
        self._pace = StepPace()
        self._cancel = threading.Event()
        self._began = False
        # Its patience was at an end: it begins anew, or the run would stop at once.
        self._had_stopped_early = resume and run.info().state == "stopped early"
        self._failed_sinks: set[int] = set()
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            opened.enter_context(store.lock(run))
            self._recorder = Recorder(run, self.control)
            opened.callback(self._recorder.close)
            self._logs = open_sinks(run, preset, self._emit, self.stop)
            self._open = opened.pop_all()
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
        try:
            session = cls._opened(run, preset, initial=initial, sinks=sinks)
            session._begin()
        except BaseException:
            # Nothing was trained: an empty run would only be in the way.
            store.drop(run)
            raise
        return session

    @classmethod
    def resume(
        cls,
        run: Run,
        *,
        more_steps: int = 0,
        preset: Preset | None = None,
        sinks: tuple[Sink, ...] = (),
    ) -> "Session":
        """Go on with a run exactly where its newest whole checkpoint stands.

        Args:
            preset: that of the run with changes that `resuming.check` accepts; they are kept.

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
        own = run.preset()
        session = cls._opened(
            run,
            preset or own,
            resume=True,
            changed=preset is not None and preset != own,
            more_steps=more_steps,
            sinks=sinks,
        )
        session._begin()
        return session

    @classmethod
    def _opened(cls, run: Run, preset: Preset, **options: Any) -> "Session":
        try:
            return cls(run, preset, **options)
        except OSError as error:
            raise RunError(
                f"run {run.id} cannot be written",
                cause_of(error),
                remedy_for(error, "check the permissions of its directory"),
            ) from None

    def _begin(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            self._open.close()
            raise RunError("training cannot begin", in_words(error)) from None

    @property
    def status(self) -> Status:
        """The state now; a new object at every change."""
        status = self._status
        if not status.is_live:
            return status
        return replace(status, eta_seconds=self._pace.seconds_for(status.max_steps - status.step))

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
        server = None
        try:
            self._heart.start()
            server = steering.serve(self.run.path, self._told, self._obey)
            self._train()
        except Exception as error:  # noqa: BLE001 - the thread's last line: it must be told
            _LOG.debug("training failed", exc_info=error)
            self._emit(Failed(self._status.step, in_words(error)))
        finally:
            self._finish(server)

    def _finish(self, server: "steering.Server | None") -> None:
        """Close everything and let go of the run, whatever fails on the way."""
        with contextlib.ExitStack() as last:
            last.callback(self._ended.set)
            last.callback(self._guarded, "the run was not closed in order", self._open.close)
            if server is not None:
                last.callback(self._guarded, "its socket was not closed", server.close)
            self._guarded("the log was not written", self._recorder.settle)
            if self._began or self._resume:
                self._guarded("the summary of the run was not written", self._conclude)
            self._guarded("another log was not closed", self._logs.close)
            self._recorder.close()
            begun = self._began or self._resume or self.unattended
            if self._status.state == "failed" and not begun:
                # Nothing was trained: the error is told, and an empty run would be in the way.
                store.drop(self.run)

    def _guarded(self, what: str, action: Callable[[], Any]) -> None:
        """Do `action`; an error of it is told and goes no further."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the run must be let go of in any case
            _LOG.debug(what, exc_info=error)
            self._emit(Warned(self._status.step, f"{what}: {in_words(error)}"))

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
        """Write what the run came to."""
        from slm_tui.runs.results import write_results

        write_results(self.run, self.preset)

    def _train(self) -> None:
        from slm_tui.corpus.prepare import Cancelled

        try:
            trainer = self._resumed() if self._resume else self._fresh()
        except Cancelled:
            self._emit(Finished(self._status.step, "stopped"))
            return
        trainer.run()

    def _fresh(self) -> "Trainer":
        """A trainer at step 0, with the weights and the tokenizer of a checkpoint for a fork."""
        from slm_tui.corpus import fit
        from slm_tui.corpus.prepare import prepare
        from slm_tui.training import checkpoint

        initial = checkpoint.read(self._initial) if self._initial is not None else None
        tokenizer = initial.tokenizer() if initial is not None else None
        corpus = prepare(
            self.preset, tokenizer=tokenizer, progress=self._prepared, cancel=self._cancel
        )
        fit.check(self.preset, corpus)
        return self._trainer(corpus, initial=initial)

    def _resumed(self) -> "Trainer":
        """A trainer where the newest checkpoint stands that is whole and can be loaded.

        Newer ones that are not are put aside and reported.

        Raises:
            CheckpointError: steps were made, and no checkpoint can be used.
        """
        from slm_tui.live import resuming
        from slm_tui.training import checkpoint, checkpoint_dir

        self._set(stage="reading the checkpoint")
        directory = self.run.checkpoints
        checkpoint_dir.check_place(directory)
        checkpoint_dir.sweep(directory)
        wrong: list[str] = []
        for found in checkpoint.whole_ones(directory, wrong):
            step = found.state.step
            self._set(step=step)
            corpus = resuming.corpus_of(self.run, self.preset, found, self._prepared, self._cancel)
            read_otherwise = found.state.corpus not in ("", corpus.fingerprint)
            found.state.corpus = corpus.fingerprint
            try:
                trainer = self._trainer(corpus, resume=found)
            except checkpoint_dir.UnavailableError:
                raise
            except CheckpointError as error:
                wrong.append(f"checkpoint {found.path.name} cannot be loaded: {error}")
                continue
            for text in wrong:
                self._emit(Warned(step, f"{text}: going back to an older one"))
            if read_otherwise:
                self._emit(Warned(step, _READ_OTHERWISE))
            _make_room(directory, step)
            self._extend(trainer)
            return trainer
        wrong += checkpoint_dir.odd_in(directory)
        if wrong or self._has_steps():
            raise _nothing_to_resume(self.run, wrong)
        return self._fresh()

    def _has_steps(self) -> bool:
        """Whether the run was ever trained; a log that was lost may say less than `run.json`."""
        with (
            contextlib.suppress(OSError),
            safe_files.open_to_read(self.run.path / "training_log.csv") as log,
        ):
            if log.read(4096).count(b"\n") > 1:
                return True
        return self._recorder.info.step > 0

    def _trainer(
        self,
        corpus: "Corpus",
        *,
        resume: "Checkpoint | None" = None,
        initial: "Checkpoint | None" = None,
    ) -> "Trainer":
        self._set(stage="building the model", progress=0.0, pace="")
        from slm_tui.training.trainer import Trainer

        return Trainer(
            self.preset,
            corpus,
            self.run.checkpoints,
            self._emit,
            self.control,
            resume=resume,
            initial=initial,
        )

    def _extend(self, trainer: "Trainer") -> None:
        """Move the end of a resumed run as asked; keep settings that were changed."""
        state = trainer.state
        # An end that was moved after the checkpoint stays where it was moved to.
        state.max_steps = max(state.max_steps, self._recorder.info.max_steps) + self._more_steps
        if self._had_stopped_early:
            state.patience_from = state.step
        if self._changed:
            from slm_tui.live import resuming

            state.preset = self.preset.to_stored()
            resuming.write_preset(self.run, self.preset)

    def _prepared(self, progress: "Progress") -> None:
        self._set(stage=progress.stage, progress=progress.share or 0.0, pace=progress.detail)

    def _beat(self) -> None:
        while not self._ended.wait(1.0):
            self._recorder.beat()

    def _emit(self, event: Event) -> None:
        """Pass `event` on to everybody who listens. One that fails is told of once, and training
        goes on: what was trained is worth more than a line about it."""
        receivers: list[Sink] = [self._recorder, self._follow, self._logs, *self._sinks]
        broken: list[str] = []
        for number, receive in enumerate(receivers):
            try:
                receive(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, others must hear the event
                _LOG.debug("a receiver of events failed", exc_info=error)
                if number not in self._failed_sinks:
                    self._failed_sinks.add(number)
                    broken.append(f"an event was not written down: {in_words(error)}")
        for text in broken:
            self._emit(Warned(event.step, text))

    def _follow(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._status = replace(
                self._status,
                step=event.step,
                loss=event.loss,
                tokens_per_second=event.tokens_per_second,
            )
            self._pace.mark(event.step)
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


_READ_OTHERWISE = (
    "the text was prepared again by this version, which reads tables more carefully: "
    "it may differ a little from what the run began with"
)


def _make_room(directory: Path, step: int) -> None:
    """Set aside what stands in the way of the checkpoints after `step`: nothing of it is lost."""
    from slm_tui.training import checkpoint_dir

    for path in checkpoint_dir.later_than(directory, step):
        try:
            checkpoint_dir.read_manifest(path)
        except checkpoint_dir.RenamedError:
            why = "copied"
        except CheckpointError:
            why = "damaged"
        else:
            why = "damaged"
        checkpoint_dir.set_aside([path], why)


def _nothing_to_resume(run: Run, wrong: list[str]) -> CheckpointError:
    steps = run.info().step
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    why = f"{wrong[0]}{more}" if wrong else "it has no checkpoint"
    return CheckpointError(
        f"run {run.id} cannot be resumed",
        f"{steps:,} steps were made, and {why}" if steps else why,
        f"put its checkpoints back, or start again: slm-tui train {run.path / 'preset.toml'}",
    )
