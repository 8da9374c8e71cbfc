"""Training events as plain data. The trainer emits these to a sink."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

SaveKind = Literal["periodic", "best", "last", "manual"]
Cause = Literal["other", "not finite"]
Reason = Literal["done", "stopped", "early stop"]


@dataclass(frozen=True)
class Started:
    """Training starts or resumes at `step`; `facts` describe it, `metrics` are the names of
    the metrics that every step reports besides its loss."""

    step: int
    max_steps: int
    facts: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """One optimizer update. Losses in nats per token; `tokens_per_second` over recent steps.

    `metrics` are the other figures that the model reports, by name.
    """

    step: int
    elapsed_seconds: float
    tokens_seen: int
    learning_rate: float
    loss: float
    gradient_norm: float
    tokens_per_second: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """The validation loss in nats per token, and in bits per byte."""

    step: int
    elapsed_seconds: float
    loss: float
    bits_per_byte: float
    is_best: bool
    seconds: float


@dataclass(frozen=True)
class TrainingEvaluated:
    """The loss on fixed windows of the training text, evaluated like the validation loss, before
    the first step and after the last one. In nats per token, and in bits per byte."""

    step: int
    loss: float
    bits_per_byte: float
    seconds: float


@dataclass(frozen=True)
class Sampled:
    """A sample of the model. `text` is the continuation only."""

    step: int
    prompt: str
    text: str
    seconds: float


@dataclass(frozen=True)
class Saving:
    """A checkpoint is about to be written: everything logged so far must be on disk first."""

    step: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint is complete on disk."""

    step: int
    kind: SaveKind
    name: str
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Warned:
    """Something the user should know; training continues."""

    step: int
    message: str


@dataclass(frozen=True)
class Skipped:
    """An update was skipped: the loss, in nats, or the gradient norm is not finite."""

    step: int
    loss: float
    gradient_norm: float

    @property
    def message(self) -> str:
        what = f"loss {self.loss:.3g}, gradient norm {self.gradient_norm:.3g}"
        return f"step {self.step} skipped: not finite ({what})"


@dataclass(frozen=True)
class Spiked:
    """The loss jumped far above its usual value; both in nats per token."""

    step: int
    loss: float
    usual: float
    gradient_norm: float

    @property
    def message(self) -> str:
        return (
            f"loss spike: {self.loss:.3g} nats, usually {self.usual:.3g} "
            f"(gradient norm {self.gradient_norm:.3g})"
        )


@dataclass(frozen=True)
class WentBack:
    """Training failed and continues from the checkpoint of `step` at half the learning rate."""

    step: int

    @property
    def message(self) -> str:
        return f"back to step {self.step} with half the learning rate"


@dataclass(frozen=True)
class Requested:
    """A request was carried out at this step: `save`, `evaluate` or `sample`."""

    step: int
    verb: str


@dataclass(frozen=True)
class Changed:
    """A live change of the run: `learning_rate` (the new multiplier), `max_steps`, `threads`."""

    step: int
    what: str
    value: float


@dataclass(frozen=True)
class Paused:
    """Training is paused; `reason` is set if nobody requested it."""

    step: int
    reason: str = ""


@dataclass(frozen=True)
class Continued:
    """Training continues after a pause."""

    step: int


@dataclass(frozen=True)
class Finished:
    """Training ended normally; everything is on disk."""

    step: int
    reason: Reason


@dataclass(frozen=True)
class Failed:
    """Training ended with an error; the last checkpoint is on disk."""

    step: int
    error: str
    cause: Cause = "other"


Event = (
    Started
    | Stepped
    | Evaluated
    | TrainingEvaluated
    | Sampled
    | Saving
    | Saved
    | Warned
    | Skipped
    | Spiked
    | WentBack
    | Requested
    | Changed
    | Paused
    | Continued
    | Finished
    | Failed
)
# What the user should know while training continues; each has a `message`.
Note = Warned | Skipped | Spiked | WentBack
Sink = Callable[[Event], None]
