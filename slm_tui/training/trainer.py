"""The training loop. Knows no screen: it emits events to a sink and obeys a control."""

import logging
import time
from pathlib import Path

import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batches
from slm_tui.corpus.prepare import Corpus
from slm_tui.errors import TrainingError
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build, count_parameters
from slm_tui.training import device as devices
from slm_tui.training.checkpoint import Checkpoint, Snapshot, TrainingState, load_weights, newest
from slm_tui.training.control import Control, Request
from slm_tui.training.events import (
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
    Started,
    Stepped,
    Warned,
)
from slm_tui.training.observe import Observer
from slm_tui.training.optimizer import FlatAdamW
from slm_tui.training.schedule import learning_rate
from slm_tui.training.stepper import Stepper
from slm_tui.training.writer import CheckpointWriter

_LOG = logging.getLogger(__name__)
_NON_FINITE_IN_A_ROW = 5
_RATE_WINDOW_SECONDS = 2.0


class Trainer:
    """One training of one preset on a prepared corpus.

    `run` does everything in the calling thread, which then owns every torch call of the run.

    Args:
        directory: where checkpoints go.
        sink: receives every event, from the calling thread and from the checkpoint writer.
        resume: go on exactly from this checkpoint.
        initial: start with these weights instead of fresh ones (a fork).

    Raises:
        TrainingError: the device is not there, or the corpus is another than that of `resume`.
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
    ) -> None:
        self.preset = preset
        self.corpus = corpus
        self.control = control or Control()
        self._directory = directory
        self._sink = sink
        training = preset.training
        self.device = devices.choose_device(training.device)
        if resume is not None and resume.state.corpus != corpus.fingerprint:
            raise TrainingError(
                "the text is not the one this run was trained on",
                f"the corpus was {resume.state.corpus} and is {corpus.fingerprint}",
                "bring the text back, or begin a new run with --from",
            )
        self.state = resume.state if resume is not None else self._fresh_state()
        torch.set_num_threads(self.state.threads)
        sequences = training.micro_batch * training.accumulation
        self._batches = Batches(corpus.train, preset.model.block_size, sequences, training.seed)
        self.model = self._model(resume or initial)
        self.optimizer = FlatAdamW(self.model, preset.optimizer)
        if resume is not None:
            self.optimizer.load_state(resume.moments())
        self._stepper = Stepper(self.model, self.optimizer, preset, self.device)
        self._stepper.micro_batch = self.state.micro_batch
        self._observer = Observer(self.model, corpus, preset, self.state, self.control, sink)
        self._writer: CheckpointWriter | None = None
        self._recovered = False
        self._non_finite = 0
        self._clock = 0.0
        self._recent: list[tuple[float, int]] = []

    def _fresh_state(self) -> TrainingState:
        training = self.preset.training
        return TrainingState(
            max_steps=training.max_steps,
            micro_batch=training.micro_batch,
            threads=devices.choose_threads(training.threads),
            n_vocab=self.corpus.tokenizer.n_vocab,
            begins_documents=self.corpus.begins_documents,
            corpus=self.corpus.fingerprint,
            preset=self.preset.to_dict(),
            torch_version=str(torch.__version__),
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
                    f"{weights_of.state.n_vocab} tokens cut in another way than the corpus",
                    "use the preset's own tokenizer settings, or start from scratch",
                )
            load_weights(model, weights_of.weights())
        return model.train()

    def run(self) -> Reason | None:
        """Train to the end, or until asked to stop; return why it ended, `None` after a failure.

        Every way out writes a checkpoint first if a step was made since the last one.
        """
        self._writer = CheckpointWriter(
            self._directory, self.preset.training.keep_checkpoints, self._sink
        )
        state = self.state
        self._sink(Started(state.step, state.max_steps, self.facts()))
        try:
            reason = self._loop()
            self._save("last")
            self._writer.flush()
            if self._writer.failure:
                raise TrainingError(
                    f"what was trained up to step {state.step} is not saved",
                    self._writer.failure,
                    "make room, then resume the run from its last checkpoint",
                )
            self._sink(Finished(state.step, reason))
            return reason
        except Exception as error:  # noqa: BLE001 - whatever failed, what was trained is saved
            self._fail(error)
            return None
        finally:
            self._writer.close()

    def facts(self) -> dict[str, object]:
        """What is trained on what: for the log, the screens and `run.json`."""
        counts = self.corpus.manifest["parts"]
        return {
            "parameters": count_parameters(self.model),
            "n_vocab": self.corpus.tokenizer.n_vocab,
            "device": devices.describe_device(self.device),
            "threads": self.state.threads,
            "torch": str(torch.__version__),
            "tokens_per_step": self.preset.tokens_per_step,
            "train_tokens": counts["train"]["tokens"],
            "val_tokens": counts["val"]["tokens"],
            "train_bytes_per_token": self.corpus.bytes_per_token("train"),
            "val_bytes_per_token": self.corpus.bytes_per_token("val"),
            "floor_bits_per_byte": self.corpus.floor,
            "windows_per_epoch": self._batches.windows,
            "corpus": self.corpus.fingerprint,
        }

    def _loop(self) -> Reason:
        state = self.state
        # What was due at the step of the checkpoint comes after its save: catch up.
        if self._look(state.step):
            return "early stop"
        while True:
            if self._obey():
                return "stopped"
            if state.step >= state.max_steps:
                break
            self._step()
            if state.step % self.preset.training.checkpoint_every == 0:
                self._save("periodic")
            if self._look(state.step):
                return "early stop"
        return "done"

    def _step(self) -> None:
        """One update, or one skipped because the gradient is not finite."""
        state = self.state
        began = time.monotonic()
        rate = state.learning_rate_multiplier * learning_rate(
            self.preset.schedule,
            self.preset.optimizer.learning_rate,
            state.step,
            state.max_steps,
            self.preset.training.max_steps,
        )
        batch = self._batches.batch(state.step)
        done = self._stepper.step(batch, rate, state.step)
        for warning in done.warnings:
            self._sink(Warned(state.step, warning))
        state.micro_batch = self._stepper.micro_batch
        ended = time.monotonic()
        state.elapsed_seconds += ended - began
        state.tokens_seen += self.preset.tokens_per_step
        state.step += 1
        if not done.finite:
            self._skipped(done.loss, done.gradient_norm)
            return
        self._non_finite = 0
        state.train_loss = done.loss
        if state.step % self.preset.training.log_every == 0 or state.step == state.max_steps:
            self._sink(
                Stepped(
                    state.step,
                    state.elapsed_seconds,
                    state.tokens_seen,
                    rate,
                    done.loss,
                    done.gradient_norm,
                    done.auxiliary_loss,
                    self._rate(ended, ended - began),
                )
            )

    def _rate(self, now: float, seconds: float) -> float:
        """Tokens per second over the last two seconds of training."""
        self._clock += seconds
        self._recent.append((self._clock, self.state.tokens_seen))
        while len(self._recent) > 2 and self._clock - self._recent[0][0] > _RATE_WINDOW_SECONDS:
            self._recent.pop(0)
        first_clock, first_tokens = self._recent[0]
        if self._clock > first_clock:
            return (self.state.tokens_seen - first_tokens) / (self._clock - first_clock)
        return self.preset.tokens_per_step / max(seconds, 1e-9)

    def _skipped(self, loss: float, norm: float) -> None:
        """Count a step that was not applied; after five in a row go back, then give up."""
        state = self.state
        state.skipped_steps += 1
        self._non_finite += 1
        what = f"loss {loss:.3g}, gradient norm {norm:.3g}"
        self._sink(Warned(state.step, f"step {state.step} skipped: not finite ({what})"))
        if self._non_finite < _NON_FINITE_IN_A_ROW:
            return
        if self._recovered or not self._go_back():
            raise TrainingError(
                f"the loss is not finite ({what}) for {self._non_finite} steps in a row",
                f"the learning rate was {self.preset.optimizer.learning_rate:g}"
                + (", then half of it" if self._recovered else ""),
                "try a tenth of optimizer.learning_rate, or a smaller gradient_clip",
            )

    def _go_back(self) -> bool:
        """Return to the last good checkpoint with half the learning rate."""
        assert self._writer is not None
        self._writer.flush()
        good, _ = newest(self._directory)
        if good is None:
            return False
        load_weights(self.model, good.weights())
        self.optimizer.load_state(good.moments())
        self.optimizer.clear()
        state = self.state
        state.step, state.tokens_seen = good.state.step, good.state.tokens_seen
        # What was seen later is seen again, at the other rate.
        state.evaluated_step = good.state.evaluated_step
        state.sampled_step = good.state.sampled_step
        state.learning_rate_multiplier = good.state.learning_rate_multiplier / 2
        self._non_finite, self._recovered = 0, True
        self._sink(Warned(state.step, f"back to step {state.step} with half the learning rate"))
        self._sink(Changed(state.step, "learning_rate", state.learning_rate_multiplier))
        return True

    def _look(self, step: int) -> bool:
        """Evaluate and sample if due; keep the best. Returns whether to stop early."""
        training, state = self.preset.training, self.state
        last = step >= state.max_steps
        if step % training.evaluate_every == 0 or last:
            if self._observer.evaluate():
                self._save("best")
            if self._observer.patience_is_over():
                return True
        if (step and step % training.sample_every == 0) or last:
            self._observer.sample()
        return False

    def _save(self, kind: SaveKind) -> None:
        assert self._writer is not None
        self._sink(Saving(self.state.step))
        state = TrainingState(**vars(self.state))
        snapshot = Snapshot(
            self.optimizer.weights_by_name(),
            self.optimizer.state(),
            state,
            self.corpus.tokenizer.to_json(),
        )
        self._writer.submit(snapshot, kind)

    def _obey(self) -> bool:
        """Do what was asked since the last step. Returns whether to stop."""
        paused = False
        while True:
            request = self.control.take()
            if request is None:
                if not paused:
                    return False
                self.control.wait(0.5)
            elif request.verb == "stop":
                return True
            elif request.verb == "pause" and not paused:
                paused = True
                self._sink(Paused(self.state.step))
            elif request.verb == "continue" and paused:
                paused = False
                self._sink(Continued(self.state.step))
            else:
                self._fulfil(request)

    def _fulfil(self, request: Request) -> None:
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
            state.max_steps += int(request.value)
            self._sink(Changed(state.step, "max_steps", float(state.max_steps)))

    def _fail(self, error: Exception) -> None:
        """Save what is sound, then say what failed."""
        _LOG.debug("training failed", exc_info=error)
        assert self._writer is not None
        try:
            if bool(torch.isfinite(self.optimizer.weights).all()) and self.state.step:
                self._save("last")
                self._writer.flush()
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            self._sink(Warned(self.state.step, f"the last checkpoint failed too: {second}"))
        text = str(error) or type(error).__name__
        if not isinstance(error, TrainingError):
            text = f"{type(error).__name__}: {text}"
        self._sink(Failed(self.state.step, text))
