"""Searches the training text of the shown run for its samples."""

import threading

from slm_tui.evaluation.memorisation import Copying
from slm_tui.live.background import Background
from slm_tui.runs.copied_samples import of_samples
from slm_tui.runs.curves import Sample


class CopyWatcher:
    """Looks up the newest samples in a thread; `copying` is the last result, or `None`."""

    def __init__(self) -> None:
        self._background: Background[Copying | None] = Background("copying", None)
        self._last_request: tuple[str, int, int] | None = None

    @property
    def copying(self) -> Copying | None:
        """The last result."""
        return self._background.snapshot

    @property
    def is_busy(self) -> bool:
        """Whether a lookup is running."""
        return self._background.is_busy

    def ask(self, fingerprint: str, samples: list[Sample]) -> None:
        """Look up `samples` unless already done; returns immediately."""
        if not samples or not fingerprint or self.is_busy:
            return
        request = (fingerprint, samples[-1].step, len(samples))
        if request == self._last_request:
            return
        self._last_request = request
        listed = list(samples)

        def look(cancel: threading.Event) -> Copying | None:
            return of_samples(fingerprint, listed, cancel) or self.copying

        self._background.start(look, lambda error: self.copying, "the samples cannot be looked up")

    def close(self) -> None:
        """Stop looking up samples."""
        self._background.close()
