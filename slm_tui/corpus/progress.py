"""Progress of a preparation: stage, amount, rate and time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from slm_tui.formatting import clock, count, size

_SECONDS_BETWEEN_REPORTS = 0.1
# A rate measured over less than this is noise.
_LEAST_SECONDS = 0.5


class Cancelled(Exception):  # noqa: N818 - not an error: it was requested
    """Preparation was cancelled on request; nothing is left behind."""


@dataclass(frozen=True)
class Progress:
    """Progress of a stage: `done` of `total` units after `seconds`; the total may be unknown."""

    stage: str
    done: float = 0.0
    total: float | None = None
    unit: str = "bytes"
    seconds: float = 0.0

    @property
    def share(self) -> float | None:
        """The fraction that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def rate(self) -> float | None:
        """Units per second."""
        return self.done / self.seconds if self.done and self.seconds >= _LEAST_SECONDS else None

    @property
    def eta_seconds(self) -> float | None:
        if self.rate is None or self.total is None:
            return None
        return max(0.0, self.total - self.done) / self.rate

    @property
    def amount(self) -> str:
        """`12.1 MB of 20.0 MB` or `3,402 documents`; empty if nothing is counted."""
        if self.unit == "share" or not self.done:
            return ""
        if self.unit == "bytes":
            whole = f" of {size(self.total)}" if self.total else ""
            return size(self.done) + whole
        whole = f" of {self.total:,.0f}" if self.total else ""
        return f"{self.done:,.0f}{whole} {self.unit}"

    @property
    def pace(self) -> str:
        """`3.2 MB/s  00:12 left`, as far as known."""
        if self.rate is None or self.unit == "share":
            speed = ""
        elif self.unit == "bytes":
            speed = f"{size(self.rate)}/s"
        else:
            speed = f"{count(self.rate)} {self.unit}/s"
        left = self.eta_seconds
        waiting = f"{clock(left)} left" if left is not None else ""
        return "  ".join(part for part in (speed, waiting) if part)

    @property
    def detail(self) -> str:
        """Amount, rate and time left, as far as known."""
        return "  ".join(part for part in (self.amount, self.pace) if part)


Report = Callable[[Progress], None]


class Meter:
    """Reports progress a few times a second and notices cancellation, in the same call."""

    def __init__(self, report: Report | None = None, cancel: Event | None = None) -> None:
        self.report = report
        self.cancel = cancel
        self._stage = ""
        self._began = self._last = 0.0

    def __call__(
        self, stage: str, done: float = 0.0, total: float | None = None, unit: str = "bytes"
    ) -> None:
        """Report that `done` of `total` units of `stage` are done.

        Raises:
            Cancelled: cancellation was requested.
        """
        self.check()
        if self.report is None:
            return
        now = time.monotonic()
        begins = stage != self._stage
        if begins:
            self._stage, self._began = stage, now
        ends = total is not None and done >= total
        if begins or ends or now - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = now
            self.report(Progress(stage, done, total, unit, now - self._began))

    def check(self) -> None:
        """Raise if cancellation was requested.

        Raises:
            Cancelled: it was.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled
