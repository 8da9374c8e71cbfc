"""A training in this process: its thread, its run directory, and its public status."""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui import safe_files
from slm_tui.config.preset import Preset
from slm_tui.errors import CheckpointError, RunError, cause_of, in_words, remedy_for
from slm_tui.formatting import finite
from slm_tui.live import resuming, steering
from slm_tui.live.status import Status
from slm_tui.live.step_pace import StepPace, steps_in_time
from slm_tui.runs import store
from slm_tui.runs.recorder import Recorder
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
    from slm_tui.training.ranks import Position
    from slm_tui.training.trainer import Trainer

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 100


class Session:
    """Trains one run in its own thread, which makes all torch calls of the run.

    Create one with `start`, `resume` or `fork`. All methods may be called from any thread.
    """

    def __init__(
        self,
        run: Run,
        preset: Preset,
        *,
        resume: bool = False,
        changed: bool = False,
        more_steps: int = 0,
        rewarm: bool = False,
        initial: Path | None = None,
        sinks: tuple[Sink, ...] = (),
        position: "Position | None" = None,
    ) -> None:
        """Open the files of the run and lock it; `_begin` starts the thread.

        Raises:
            RunError: it is training already, or its record is damaged.
            OSError: its files cannot be opened.
        """
        self.run = run
        self.preset = preset
        self.control = Control()
        # Unattended: a run that cannot start is kept, so that its error can be read later.
        self.unattended = False
        self._resume = resume
        self._changed = changed
        self._more_steps, self._rewarm = more_steps, rewarm
        self._initial = initial
        self._sinks = sinks
        self._position = position
        self._status = Status(run=run.id, max_steps=preset.training.max_steps)
        self._pace = StepPace()
        self._cancel = threading.Event()
        self._began = False
        self._ends_by_time = False
        # Its patience was used up: reset it, or the run would stop immediately.
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
        group: str = "",
        variation: str = "",
        before: str = "",
        remedy: str = "",
        sinks: tuple[Sink, ...] = (),
        position: "Position | None" = None,
    ) -> "Session":
        """Start a new run, from the weights of checkpoint `initial` if given.

        Args:
            position: that of this process, of rank 0, if `torchrun` started it with others.
            group: the suite that it belongs to, and `variation` what it is there.
            before: the run for which `remedy` was proposed.

        Raises:
            RunError: the run directory cannot be made.
            SlmTuiError: `name` is not a valid name.
        """
        parent = f"{initial.parent.parent.name}@{initial.name}" if initial else ""
        run = store.create(
            preset, name, parent, group=group, variation=variation, before=before, remedy=remedy
        )
        try:
            session = cls._opened(run, preset, initial=initial, sinks=sinks, position=position)
            session._begin()
        except BaseException:
            # Nothing was trained: remove the empty run.
            store.drop(run)
            raise
        return session

    @classmethod
    def resume(
        cls,
        run: Run,
        *,
        more_steps: int = 0,
        rewarm: bool = False,
        preset: Preset | None = None,
        sinks: tuple[Sink, ...] = (),
        position: "Position | None" = None,
    ) -> "Session":
        """Resume a run exactly at its newest complete checkpoint.

        Args:
            rewarm: with `more_steps`, warm up to the peak learning rate again.
            preset: that of the run with changes that `resuming.check` accepts; they are saved.

        Raises:
            RunError: it is training already, or is finished and `more_steps` is 0.
            PresetError: its preset cannot be read.
        """
        own = run.preset()
        resuming.check_end(run, own, more_steps, rewarm=rewarm)
        session = cls._opened(
            run,
            preset or own,
            resume=True,
            changed=preset is not None and preset != own,
            more_steps=more_steps,
            rewarm=rewarm,
            sinks=sinks,
            position=position,
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
            raise RunError("training cannot start", in_words(error)) from None

    @property
    def status(self) -> Status:
        """The current status; a new object after every change."""
        status = self._status
        if not status.is_live:
            return status
        return replace(status, eta_seconds=self._pace.seconds_for(status.max_steps - status.step))

    @property
    def is_live(self) -> bool:
        return not self._ended.is_set()

    def stop(self) -> None:
        """Save and stop at the next step boundary, or immediately while still preparing."""
        self._cancel.set()
        self.control.stop()

    def add_sink(self, sink: Sink) -> None:
        """Send events to `sink` from now on."""
        self._sinks = (*self._sinks, sink)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until training has ended and everything is on disk; return whether it has."""
        ended = self._ended.wait(seconds)
        if ended and threading.current_thread() not in (self._thread, self._heart):
            # A thread still unwinding torch's frames at process exit would abort the process.
            for thread in (self._thread, self._heart):
                if thread.ident is not None:
                    thread.join()
        return ended

    def _main(self) -> None:
        server = None
        try:
            self._heart.start()
            server = steering.serve(self.run.path, self._public_status, self._obey)
            self._train()
        except Exception as error:  # noqa: BLE001 - nothing above this catches it: report it
            _LOG.debug("training failed", exc_info=error)
            self._emit(Failed(self._status.step, in_words(error)))
        finally:
            self._finish(server)

    def _finish(self, server: "steering.Server | None") -> None:
        """Close everything and unlock the run, even if some steps fail."""
        with contextlib.ExitStack() as last:
            last.callback(self._ended.set)
            last.callback(self._guarded, "the run was not closed properly", self._open.close)
            if server is not None:
                last.callback(self._guarded, "its socket was not closed", server.close)
            self._guarded("the log was not written", self._recorder.settle)
            if self._began or self._resume:
                self._guarded("the summary of the run was not written", self._write_summary)
                self._guarded("the estimate was not checked", self._check_estimate)
            self._guarded("another log was not closed", self._logs.close)
            self._recorder.close()
            has_started = self._began or self._resume or self.unattended
            if self._status.state == "failed" and not has_started:
                # Nothing was trained: the error is reported, so remove the empty run.
                store.drop(self.run)

    def _check_estimate(self) -> None:
        from slm_tui.training.calibrate import forget_if_wrong

        info = self.run.info()
        forget_if_wrong(self.preset, info.facts, info.tokens_per_second)

    def _guarded(self, what: str, action: Callable[[], Any]) -> None:
        """Run `action`; report its errors without raising them."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the run must be unlocked in any case
            _LOG.debug(what, exc_info=error)
            self._emit(Warned(self._status.step, f"{what}: {in_words(error)}"))

    def _public_status(self) -> dict[str, Any]:
        """The status as sent to other processes."""
        values = finite(asdict(self.status))
        assert isinstance(values, dict)
        return values

    def _obey(self, request: Request) -> None:
        """Handle a request of another process.

        Raises:
            RunError: the run has ended, or has too many pending requests.
        """
        if not self.status.is_live:
            raise RunError("the run has ended")
        if request.verb == "stop":
            self.stop()
        elif self.control.waiting >= _MOST_WAITING:
            raise RunError("the run is busy with earlier requests")
        else:
            self.control.put(request)

    def _write_summary(self) -> None:
        """Write the summary of the run."""
        from slm_tui.runs.results import write_results

        write_results(self.run, self.preset)

    def _train(self) -> None:
        from slm_tui.corpus.prepare import Cancelled
        from slm_tui.live import processes
        from slm_tui.training.device import long_on_cpu

        # Before a text is downloaded.
        left = self._status.max_steps - self._status.step + self._more_steps
        if notice := long_on_cpu(self.preset, left):
            self._emit(Warned(self._status.step, notice))
        log = self.run.path / "console.log"
        try:
            with processes.together(self.preset, self._position, log, self._cancel) as ranks:
                self._ranks = ranks
                trainer = self._resumed() if self._resume else self._fresh()
                trainer.run()
        except Cancelled:
            self._emit(Finished(self._status.step, "stopped"))

    def _fresh(self) -> "Trainer":
        """A trainer at step 0; for a fork, with the weights and the tokenizer of a checkpoint."""
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
        """A trainer at the newest complete checkpoint that can be loaded.

        Newer, unusable ones are set aside and reported.

        Raises:
            CheckpointError: the run has steps, but no usable checkpoint.
        """
        from slm_tui.training import checkpoint, checkpoint_dir

        self._set(stage="reading the checkpoint")
        directory = self.run.checkpoints
        checkpoint_dir.check_place(directory)
        checkpoint_dir.sweep(directory)
        wrong: list[str] = []
        for saved in checkpoint.whole_ones(directory, wrong):
            step = saved.state.step
            self._set(step=step)
            corpus = resuming.corpus_of(self.run, self.preset, saved, self._prepared, self._cancel)
            read_otherwise = saved.state.corpus not in ("", corpus.fingerprint)
            saved.state.corpus = corpus.fingerprint
            try:
                trainer = self._trainer(corpus, resume=saved)
            except checkpoint_dir.UnavailableError:
                raise
            except CheckpointError as error:
                wrong.append(f"checkpoint {saved.path.name} cannot be loaded: {error}")
                continue
            for text in wrong:
                self._emit(Warned(step, f"{text}: using an older one"))
            if read_otherwise:
                self._emit(Warned(step, _READ_OTHERWISE))
            resuming.set_aside_later(directory, step)
            self._extend(trainer)
            return trainer
        wrong += checkpoint_dir.invalid_in(directory)
        if wrong or self._has_steps():
            raise resuming.nothing_to_resume(self.run, wrong)
        return self._fresh()

    def _has_steps(self) -> bool:
        """Whether the run was ever trained; a truncated log may have less than `run.json`."""
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
            ranks=self._ranks,
        )

    def _extend(self, trainer: "Trainer") -> None:
        """Move the end of a resumed run as requested; save changed settings."""
        note = resuming.extend(
            trainer,
            self._recorder.info.max_steps,
            self._more_steps,
            rewarm=self._rewarm,
            stopped_early=self._had_stopped_early,
        )
        if note:
            self._emit(Warned(trainer.state.step, note))
        if self._changed:
            trainer.state.preset = self.preset.to_stored()
            resuming.write_preset(self.run, self.preset)

    def _prepared(self, progress: "Progress") -> None:
        self._set(stage=progress.stage, progress=progress.share or 0.0, pace=progress.detail)

    def _beat(self) -> None:
        while not self._ended.wait(1.0):
            self._recorder.beat()

    def _emit(self, event: Event) -> None:
        """Pass `event` to all sinks. A failing sink is reported once, and training
        continues: the training matters more than a log line."""
        receivers: list[Sink] = [self._recorder, self._follow, self._logs, *self._sinks]
        broken: list[str] = []
        for number, receive in enumerate(receivers):
            try:
                receive(event)
            except Exception as error:  # noqa: BLE001 - other sinks must still get the event
                _LOG.debug("a receiver of events failed", exc_info=error)
                if number not in self._failed_sinks:
                    self._failed_sinks.add(number)
                    broken.append(f"an event was not recorded: {in_words(error)}")
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
            if self._ends_by_time:
                self._set(max_steps=steps_in_time(self.preset.training, event))
            self._pace.mark(event.step)
        elif isinstance(event, Started):
            self._began = True
            training = self.preset.training
            # An extended run has more steps, and no limit on its time.
            self._ends_by_time = bool(training.max_minutes) and (
                event.max_steps == training.max_steps
            )
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
    "it may differ slightly from the text the run started with"
)
