"""One optimizer update: forward, backward, clip, update, in as few operations as possible."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch, Tokens, Windows
from slm_tui.errors import TrainingError
from slm_tui.models.base import LanguageModel
from slm_tui.training.compiled import Forward
from slm_tui.training.device_step import FINITE, LOSS, NORM, DeviceStep
from slm_tui.training.device_text import DeviceText
from slm_tui.training.lookahead import Lookahead
from slm_tui.training.memory import first_line, out_of_memory, release, sequences_at_once
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.precision import Format, LossScale, autocast, choose_format
from slm_tui.training.ranks import ALONE, Ranks
from slm_tui.training.schedule import windows_in_one

# A prime near 2^61, for mixing seed and step into the seed of the step's dropout.
_MIX = 2_305_843_009_213_693_951
_RANK_MIX = 1_000_000_000_039
# A text that takes less is not worth giving up when the memory of a GPU runs out.
_LARGE_TEXT = 2**26
# Before the name of a part.
_GRADIENT = "gradient_"


@dataclass(frozen=True)
class StepResult:
    """The result of one update. If not finite, the gradient was discarded and nothing changed."""

    loss: float
    gradient_norm: float
    finite: bool
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Stepper:
    """Runs updates. `at_once` is the number of sequences per forward pass; it is reduced when
    memory runs out, without changing the step. `format` replaces what the preset's precision means
    without a measurement.

    Args:
        ranks: the processes that share each step. All of them call `step` with the same learning
            rate and step, each with its own part of the sequences.
        text: the tokens of which the steps are windows. A GPU that cuts them itself is faster.

    Raises:
        TrainingError: the device does not support the preset's precision.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: FlatOptimizer,
        preset: Preset,
        device: torch.device,
        format: Format | None = None,
        ranks: Ranks = ALONE,
        text: Tokens | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._preset = preset
        self._device = device
        self._ranks = ranks
        self._sequences = preset.training.micro_batch * preset.training.accumulation
        self._drops = preset.model.dropout_rate > 0
        self.at_once = sequences_at_once(preset, model.n_vocab, device)
        self.format = format or choose_format(preset, device)
        self.scale = LossScale.of(self.format)
        self.forward = Forward(model, preset, device)
        self._model = model
        parts = sorted({model.part_of(name) for name, _ in model.named_parameters()}, key=_numeric)
        self._parts = parts if preset.training.gradient_norms else []
        # Into which each sequence is divided in the current step.
        self._windows = 1
        # Work for the host while a GPU computes a step.
        self.meanwhile: Callable[[], object] | None = None
        # fp16 repeats a step with another loss scale, which the host decides; so do several ranks
        # after one of them ran out of memory.
        on_device = device.type == "cuda" and not self.scale.moves and ranks.count == 1
        self._text: DeviceText | None = None
        self._device_step = self._on_device(text) if on_device else None
        self._of_graph = self._key()
        self._lookahead = Lookahead()
        self._done: list[StepResult] = []
        # What to tell the user of each step whose figures were not read yet.
        self._warnings: list[list[str]] = []

    def _on_device(self, text: Tokens | None) -> DeviceStep:
        if text is not None:
            self._text = DeviceText.of(text, self._preset.model.block_size, self._device)
        return DeviceStep(
            self._accumulate,
            self._optimizer,
            self._gradient_norms,
            self._seed,
            # Chunks of a text have other shapes in every step.
            replays=self._device.type == "cuda" and not self._model.stages_that_cut,
            text=self._text,
        )

    def _key(self) -> tuple[int, int, bool]:
        """What a captured step depends on, besides the shape of the batch."""
        return self.at_once, self._windows, self.forward.is_compiled

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics of every step: those of the model, and gradient norms."""
        return (*self._model.metrics, *(f"{_GRADIENT}{part}" for part in self._parts))

    @property
    def cuts_windows(self) -> bool:
        """Whether the device holds the text, so that the host need not read it."""
        return self._text is not None

    def step(
        self, windows: Windows | Batch, learning_rate: float, step: int, place: float | None = None
    ) -> StepResult:
        """`launch` a step and wait for its result."""
        self.launch(windows, learning_rate, step, place)
        return self.results()[-1]

    def launch(
        self, windows: Windows | Batch, learning_rate: float, step: int, place: float | None = None
    ) -> None:
        """Train on `windows`, `(sequences, block_size)`, all micro-batches of the step together.

        A CPU has computed the step when this returns, a GPU may still be busy with it. What it
        changes is the same in both cases; call `results` when `must_wait`, or before.

        Args:
            place: where in the planned steps it is, if the time that has passed decides that.

        Raises:
            TrainingError: memory ran out even with one sequence at a time.
        """
        self._divide(step if place is None else place)
        self._lookahead.launch()
        if self._device_step is not None:
            self._launch_on_device(self._device_step, windows, learning_rate, step)
        else:
            self._done.append(self._step(_batch(windows), learning_rate, step))

    @property
    def must_wait(self) -> bool:
        """Whether to call `results` before the next step is launched."""
        alone = self._device_step is None or self.forward.is_measuring
        return alone or self._lookahead.is_over

    def results(self) -> list[StepResult]:
        """Wait for the steps that were launched since the last call; their results, in order."""
        if self._device_step is not None:
            warnings, self._warnings = self._warnings, []
            for numbers, said in zip(self._device_step.read(), warnings, strict=True):
                loss, norm, finite = (numbers.pop(name) for name in (LOSS, NORM, FINITE))
                self._done.append(StepResult(loss, norm, bool(finite), numbers, said))
        self._lookahead.read()
        done, self._done = self._done, []
        return done

    def _step(self, batch: Batch, learning_rate: float, step: int) -> StepResult:
        """A step whose decisions the host makes."""
        ids, targets = self._to_device(batch)
        warnings: list[str] = []
        before = self.scale.value, self.scale.calm
        while True:
            total, metrics = self._within_memory(ids, targets, step, warnings)
            norm, loss = float(self._optimizer.gradient_norm()), float(total)
            finite = math.isfinite(norm) and math.isfinite(loss)
            # Overflow in fp16: repeat the same batch with a smaller scale.
            if finite or not math.isfinite(loss) or not self.scale.overflowed():
                break
            self._optimizer.clear()
        metrics |= self._gradient_norms()
        if finite:
            self.scale.succeeded()
            self._optimizer.clip(norm)
            self._optimizer.update(learning_rate)
        else:
            # No scale helped: the scale was not the cause.
            self.scale.value, self.scale.calm = before
        self._optimizer.clear()
        warnings += self.forward.notices
        self.forward.notices.clear()
        numbers = {name: float(value) for name, value in metrics.items()}
        return StepResult(loss, norm, finite, numbers, warnings)

    def _launch_on_device(
        self, run: DeviceStep, windows: Windows | Batch, learning_rate: float, step: int
    ) -> None:
        """A step with decisions on the device, as a CUDA graph where possible."""
        warnings: list[str] = []
        while True:
            if self._of_graph != self._key():
                self._of_graph = self._key()
                run.forget()
            try:
                run.launch(self._inputs(windows), learning_rate, step)
                break
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                reason = first_line(error)
            run.forget()
            if self._text is not None and self._text.nbytes >= _LARGE_TEXT:
                self._text = None
                run.drop_text()
                self._optimizer.clear()
                release(self._device, reason)
                warnings.append("memory ran out: the GPU no longer holds the text, same step")
            else:
                warnings.append(self._shrink(reason))
        for notices in (self.forward.notices, run.notices):
            warnings += notices
            notices.clear()
        self._warnings.append(warnings)
        if self.meanwhile is not None:
            self.meanwhile()

    def _inputs(self, windows: Windows | Batch) -> list[Tensor]:
        """What the device needs of a step, on the CPU."""
        if self._text is not None and isinstance(windows, Windows):
            return [torch.from_numpy(windows.starts)]
        batch = _batch(windows)
        return [torch.from_numpy(batch.ids), torch.from_numpy(batch.targets)]

    def _gradient_norms(self) -> dict[str, Tensor]:
        if not self._parts:
            return {}
        norms = self._optimizer.gradient_norms(self._model.part_of)
        return {f"{_GRADIENT}{part}": norms[part] for part in self._parts}

    def rehearse(self, batch: Batch, step: int) -> None:
        """The work of a step without its update, for measurements."""
        self._divide(step)
        self._within_memory(*self._to_device(batch), step, self.forward.notices)
        self._optimizer.clear()

    def _divide(self, place: float) -> None:
        preset = self._preset
        self._windows = windows_in_one(preset.schedule, place, preset.training.max_steps)

    def _to_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        ids = torch.from_numpy(batch.ids).to(self._device, non_blocking=True)
        return ids, torch.from_numpy(batch.targets).to(self._device, non_blocking=True)

    def _within_memory(
        self, ids: Tensor, targets: Tensor, step: int, warnings: list[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the batch, in smaller passes if necessary."""
        while True:
            self._seed(step)
            reason, where, done = "", "", None
            try:
                done = self._accumulate(ids, targets)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                reason = first_line(error)
            # Outside the handler: the traceback keeps the tensors of the failed pass alive.
            if self._ranks.count > 1:
                failed, done = self._combined(done)
                where = f" in the process of rank {failed[0]}" if failed else ""
            if done is not None:
                return done
            warnings.append(self._shrink(reason, where))

    def _combined(
        self, done: tuple[Tensor, dict[str, Tensor]] | None
    ) -> tuple[list[int], tuple[Tensor, dict[str, Tensor]] | None]:
        """Sum the gradients and figures of all ranks, unless memory ran out on some of them.

        Args:
            done: those of this rank; `None` if memory ran out here.
        """
        names = self._model.metrics
        numbers = [0.0] * (1 + len(names))
        if done is not None:
            entropy, metrics = done
            numbers = [float(entropy), *(float(metrics[name]) for name in names)]
        failed, sums = self._ranks.settle(done is None, numbers)
        if failed:
            return failed, None
        self._ranks.sum_(self._optimizer.gradients)
        total, *others = (torch.tensor(value, dtype=torch.float64) for value in sums)
        return [], (total, dict(zip(names, others, strict=True)))

    def _accumulate(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of the mean loss over all sequences; returns cross-entropy and metrics.

        With several ranks, the share of this one in them.
        """
        sequences = len(ids) if self._ranks.count == 1 else self._sequences
        entropy = torch.zeros((), device=self._device)
        metrics: dict[str, Tensor] = {}
        for at in range(0, len(ids), self.at_once):
            part, wanted = ids[at : at + self.at_once], targets[at : at + self.at_once]
            share = len(part) / sequences
            if self._windows > 1:
                part, wanted = (one.reshape(len(one) * self._windows, -1) for one in (part, wanted))
            with autocast(self.format, self._device):
                loss = self.forward(part, wanted)
            factor = share * self.scale.value
            (loss.total if factor == 1 else loss.total * factor).backward()  # type: ignore[no-untyped-call]
            entropy += loss.cross_entropy.detach() * share
            for name, value in loss.metrics.items():
                part_of_it = value.detach() * share
                metrics[name] = metrics[name] + part_of_it if name in metrics else part_of_it
        if self.scale.value != 1:
            # Before the norm is computed and the gradient clipped.
            self._optimizer.gradients.mul_(1 / self.scale.value)
        return entropy, metrics

    def _seed(self, step: int) -> None:
        """Dropout depends only on (seed, step, rank): a resumed run needs no generator state."""
        if not self._drops:
            return
        mixed = self._preset.training.seed * 1_000_003 + step * 7_919 + 1
        seed = (mixed + self._ranks.rank * _RANK_MIX) % _MIX
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _shrink(self, reason: str, where: str = "") -> str:
        """Halve the passes after an out-of-memory error; return what to tell the user."""
        self._optimizer.clear()
        release(self._device, reason)
        # The largest share of a rank in the step.
        most = -(-self._sequences // self._ranks.count)
        if min(self.at_once, most) == 1:
            raise TrainingError(
                f"memory ran out with one sequence at a time{where}",
                reason,
                f"reduce model.block_size or {self._preset.model.size_settings[0]}",
            )
        self.at_once = -(-min(self.at_once, most) // 2)
        passes = -(-most // self.at_once)
        return f"memory ran out{where}: now {passes} passes of {self.at_once} sequences, same step"


def _batch(windows: Windows | Batch) -> Batch:
    return windows.batch if isinstance(windows, Windows) else windows


def _numeric(part: str) -> tuple[str, int]:
    """Sorts `block2` before `block10`."""
    word = part.rstrip("0123456789")
    return word, int(part[len(word) :] or 0)
