"""Text of a corpus to read: wrapped, safe, with the tokenizer's cuts shown if wished."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer


@dataclass(frozen=True)
class Passage:
    """Safe text with line ends. Token `i` begins at `starts[i]`; empty where cuts do not show."""

    text: str
    starts: tuple[int, ...] = ()


def passage(tokenizer: "Tokenizer", ids: Sequence[int], *, cuts: bool) -> Passage:
    """The text of `ids`, from their bytes.

    With `cuts` each token is shown by itself: the bytes of a character that is cut in two stand
    as hexadecimal. Without, only bytes that are no character at all do.
    """
    from slm_tui.corpus.statistics import shown

    if not cuts:
        return Passage(shown(tokenizer.decode_bytes(ids)))
    known: dict[int, str] = {}
    parts, starts, at = [], [], 0
    for id in ids:
        text = known.get(id)
        if text is None:
            text = known[id] = shown(tokenizer.token_bytes(id)).replace("\n", "↵\n")
        starts.append(at)
        parts.append(text)
        at += len(text)
    return Passage("".join(parts), tuple(starts))


def wrapped(text: str, width: int) -> list[tuple[int, int]]:
    """`(begin, end)` of each line of at most `width` cells, broken after a space if it can.

    That space may stand one cell beyond the width, where nothing of it is seen.
    """
    lines: list[tuple[int, int]] = []
    begin = 0
    for paragraph in text.split("\n"):
        lines += _broken(text, begin, begin + len(paragraph), max(2, width))
        begin += len(paragraph) + 1
    return lines


def _broken(text: str, begin: int, end: int, width: int) -> list[tuple[int, int]]:
    lines = []
    while end - begin > 0:
        stop = _fitting(text, begin, end, width)
        if stop < end:
            space = text.rfind(" ", begin, stop + 1)
            stop = space + 1 if space > begin else stop
        lines.append((begin, stop))
        begin = stop
    return lines or [(begin, end)]


def _fitting(text: str, begin: int, end: int, width: int) -> int:
    """Where the longest run from `begin` that fits ends; at least one character."""
    stop = min(end, begin + width)
    if text[begin:stop].isascii():
        return stop
    cells = 0
    for at in range(begin, end):
        cells += cell_len(text[at])
        if cells > width:
            return max(at, begin + 1)
    return end


class TextView(ScrollView, can_focus=True):
    """Shows a passage. Past its end or its beginning, `Turned` asks for the next or the last."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "turn(-1)", "Page up", show=False),
        Binding("pagedown", "turn(1)", "Page down", show=False),
        Binding("left", "part(-1)", "Part before", show=False),
        Binding("right", "part(1)", "Next part", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"text-view--odd", "text-view--even"}
    DEFAULT_CSS = """
    TextView { height: 1fr; width: 1fr; padding: 0 1; overflow-x: hidden; }
    TextView { scrollbar-size-vertical: 1; }
    TextView > .text-view--even { background: $primary 22%; color: $foreground; }
    TextView > .text-view--odd { background: $accent 22%; color: $foreground; }
    TextView:ansi > .text-view--even { background: ansi_default; }
    TextView:ansi > .text-view--odd { background: ansi_default; text-style: underline; }
    TextView:nocolor > .text-view--odd { text-style: underline; }
    """

    class Turned(Message):
        """The reader wants what comes after (`1`) or before (`-1`) this passage."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    class PartChosen(Turned):
        """The reader wants the next or the previous part of the corpus."""

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._passage = Passage("")
        self._lines: list[tuple[int, int]] = []

    @property
    def text(self) -> str:
        return self._passage.text

    def show(self, passage: Passage, *, at_end: bool = False, stay: bool = False) -> None:
        """Show `passage` from its first line, its last, or about where the last one was."""
        share = self.scroll_offset.y / max(1, len(self._lines))
        self._passage = passage
        self._wrap()
        y = len(self._lines) if at_end else round(share * len(self._lines)) if stay else 0
        self.scroll_to(y=y, animate=False, immediate=True)
        self.refresh()

    def on_resize(self) -> None:
        self._wrap()

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        self._lines = wrapped(self._passage.text, width) if width > 0 else []
        self.virtual_size = Size(max(1, width), len(self._lines))

    def action_turn(self, direction: int) -> None:
        """A page on; a page beyond the passage asks for the one after it."""
        edge = self.max_scroll_y if direction > 0 else 0
        if round(self.scroll_y) == edge:
            self.post_message(self.Turned(direction))
            return
        page = max(1, self.scrollable_content_region.height - 1)
        self.scroll_to(y=self.scroll_y + direction * page, animate=False)

    def action_part(self, direction: int) -> None:
        self.post_message(self.PartChosen(direction))

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if not 0 <= at < len(self._lines):
            return Strip.blank(width, self.rich_style)
        begin, end = self._lines[at]
        content = line(self._passage, begin, end, self._style_of)
        return Strip(content.truncate(width, pad=True).render_segments(self.visual_style), width)

    def _style_of(self, token: int) -> Style:
        return self.get_visual_style("text-view--odd" if token % 2 else "text-view--even")


def line(passage: Passage, begin: int, end: int, style_of: Callable[[int], Style | str]) -> Content:
    """Characters `begin` to `end`, each token in its style."""
    text, starts = passage.text, passage.starts
    if not starts:
        return Content(text[begin:end])
    parts: list[tuple[str, Style | str]] = []
    token = max(0, bisect_right(starts, begin) - 1)
    at = begin
    while at < end:
        following = starts[token + 1] if token + 1 < len(starts) else len(text)
        stop = min(end, following)
        if stop > at:
            parts.append((text[at:stop], style_of(token)))
        at, token = max(at, stop), token + 1
    return Content.assemble(*parts)
