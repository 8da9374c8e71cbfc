"""Looks up the samples of a run in its training text while the run is shown."""

import threading

from slm_tui.evaluation.memorisation import Copying
from slm_tui.live.background import Background
from slm_tui.runs.copied_samples import of_samples
from slm_tui.runs.curves import Sample


class CopyWatcher:
    """Looks up the newest samples in a thread; `copying` is the last answer, or `None`."""

    def __init__(self) -> None:
        self._background: Background[Copying | None] = Background("copying", None)
        self._asked: tuple[str, int, int] | None = None

    @property
    def copying(self) -> Copying | None:
        """What was found last."""
        return self._background.snapshot

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being worked out."""
        return self._background.is_busy

    def ask(self, fingerprint: str, samples: list[Sample]) -> None:
        """Look up `samples` unless they were; returns at once."""
        if not samples or not fingerprint or self.is_busy:
            return
        asked = (fingerprint, samples[-1].step, len(samples))
        if asked == self._asked:
            return
        self._asked = asked
        listed = list(samples)

        def look(cancel: threading.Event) -> Copying | None:
            return of_samples(fingerprint, listed, cancel) or self.copying

        self._background.start(look, lambda error: self.copying, "the samples cannot be looked up")

    def close(self) -> None:
        """Work nothing out any more."""
        self._background.close()
