"""The training loop. It emits events to a sink and takes requests from a control."""

import functools
import itertools
import logging
import time
from pathlib import Path

import torch

from slm_tui.config.preset import Preset
from slm_tui.config.usual import lower_rate, rates_in_words, times_usual
from slm_tui.corpus.prepare import Corpus
from slm_tui.errors import TrainingError
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build, count_parameters
from slm_tui.training import device as devices
from slm_tui.training import extension
from slm_tui.training.checkpoint import Checkpoint, CheckpointSnapshot, load_weights
from slm_tui.training.control import Control, Request
from slm_tui.training.events import (
    Cause,
    Changed,
    Continued,
    Failed,
    Finished,
    Paused,
    Reason,
    Requested,
    SaveKind,
    Saving,
    Sink,
    Skipped,
    Started,
    Warned,
    WentBack,
)
from slm_tui.training.guard import Guard
from slm_tui.training.launched import LaunchedStep, LaunchedSteps
from slm_tui.training.memory import failure, first_line, out_of_memory, with_retry
from slm_tui.training.observer import Observer
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.plateau import reduce_on_plateau
from slm_tui.training.precision import choose_format
from slm_tui.training.ranks import ALONE, Ranks
from slm_tui.training.rewind import go_back, relink_best, restore_best
from slm_tui.training.run_facts import facts
from slm_tui.training.state import TrainingState
from slm_tui.training.stepper import Stepper, StepResult
from slm_tui.training.team import Team, batches_of
from slm_tui.training.threads import Threads
from slm_tui.training.writer import CheckpointWriter, RetentionPolicy

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 0.2
_ONE_PRESS_SECONDS = 1.0


class Trainer:
    """One training run of one preset on a prepared corpus.

    `run` does everything in the calling thread, which makes every torch call of the run.

    Args:
        directory: for checkpoints.
        sink: receives every event, from the calling thread and from the checkpoint writer.
        resume: continue exactly from this checkpoint.
        initial: start with these weights instead of fresh ones (a fork).
        ranks: the processes that train together; this one is of rank 0.

    Raises:
        TrainingError: the device does not exist, the corpus differs from that of `resume`, or
            there are more ranks than sequences in a step.
        CorpusError: the corpus is too short for a window.
        CheckpointError: the checkpoint does not fit.
    """

    def __init__(
        self,
        preset: Preset,
        corpus: Corpus,
        directory: Path,
        sink: Sink,
        control: Control | None = None,
        *,
        resume: Checkpoint | None = None,
        initial: Checkpoint | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.preset = preset
        self.corpus = corpus
        self.control = control or Control()
        self._directory = directory
        self._sink = sink
        self._ranks = ranks
        self.device = ranks.place(devices.choose_device(preset.training.device))
        if resume is not None and resume.state.corpus != corpus.fingerprint:
            raise TrainingError(
                "the text is not the one this run was trained on",
                f"the corpus was {resume.state.corpus} and is now {corpus.fingerprint}",
                "restore the text, or start a new run with --from",
            )
        self.state = (
            resume.state
            if resume is not None
            else TrainingState.fresh(preset, corpus, str(torch.__version__))
        )
        self._threads = Threads.of(preset, self.device, ranks)
        self._batches = batches_of(preset, corpus, ranks)
        try:
            self._build(resume, initial)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise TrainingError(
                "there is not enough memory for this model",
                "it must hold weights, gradients and two moments",
                f"reduce {' or '.join(preset.model.size_settings)}, or close other programs",
            ) from None
        self._writer: CheckpointWriter | None = None
        usual = times_usual(preset, count_parameters(self.model))
        self._guard = Guard(corpus.tokenizer.n_vocab, usual)
        self._guard.load_state(self.state.guard)
        self._resumes = resume is not None
        # The end of the run was moved: that must be on disk before the first step.
        self.saves_first = False
        self._given_up = False
        self._cause: Cause = "other"

    def _build(self, resume: Checkpoint | None, initial: Checkpoint | None) -> None:
        """The model, its optimizer, and the parts that update and observe them."""
        preset, state = self.preset, self.state
        self.model = self._model(resume or initial)
        self.optimizer = FlatOptimizer(self.model, preset.optimizer)
        if resume is not None:
            self.optimizer.load_state(resume.moments())
        chosen = choose_format(preset, self.device, state.precision)
        state.precision = chosen
        self._stepper = Stepper(
            self.model, self.optimizer, preset, self.device, chosen, self._ranks, self.corpus.train
        )
        if resume is not None:
            self._stepper.at_once = state.micro_batch or self._stepper.at_once
            self._stepper.scale.value = state.loss_scale
            self._stepper.scale.calm = state.loss_scale_calm
        state.micro_batch = self._stepper.at_once
        state.loss_scale = self._stepper.scale.value
        self._launched = LaunchedSteps(self._stepper, preset.tokens_per_step)
        self._team = Team(self._ranks, self.device, self._stepper, self.optimizer)
        self._observer = Observer(
            self.model,
            self.corpus,
            preset,
            state,
            self.control,
            self._sink,
            self._stepper.format,
        )

    def _model(self, weights_of: Checkpoint | None) -> LanguageModel:
        n_vocab = self.corpus.tokenizer.n_vocab
        seed = self.preset.training.seed if weights_of is None else None
        model = build(self.preset.model, n_vocab, self.device, seed)
        if weights_of is not None:
            own, theirs = self.corpus.tokenizer.fingerprint, weights_of.tokenizer().fingerprint
            if own != theirs:
                raise TrainingError(
                    "the checkpoint has another vocabulary",
                    f"{weights_of.state.n_vocab} tokens of another tokenizer than the corpus",
                    "use the preset's own tokenizer settings, or start from scratch",
                )
            load_weights(model, weights_of.weights())
        return model.train()

    def run(self) -> Reason | None:
        """Train to the end or until a stop is requested; return why it ended, `None` on failure.

        Always writes a checkpoint before ending if there was a step since the last one.

        Raises:
            TrainingError: it did not start, because no thread for saving could be created.
        """
        training, state = self.preset.training, self.state
        policy = RetentionPolicy(training.keep_checkpoints, training.keep_every)
        self._writer = CheckpointWriter(self._directory, policy, self._sink, self.control)
        try:
            if self._resumes:
                relink_best(self._directory, state)
            self._team.begin(self.preset, self.corpus)
            if self.saves_first:
                self._save("last")
                self._writer.flush()
            self._choose_threads()
            self._sink(
                Started(
                    state.step,
                    state.max_steps,
                    self._facts(),
                    self._stepper.metrics,
                )
            )
            reason = self._loop()
            self._save("last")
            self._wait_for_save()
            if self._writer.failure:
                raise TrainingError(
                    f"training up to step {state.step} is not saved",
                    self._writer.failure,
                    "free some space, then resume the run from its last checkpoint",
                )
            restores = reason == "early stop" and training.early_stop_restore
            if restores and restore_best(self._directory, self.model):
                text = f"restored the best weights, from step {state.best_step}"
                self._sink(Warned(state.step, text))
            self._team.end(complete=reason != "stopped")
            self._sink(Finished(state.step, reason))
            return reason
        except Exception as error:  # noqa: BLE001 - save the progress after any error
            self._fail(error)
            return None
        finally:
            self._writer.close()

    def _wait_for_save(self) -> None:
        """Wait until the last checkpoint is on disk, even for disk space, unless stopped."""
        assert self._writer is not None
        state, reported, began = self.state, "", time.monotonic()
        while not self._given_up and not self._writer.idle(_WAIT_SECONDS):
            if self.control.blocked and not reported:
                reported = self.control.blocked
                self._sink(Paused(state.step, reported))
            request = self.control.take()
            # A held key or a repeated signal is not meant to cancel this wait.
            patient = time.monotonic() - began < _ONE_PRESS_SECONDS
            self._given_up = request is not None and request.verb == "stop" and not patient
        self._writer.flush()
        if reported and not self._writer.failure:
            self._sink(Continued(state.step))

    def _loop(self) -> Reason:
        state = self.state
        # What was due at the step of the checkpoint comes after its save: catch up.
        if self._look(state.step):
            return "early stop"
        while True:
            # Whatever is due after a step comes before requests, and needs its results.
            if self._launched.are_read:
                if self._obey():
                    return "stopped"
                if self._threads.look():
                    state.threads = self._threads.now
                    self._sink(Changed(state.step, "threads", state.threads))
            if self._is_over():
                break
            self._step()
            if state.step % self.preset.training.checkpoint_every == 0 and self._guard.is_sound:
                self._save("periodic")
                self._team.saved()
            if self._look(state.step):
                return "early stop"
        self._end_by_time()
        return "done"

    def _is_over(self) -> bool:
        """Whether all steps are done, or the time is used up."""
        state = self.state
        out_of_time = 0 < state.max_seconds <= state.elapsed_seconds
        return state.step >= state.max_steps or out_of_time

    def _end_by_time(self) -> None:
        """After a run that ended by time, its steps are all that it had. It can be extended."""
        state = self.state
        state.max_seconds = 0.0
        if state.step < state.max_steps:
            extension.end_here(state)
            self._sink(Changed(state.step, "max_steps", float(state.step)))

    def _step(self) -> None:
        """Launch one update. A GPU is given several of them before their results are read, unless
        something is to be done after this one."""
        state = self.state
        began = time.monotonic()
        rate = state.learning_rate_multiplier * state.plateau_multiplier
        rate *= extension.rate(self.preset, state)
        place = extension.place(self.preset, state)
        self._team.step(state.step, rate, place, state.max_steps - state.step)
        windows = self._batches.windows_of(state.step)
        self._stepper.meanwhile = functools.partial(
            self._batches.prefetch, state.step + 1, reads=not self._stepper.cuts_windows
        )
        self._stepper.launch(windows, rate, state.step, place)
        state.tokens_seen += self.preset.tokens_per_step
        state.step += 1
        launched = LaunchedStep(state.step, state.tokens_seen, rate)
        self._launched.add(launched, time.monotonic() - began)
        if self._stepper.must_wait or self._is_due():
            self._settle()

    def _is_due(self) -> bool:
        """Whether something is to be done before the next step."""
        step, training, control = self.state.step, self.preset.training, self.control
        every = (training.checkpoint_every, training.evaluate_every, training.sample_every)
        asked = control.waiting or control.blocked or self._ranks.stop_requested
        return bool(asked) or self._is_over() or any(step % one == 0 for one in every)

    def _settle(self, *, goes_back: bool = True) -> None:
        """Read the results of all steps that were launched, and judge them in their order; training
        does not go back after an error.

        Raises:
            TrainingError: training failed again after it had gone back once.
        """
        state, stepper = self.state, self._stepper
        read = self._launched.read()
        state.micro_batch = stepper.at_once
        state.loss_scale, state.loss_scale_calm = stepper.scale.value, stepper.scale.calm
        seconds = (one.seconds for one, _ in read)
        times = list(itertools.accumulate(seconds, initial=state.elapsed_seconds))
        state.elapsed_seconds, in_vain = times[-1], False
        for (one, done), elapsed in zip(read, times[1:], strict=True):
            for warning in done.warnings:
                self._sink(Warned(one.step - 1, warning))
            if in_vain:
                continue
            stepper.forward.stepped(one.seconds, state.max_steps - one.step + 1)
            if self._is_broken(one.step, done, goes_back=goes_back):
                # The steps that were launched after it do not count.
                in_vain = True
            elif done.finite:
                state.train_loss = done.loss
                is_last = one.step == state.step and self._is_over()
                if one.step % self.preset.training.log_every == 0 or is_last:
                    self._sink(one.event(done, elapsed))

    def _is_broken(self, step: int, done: StepResult, *, goes_back: bool) -> bool:
        """Report what is wrong with a step; whether training went back before it.

        Raises:
            TrainingError: training failed again after it had gone back once.
        """
        broken = self._guard.is_broken(done)
        if not done.finite:
            self.state.skipped_steps += 1
            self._sink(Skipped(step, done.loss, done.gradient_norm))
        if broken and goes_back:
            again = self._guard.has_gone_back
            if again or not self._go_back():
                self._cause = "other" if done.finite else "not finite"
                raise TrainingError(
                    broken,
                    rates_in_words(self.preset) + (", then half of it" if again else ""),
                    lower_rate(self.preset, count_parameters(self.model)),
                )
            return True
        spike = self._guard.spike(step, done) if done.finite else None
        if spike is not None:
            self._sink(spike)
        return False

    def _go_back(self) -> bool:
        """Return to the last good checkpoint with half the learning rate."""
        assert self._writer is not None
        self._writer.flush()
        state = self.state
        if not go_back(self._directory, self.model, self.optimizer, state, self._guard):
            return False
        self._team.share()
        self._sink(WentBack(state.step))
        self._sink(Changed(state.step, "learning_rate", state.learning_rate_multiplier))
        return True

    def _facts(self) -> dict[str, object]:
        return facts(
            self.preset,
            self.corpus,
            self.model,
            self.device,
            self.state.threads,
            self._stepper,
            self._batches,
            self._ranks.count,
        )

    def _choose_threads(self) -> None:
        """If it adapts, measure which thread count is fastest for these steps, without training."""
        state = self.state
        batch = self._batches.batch(state.step)
        if self._threads.adapts and not self._stepper.forward.is_compiled:
            self._threads.measure(lambda: self._stepper.rehearse(batch, state.step))
        state.threads = self._threads.now

    def _look(self, step: int) -> bool:
        """Evaluate and sample if due; save the best. Returns whether to stop early."""
        training = self.preset.training
        last = self._is_over()
        if step % training.evaluate_every == 0 or last:
            if self._observer.evaluate():
                self._save("best")
            for event in reduce_on_plateau(self.preset, self.state):
                self._sink(event)
            stops = self._observer.patience_is_over()
            if stops or last or step == 0:
                self._observer.evaluate_training()
            if stops:
                return True
        if (step and step % training.sample_every == 0) or last:
            self._observer.sample()
        return False

    def _save(self, kind: SaveKind) -> None:
        assert self._writer is not None
        step = self.state.step
        self._sink(Saving(step))
        self.state.guard = self._guard.state()
        try:
            snapshot = with_retry(self._snapshot, self.device)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or kind == "last":
                raise
            text = f"memory ran out: the checkpoint at step {step} is skipped"
            self._sink(Warned(step, f"{text} ({first_line(error)})"))
        else:
            self._writer.submit(snapshot, kind)

    def _snapshot(self) -> CheckpointSnapshot:
        return CheckpointSnapshot(
            self.optimizer.weights_by_name(),
            self.optimizer.state(),
            TrainingState(**vars(self.state)),
            self.corpus.tokenizer.to_json(),
        )

    def _obey(self) -> bool:
        """Handle the requests since the last step. Returns whether to stop."""
        paused, blocked = False, ""
        if self._ranks.stop_requested:
            self.control.stop()
        while True:
            request = self.control.take()
            if self.control.blocked and not blocked and not paused:
                blocked = self.control.blocked
                self._sink(Paused(self.state.step, blocked))
            elif blocked and not self.control.blocked:
                blocked = ""
                self._sink(Continued(self.state.step))
            if request is None:
                if not paused and not blocked:
                    return False
                self.control.wait(0.5)
            elif request.verb == "stop":
                # A user who stops a run that waits for disk space knows that it cannot save.
                self._given_up = bool(blocked)
                return True
            elif request.verb == "pause" and not paused:
                paused = True
                self._sink(Paused(self.state.step))
            elif request.verb == "continue" and paused:
                paused = False
                self._sink(Continued(self.state.step))
            else:
                self._carry_out(request)

    def _carry_out(self, request: Request) -> None:
        state = self.state
        if request.verb in ("save", "evaluate", "sample"):
            self._sink(Requested(state.step, request.verb))
        if request.verb == "save":
            self._save("manual")
        elif request.verb == "evaluate":
            if self._observer.evaluate(again=True):
                self._save("best")
        elif request.verb == "sample":
            self._observer.sample(again=True)
        elif request.verb == "rate":
            state.learning_rate_multiplier *= request.value
            self._sink(Changed(state.step, "learning_rate", state.learning_rate_multiplier))
        elif request.verb == "extend":
            self._extend(int(request.value))

    def _extend(self, steps: int) -> None:
        state = self.state
        extension.move_end(self.preset, state, state.max_steps + steps)
        self._sink(Changed(state.step, "max_steps", float(state.max_steps)))
        # A resumed run continues in the same way only if this is saved.
        if state.step and self._guard.is_sound:
            self._save("periodic")

    def _fail(self, error: Exception) -> None:
        """Save what is intact, then report the failure."""
        _LOG.debug("training failed", exc_info=error)
        assert self._writer is not None
        try:
            self._settle(goes_back=False)
            if self.state.step and not self.optimizer.is_torn and self.optimizer.is_finite():
                self._save("last")
                self._writer.flush()
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            self._sink(Warned(self.state.step, f"saving the last checkpoint failed too: {second}"))
        text = failure(error)
        self._team.fail(text)
        self._sink(Failed(self.state.step, text, self._cause))
