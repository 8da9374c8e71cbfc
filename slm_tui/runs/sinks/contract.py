"""The interface of a logging destination, and the figures that each one receives."""

import math
from collections.abc import Sequence
from typing import Protocol

from slm_tui.training.events import Evaluated, Sampled, Stepped


class Destination(Protocol):
    """Receives the log of one run. All calls come from one thread; any of them may fail.

    Steps come in order, except after `rewind`.
    """

    can_rewind: bool
    """Whether written steps can be removed."""

    def rewind(self, step: int) -> None:
        """Remove everything from `step` on. Only called if `can_rewind`."""

    def scalars(self, step: int, values: dict[str, float], when: float) -> None:
        """Write the figures of a step; `when` in seconds since the epoch."""

    def samples(self, step: int, samples: Sequence[Sampled], when: float) -> None:
        """Write the samples of a step."""

    def flush(self) -> None:
        """Make what was written survive the death of this process."""

    def close(self, *, failed: bool) -> None:
        """Finish. `failed` says that training failed."""


def figures(event: Stepped | Evaluated, bytes_per_token: float) -> dict[str, float]:
    """The scalars of an event, by name: losses in nats per token, `bpb` in bits per byte."""
    if isinstance(event, Evaluated):
        return {"loss/validation": event.loss, "bpb/validation": event.bits_per_byte}
    return {
        "loss/train": event.loss,
        "bpb/train": event.loss / math.log(2) / bytes_per_token,
        "learning_rate": event.learning_rate,
        "gradient_norm": event.gradient_norm,
        "tokens_per_second": event.tokens_per_second,
        **{f"metrics/{name}": value for name, value in event.metrics.items()},
    }
