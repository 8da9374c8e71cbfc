"""Exports a checkpoint for the screen, in a thread."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slm_tui.errors import SlmTuiError
from slm_tui.export.catalog import WeightType
from slm_tui.live.background import Background

if TYPE_CHECKING:
    from slm_tui.export.written import Written

State = Literal["working", "ready", "failed", "cancelled"]


@dataclass(frozen=True)
class ExportSnapshot:
    """The current state; `stage` says what is being done."""

    state: State = "working"
    stage: str = ""
    written: "Written | None" = None
    error: SlmTuiError | None = None


class _CancelledError(Exception):
    """The export was cancelled."""


class ExportWorker:
    """One export of the checkpoint at `source` to `target`; see `export.formats`."""

    def __init__(
        self, format_name: str, source: Path, target: Path, weight_type: WeightType
    ) -> None:
        self._background = Background("export", ExportSnapshot())
        self._format, self._source, self._target = format_name, source, target
        self._weight_type = weight_type

    @property
    def snapshot(self) -> ExportSnapshot:
        """The current state."""
        return self._background.snapshot

    def start(self) -> None:
        """Start."""
        self._background.start(
            self._work,
            lambda error: ExportSnapshot("failed", error=error),
            "the export failed",
        )

    def cancel(self) -> None:
        """Stop before the next stage; nothing incomplete remains."""
        self._background.cancel()

    def wait(self, seconds: float) -> None:
        """Wait at most `seconds` until it is done."""
        self._background.wait(seconds)

    def _work(self, cancel: threading.Event) -> ExportSnapshot:
        from slm_tui.export import formats

        def report(stage: str) -> None:
            if cancel.is_set():
                raise _CancelledError
            self._background.publish(ExportSnapshot(stage=stage), cancel)

        try:
            written = formats.export(
                self._format, self._source, self._target, report, self._weight_type
            )
        except _CancelledError:
            return ExportSnapshot("cancelled")
        return ExportSnapshot("ready", written=written)
