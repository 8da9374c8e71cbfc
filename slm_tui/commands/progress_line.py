"""The progress line of long-running commands."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from slm_tui.commands import output
from slm_tui.text import cells, pad, visible

if TYPE_CHECKING:
    from slm_tui.corpus.progress import Progress

_SECONDS_BETWEEN_DRAWINGS = 0.1
# Where the line cannot be rewritten: in a pipe, a file or a dumb terminal.
_SECONDS_BETWEEN_LINES = 30.0
_PLAIN_WIDTH = 120
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class ProgressLine:
    """Shows progress.

    On a terminal it is a single line, rewritten at most ten times a second. Elsewhere, and if
    `TERM` is `dumb` or empty, it prints a line for each stage and one every 30 seconds.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._rewrites = out.isatty() and os.environ.get("TERM", "") not in ("dumb", "")
        self._width = 0
        self._stage = ""
        self._drawn_at = 0.0
        self._said_at = time.monotonic()
        self._last_text = ""

    def show(self, describe: Callable[[int], str], stage: str = "") -> None:
        """Show `describe(width)`, unless it was just updated; `width` is in cells."""
        now = time.monotonic()
        if self._rewrites:
            if stage != self._stage or now - self._drawn_at >= _SECONDS_BETWEEN_DRAWINGS:
                self._drawn_at = now
                self._draw(describe(output.columns()))
        elif stage and stage != self._stage:
            self.say(f"{stage}…")
        elif now - self._said_at >= _SECONDS_BETWEEN_LINES:
            text = describe(_PLAIN_WIDTH)
            if text != self._last_text:
                self._last_text = text
                self.say(text)
        self._stage = stage

    def say(self, text: str) -> None:
        """Print a permanent line above the one that is rewritten."""
        self.clear()
        self._said_at = time.monotonic()
        self._out.write(visible(text) + "\n")
        self._out.flush()

    def clear(self) -> None:
        """Clear the line."""
        if self._width:
            self._draw("")
        self._drawn_at = 0.0

    def _draw(self, text: str) -> None:
        text = visible(text, keep="")
        self._out.write("\r" + pad(text, self._width) + ("" if text else "\r"))
        self._out.flush()
        self._width = cells(text)


class CorpusProgress:
    """Shows the progress of preparation or evaluation on a progress line."""

    def __init__(self, out: TextIO) -> None:
        self._line = ProgressLine(out)

    def __call__(self, progress: "Progress") -> None:
        self._line.show(lambda width: progress_text(progress, width), progress.stage)

    def clear(self) -> None:
        """Clear the line."""
        self._line.clear()


def progress_text(progress: "Progress", width: int) -> str:
    """Stage, bar, share, amount, rate and time left in at most `width` characters."""
    share = progress.share
    if share is None:
        return f"{progress.stage}…  {progress.detail}".rstrip()[:width]
    line = f"{progress.stage} {bar(share, 20)} {share:4.0%}"
    longer = f"{line}  {progress.detail}".rstrip()
    return longer if len(longer) <= width else f"{line}  {progress.pace}".rstrip()[:width]


def bar(share: float, width: int) -> str:
    """A bar of `width` cells, of which `share` (0 to 1) is filled, to an eighth of a cell."""
    full, rest = divmod(round(max(0.0, min(1.0, share)) * width * 8), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width, "░")
