"""The checkpoint of the chat: loaded, requested, or offered because it is newer."""

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
    """Remembers the requested checkpoint, and looks for a newer one once a second.

    `target` is the checkpoint that is loaded or loading, or the run directory whose best one
    is; `newer` is another checkpoint of its run.
    """

    def __init__(self) -> None:
        self.target: Path | None = None
        self.newer: CheckpointOffer | None = None
        self._to_open: Path | None = None
        self._seen_run: Path | None = None
        self._lacked = False  # the requested run had no checkpoint yet: look again
        self._looked = 0.0
        self._name: tuple[Path | None, str] = (None, "")

    def open(self, checkpoint: Path) -> None:
        """Return `checkpoint` from the next call of `next`."""
        self._to_open = checkpoint

    def next(self, opened: Path | None, training: Run | None) -> Path | None:
        """What to load now: the checkpoint passed by another screen, or a run opened since; at
        first the best of the run that is training, or of the newest. `None` for nothing new."""
        self._name = (None, "")
        if self._to_open is not None:
            path, self._to_open = self._to_open, None
            self._seen_run = opened
            return path
        if opened is not None and opened != self._seen_run:
            self._seen_run = opened
            return opened
        return first_model(training) if self.target is None else None

    def load(self, path: Path) -> None:
        """`path` is being loaded."""
        self.target, self.newer, self._looked = path, None, time.monotonic()
        self._lacked = is_run(path) and not has_checkpoint(Run(path))

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() - self._looked >= _LOOK_SECONDS

    def look(self, facts: ModelFacts | None) -> Path | None:
        """Look for a newer checkpoint; return what should be loaded immediately."""
        self._looked = time.monotonic()
        if self.target is not None and self._lacked:
            return self.target if has_checkpoint(Run(self.target)) else None
        if facts is not None:
            self.look_beside(facts)
        return None

    def look_beside(self, facts: ModelFacts) -> None:
        """Look now for other checkpoints of the loaded run."""
        self.newer = newer_than(facts.checkpoint)

    def name(self, facts: ModelFacts | None) -> str:
        """The name of the run that is loaded or will be."""
        path = facts.checkpoint if facts is not None else self.target
        if path is None:
            return ""
        if self._name[0] != path:
            self._name = (path, run_label(path))
        return self._name[1]
