"""Evaluates and samples the model during training, always on the same windows and prompts."""

import time

import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch, fixed_windows
from slm_tui.corpus.prepare import Corpus
from slm_tui.evaluation.loss import SplitLoss, split_loss
from slm_tui.generation.completions import Completion, write
from slm_tui.generation.replayed_steps import forget, problem_of
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel
from slm_tui.training.control import Control
from slm_tui.training.events import Evaluated, Sampled, Sink, TrainingEvaluated, Warned
from slm_tui.training.memory import first_line, out_of_memory, release
from slm_tui.training.precision import Format, autocast
from slm_tui.training.state import TrainingState

# All logits of a pass are held in fp32, with copies: the largest allowed number of them.
_MOST_LOGITS = 2**25


class Observer:
    """Evaluates on fixed windows and samples with fixed seeds; keeps the best in `state`."""

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus,
        preset: Preset,
        state: TrainingState,
        control: Control,
        sink: Sink,
        format: Format,
    ) -> None:
        self._model = model
        self._tokenizer = corpus.tokenizer
        self._preset = preset
        self._state = state
        self._control = control
        self._sink = sink
        self._format = format
        training = preset.training
        per_window = preset.model.block_size * model.n_vocab
        self._at_once = max(1, min(state.micro_batch or 1, _MOST_LOGITS // per_window))
        most = training.evaluate_batches * training.micro_batch
        self._windows = None
        if len(corpus.val) >= 2:
            self._windows = fixed_windows(corpus.val, preset.model.block_size, most)
        self._train, self._most = corpus.train, most
        self._byte_lengths = torch.from_numpy(corpus.tokenizer.byte_lengths().astype("int64"))
        self._begin = corpus.begins_documents
        self._told_of_graphs = False

    def evaluate(self, *, again: bool = False) -> bool:
        """Measure the validation loss; return whether it is the best so far.

        Does nothing if this step was already evaluated, unless `again`, or if there is no
        validation text.
        """
        state = self._state
        if self._windows is None or (state.evaluated_step == state.step and not again):
            return False
        began = time.monotonic()
        score = self._score(self._windows)
        if score is None:
            return False
        loss = score.nats_per_token
        first = state.evaluated_step != state.step
        state.evaluated_step, state.val_loss = state.step, loss
        state.val_bits_per_byte = score.bits_per_byte
        needed = (state.best_loss or 0.0) - self._preset.training.early_stop_min_delta
        is_best = first and loss == loss and (state.best_loss is None or loss < needed)
        if is_best:
            state.best_step, state.best_loss = state.step, loss
        seconds = time.monotonic() - began
        self._sink(
            Evaluated(
                state.step, state.elapsed_seconds, loss, score.bits_per_byte, is_best, seconds
            )
        )
        # The untrained model does not need a checkpoint.
        return is_best and state.step > 0

    def evaluate_training(self) -> None:
        """Measure the loss on the training text, on as many windows as that of validation."""
        began = time.monotonic()
        block = self._preset.model.block_size
        score = self._score(fixed_windows(self._train, block, self._most))
        if score is not None:
            seconds = time.monotonic() - began
            loss, bits = score.nats_per_token, score.bits_per_byte
            self._sink(TrainingEvaluated(self._state.step, loss, bits, seconds))

    def _score(self, windows: Batch) -> SplitLoss | None:
        """The loss of `windows`, with fewer at a time if memory runs out.

        `None` if it was interrupted, or if not even one fits in memory.
        """
        device = next(self._model.parameters()).device
        while True:
            try:
                with autocast(self._format, device):
                    return split_loss(
                        self._model,
                        windows,
                        self._byte_lengths,
                        self._at_once,
                        stop=self._control.stop_now,
                    )
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                reason = first_line(error)
            release(device, reason)
            if self._at_once == 1:
                self._warn("memory ran out while evaluating: this evaluation is skipped")
                return None
            self._at_once = -(-self._at_once // 2)
            self._warn(f"memory ran out while evaluating: now {self._at_once} sequences at a time")

    def _warn(self, text: str) -> None:
        self._sink(Warned(self._state.step, text))

    def patience_is_over(self) -> bool:
        """Whether the validation loss has not improved for as many steps as the preset allows."""
        patience, state = self._preset.training.early_stop_patience, self._state
        if patience is None or state.best_step is None:
            return False
        return state.step - max(state.best_step, state.patience_from) >= patience

    def sample(self, *, again: bool = False) -> None:
        """Continue each prompt of the preset with its fixed seed."""
        state = self._state
        if state.sampled_step == state.step and not again:
            return
        self._model.eval()
        try:
            if not self._write_samples():
                return
            state.sampled_step = state.step
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            release(next(self._model.parameters()).device, first_line(error))
            self._warn("memory ran out while sampling: this sample is skipped")
        finally:
            self._model.train()
            # The training needs the memory.
            forget(self._model)
        problem = problem_of(self._model)
        if problem and not self._told_of_graphs:
            self._told_of_graphs = True
            self._warn(f"samples are generated without CUDA graphs: {problem}")

    def _write_samples(self) -> bool:
        """Emit the samples in the order of the prompts; `False` if interrupted by a stop.

        They are generated together, which does not change them.
        """
        ended: dict[int, Completion] = {}
        reported = 0
        for text in write(
            self._model,
            self._tokenizer,
            self._preset.sampling.prompts,
            SamplingSettings.of(self._preset.sampling),
            begin=self._begin,
            stop=self._control.stop_now,
        ):
            if self._control.stop_now.is_set():
                return False
            ended[text.number] = text
            while (sample := ended.pop(reported, None)) is not None:
                reported += 1
                self._sink(Sampled(self._state.step, sample.prompt, sample.text, sample.seconds))
        return True
