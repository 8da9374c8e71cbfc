"""The interface of a logging destination, and the figures that each one receives."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from slm_tui import safe_files
from slm_tui.config.preset import Preset
from slm_tui.training.events import Evaluated, Sampled, Started, Stepped

_NOT_HYPERPARAMETERS = ("name", "title", "group", "description", "base", "sampling.prompts")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


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


def hyperparameters(preset: Preset, started: Started) -> dict[str, Any]:
    """Settings and facts of a run, by dotted path."""
    values = _flat(preset.to_dict())
    values = {name: one for name, one in values.items() if name not in _NOT_HYPERPARAMETERS}
    return values | {f"facts.{name}": one for name, one in started.facts.items() if one is not None}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in values.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        result |= {f"{prefix}{name}": value} if inner is None else inner
    return result


def kept_id(path: Path) -> str:
    """The id that another tool gave the run; empty if there is none yet, or it is no id."""
    try:
        run_id = str(safe_files.read_json(path, 1000))
    except (OSError, ValueError):
        return ""
    # It becomes part of a file name or an address.
    return run_id if _ID.fullmatch(run_id) else ""


def keep_id(path: Path, run_id: str) -> None:
    """Store the id for `kept_id`.

    Raises:
        OSError: it cannot be written.
    """
    safe_files.write_atomically(path, json.dumps(run_id))
