"""One optimizer update: forward, backward, clip, update, in as few operations as possible."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch
from slm_tui.errors import TrainingError
from slm_tui.models.base import LanguageModel
from slm_tui.training.device import autocast
from slm_tui.training.optimizer import FlatAdamW

# A prime near 2^61: seed and step are mixed into the seed of the step's dropout.
_MIX = 2_305_843_009_213_693_951


@dataclass(frozen=True)
class Done:
    """What one update did. Not finite: the gradient was thrown away and nothing changed."""

    loss: float
    auxiliary_loss: float
    gradient_norm: float
    finite: bool
    warnings: list[str] = field(default_factory=list)


class Stepper:
    """Makes updates. `micro_batch` shrinks when memory runs out; the step stays the same."""

    def __init__(
        self, model: LanguageModel, optimizer: FlatAdamW, preset: Preset, device: torch.device
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._preset = preset
        self._device = device
        self._drops = getattr(preset.model, "dropout", 0.0) > 0
        self.micro_batch = preset.training.micro_batch

    def step(self, batch: Batch, learning_rate: float, step: int) -> Done:
        """Train on `batch`, `(sequences, block_size)`, all micro-batches of the step together.

        Raises:
            TrainingError: memory ran out with a micro-batch of one sequence.
        """
        ids = torch.from_numpy(batch.ids).to(self._device, non_blocking=True)
        targets = torch.from_numpy(batch.targets).to(self._device, non_blocking=True)
        warnings: list[str] = []
        while True:
            if self._drops:
                self._seed(step)
            try:
                total, auxiliary = self._accumulate(ids, targets)
                break
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                warnings.append(self._shrink())
        optimizer = self._optimizer
        norm = float(optimizer.gradient_norm())
        loss = float(total)
        finite = math.isfinite(norm) and math.isfinite(loss)
        if finite:
            optimizer.clip(norm)
            optimizer.update(learning_rate)
        optimizer.clear()
        return Done(loss, float(auxiliary), norm, finite, warnings)

    def _accumulate(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the mean loss over all sequences; returns cross-entropy and auxiliary."""
        sequences = len(ids)
        entropy = torch.zeros((), device=self._device)
        auxiliary = torch.zeros((), device=self._device)
        for at in range(0, sequences, self.micro_batch):
            part = ids[at : at + self.micro_batch]
            share = len(part) / sequences
            with autocast(self._preset.training.precision, self._device):
                loss = self._model.loss(part, targets[at : at + self.micro_batch])
            (loss.total if share == 1 else loss.total * share).backward()  # type: ignore[no-untyped-call]
            entropy += loss.cross_entropy.detach() * share
            for term in loss.auxiliary.values():
                auxiliary += term.detach() * share
        return entropy, auxiliary

    def _seed(self, step: int) -> None:
        """Dropout depends on (seed, step) alone: a resumed run needs no generator state."""
        seed = (self._preset.training.seed * 1_000_003 + step * 7_919 + 1) % _MIX
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _shrink(self) -> str:
        """Halve the micro-batch after an out-of-memory error; return what to tell the user."""
        self._optimizer.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self.micro_batch == 1:
            raise TrainingError(
                "memory ran out with one sequence at a time",
                "",
                "set a smaller model.block_size or model.n_embd",
            ) from None
        self.micro_batch = -(-self.micro_batch // 2)
        passes = -(
            -self._preset.training.micro_batch
            * self._preset.training.accumulation
            // self.micro_batch
        )
        return f"memory ran out: now {passes} passes of {self.micro_batch} sequences, same step"


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )
