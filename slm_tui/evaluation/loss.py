"""The loss of a model on fixed windows of a split."""

import math
from dataclasses import dataclass
from threading import Event

import torch
import torch.nn.functional as F
from torch import Tensor

from slm_tui.corpus.batches import Batch
from slm_tui.models.base import LanguageModel


@dataclass(frozen=True)
class SplitLoss:
    """Sums over all scored targets: nats, tokens, and the same for targets that have bytes."""

    nats: float
    tokens: int
    text_nats: float
    bytes: int

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte: nats of targets that have bytes, divided by ln 2 times their bytes."""
        return self.text_nats / (math.log(2) * self.bytes) if self.bytes else math.nan


@torch.inference_mode()
def split_loss(
    model: LanguageModel,
    windows: Batch,
    byte_lengths: Tensor,
    sequences: int,
    *,
    stop: Event | None = None,
) -> SplitLoss | None:
    """Score every target of `windows` once, in eval mode; `None` if `stop` was set.

    Args:
        windows: ids and targets, `(windows, time)`.
        byte_lengths: bytes of each token, `(n_vocab,)`; 0 for tokens without text.
        sequences: windows per forward pass.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    nats = text_nats = 0.0
    tokens = size = 0
    try:
        for at in range(0, len(windows.ids), sequences):
            if stop is not None and stop.is_set():
                return None
            ids = torch.from_numpy(windows.ids[at : at + sequences]).to(device)
            targets = torch.from_numpy(windows.targets[at : at + sequences]).to(device)
            logits = model(ids).float()
            losses = F.cross_entropy(
                logits.view(-1, logits.shape[-1]), targets.flatten(), reduction="none"
            ).double()
            lengths = byte_lengths.to(device)[targets.flatten()]
            nats += float(losses.sum())
            text_nats += float(losses[lengths > 0].sum())
            tokens += losses.numel()
            size += int(lengths.sum())
    finally:
        model.train(was_training)
    return SplitLoss(nats, tokens, text_nats, size)
