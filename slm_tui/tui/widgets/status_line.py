"""The line at the top of every screen: the run, its progress, its speed, and the verdict."""

from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from slm_tui.formatting import clock, count
from slm_tui.live.workshop import LiveStatus
from slm_tui.text import one_line
from slm_tui.tui.theme import MUTED

_STATE_STYLES = {
    "training": "$text-success",
    "done": "$text-success",
    "paused": "$text-warning",
    "failed": "$text-error",
    "interrupted": "$text-warning",
}
_STATE_SIGNS = {
    "training": "▶",
    "paused": "‖",
    "done": "✓",
    "failed": "✗",
    "interrupted": "!",
    "stopped": "■",
}


@dataclass(frozen=True)
class _Part:
    """A piece that is shown whole or not at all; a low `rank` is dropped last."""

    content: Content
    rank: int


class StatusLine(Widget):
    """Shows a `LiveStatus`; drops whole pieces when the line is narrow."""

    DEFAULT_CSS = """
    StatusLine { height: 1; width: 1fr; background: $panel; color: $foreground; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._live: LiveStatus | None = None
        self._hint = ""

    def show(self, live: LiveStatus | None, hint: str = "") -> None:
        """Show this run and hint; repaints only if something visible changed."""
        if (live, hint) != (self._live, self._hint):
            self._live, self._hint = live, hint
            self.refresh()

    def render(self) -> Content:
        return status_content(self._live, self._hint, self.content_size.width)


def status_content(live: LiveStatus | None, hint: str, width: int) -> Content:
    """The line for `width` columns, made of whole pieces."""
    parts = _fitting(_idle_parts(hint) if live is None else _parts(live, hint), width)
    return Content("  ").join(part.content for part in parts).truncate(width, ellipsis=True)


def _fitting(parts: list[_Part], width: int) -> list[_Part]:
    while len(parts) > 1 and _width(parts) > width:
        parts.remove(max(parts, key=lambda part: part.rank))
    return parts


def _width(parts: list[_Part]) -> int:
    return sum(part.content.cell_length for part in parts) + 2 * (len(parts) - 1)


def _idle_parts(hint: str) -> list[_Part]:
    parts = [
        _Part(Content.styled("slm-tui", "bold"), 0),
        _Part(Content.styled("no run", MUTED), 1),
    ]
    return parts + ([_Part(_hinted(hint), 2)] if hint else [])


def _hinted(hint: str) -> Content:
    return Content.styled(one_line(hint), "$text-accent")


def _parts(live: LiveStatus, hint: str) -> list[_Part]:
    style = _STATE_STYLES.get(live.state, "")
    sign = _STATE_SIGNS.get(live.state, "·")
    steps = Content.assemble((f"{live.step:,}", "bold"), f"/{live.max_steps:,}")
    share = min(1.0, live.step / live.max_steps) if live.max_steps > 0 else 0.0
    parts = [
        _Part(Content.styled(one_line(live.run, 24), "bold"), 1),
        _Part(Content.styled(f"{sign} {one_line(live.state)}", style), 0),
        _Part(steps, 2),
        _Part(bar(share, 12), 6),
        _Part(Content(f"{share:.0%}"), 5),
    ]
    if live.eta_seconds is not None:
        parts.append(_Part(Content(f"ETA {clock(live.eta_seconds)}"), 4))
    if live.tokens_per_second is not None:
        parts.append(_Part(Content(f"{count(live.tokens_per_second)} tok/s"), 7))
    if live.verdict:
        parts.append(_Part(Content.styled(one_line(live.verdict), "bold $text-warning"), 3))
    if hint:
        parts.append(_Part(_hinted(hint), 8))
    return parts


def bar(share: float, width: int) -> Content:
    """A bar of `width` cells, filled to `share` (0 to 1), in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return Content.assemble((filled, "$accent"), ("░" * (width - len(filled)), "$foreground 30%"))
