"""Trains small presets in this thread and records the events."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Evaluated, Event, Note, Stepped
from slm_tui.training.ranks import ALONE, Ranks
from slm_tui.training.trainer import Trainer


@dataclass
class Training:
    """A finished training: its trainer, and every event in order."""

    trainer: Trainer
    events: list[Event] = field(default_factory=list)
    reason: str | None = None

    def of(self, kind: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def losses(self) -> dict[int, float]:
        """Loss by step; of steps trained twice, the later one."""
        return {event.step: event.loss for event in self.of(Stepped)}

    @property
    def evaluations(self) -> dict[int, float]:
        return {event.step: event.loss for event in self.of(Evaluated)}

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.of(Note)]

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.trainer.optimizer.weights_by_name()


class At:
    """A sink that makes requests after given steps."""

    def __init__(self, control: Control, wishes: dict[int, Any]) -> None:
        self._control = control
        self._wishes = dict(wishes)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped) and event.step in self._wishes:
            self._wishes.pop(event.step)(self._control)


def train(
    preset: Preset,
    directory: Path,
    *,
    resume: bool = False,
    wishes: dict[int, Any] | None = None,
    more_steps: int = 0,
    patch: Any = None,
    ranks: Ranks = ALONE,
) -> Training:
    """Train `preset`; `wishes` are requests to the control, by the step after which they are
    made."""
    control = Control()
    at = At(control, wishes or {})
    events: list[Event] = []

    def sink(event: Event) -> None:
        events.append(event)
        at(event)

    directory.parent.mkdir(parents=True, exist_ok=True)
    newest = checkpoint.newest(directory)[0] if resume else None
    if newest is not None:
        newest.state.max_steps += more_steps
    trainer = Trainer(preset, prepare(preset), directory, sink, control, resume=newest, ranks=ranks)
    if patch is not None:
        patch(trainer)
    done = Training(trainer, events)
    done.reason = trainer.run()
    return done
