"""Which checkpoint the chat is about: loaded, wanted, or offered because it is newer."""

import time
from pathlib import Path

from slm_tui.live.generation_thread import ModelFacts
from slm_tui.runs.info import is_run
from slm_tui.runs.store import Run
from slm_tui.tui.screens.chat.checkpoints import (
    CheckpointOffer,
    first_model,
    has_checkpoint,
    newer_than,
    run_label,
)

_LOOK_SECONDS = 1.0


class CheckpointChoice:
    """Remembers what was asked for, and looks for something newer once a second.

    `wanted` is the checkpoint, or the run directory whose best one, that is loaded or being
    loaded; `newer` is what its run has beside it.
    """

    def __init__(self) -> None:
        self.wanted: Path | None = None
        self.newer: CheckpointOffer | None = None
        self._to_open: Path | None = None
        self._seen_run: Path | None = None
        self._lacked = False  # the wanted run had no checkpoint yet: look again
        self._looked = 0.0
        self._name: tuple[Path | None, str] = (None, "")

    def open(self, checkpoint: Path) -> None:
        """Load `checkpoint` the next time `next` is asked."""
        self._to_open = checkpoint

    def next(self, opened: Path | None, training: Run | None) -> Path | None:
        """What to load now: what another screen handed over, or a run that was opened since; at
        first the best of the run that trains or of the newest. `None` for nothing new."""
        self._name = (None, "")
        if self._to_open is not None:
            path, self._to_open = self._to_open, None
            self._seen_run = opened
            return path
        if opened is not None and opened != self._seen_run:
            self._seen_run = opened
            return opened
        return first_model(training) if self.wanted is None else None

    def load(self, path: Path) -> None:
        """`path` is being loaded."""
        self.wanted, self.newer, self._looked = path, None, time.monotonic()
        self._lacked = is_run(path) and not has_checkpoint(Run(path))

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() - self._looked >= _LOOK_SECONDS

    def look(self, facts: ModelFacts | None) -> Path | None:
        """Look for something newer; returns what should be loaded at once."""
        self._looked = time.monotonic()
        if self.wanted is not None and self._lacked:
            return self.wanted if has_checkpoint(Run(self.wanted)) else None
        if facts is not None:
            self.look_beside(facts)
        return None

    def look_beside(self, facts: ModelFacts) -> None:
        """Look now what the run of the loaded checkpoint has beside it."""
        self.newer = newer_than(facts.checkpoint)

    def name(self, facts: ModelFacts | None) -> str:
        """The name of the run that is loaded or will be."""
        path = facts.checkpoint if facts is not None else self.wanted
        if path is None:
            return ""
        if self._name[0] != path:
            self._name = (path, run_label(path))
        return self._name[1]
