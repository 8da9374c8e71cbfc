"""Corpus text to read: wrapped, safe to display, optionally with token boundaries."""

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

from slm_tui.text import clusters, one_line

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer

# A character with more combining marks than this is not text.
_MOST_PER_CELL = 16


@dataclass(frozen=True)
class TokenPassage:
    """Text that is safe to display, with line breaks.

    If tokens are shown, token `i` is `ids[i]`, starts at character `starts[i]` and byte `bytes[i]`
    of the passage, which has `size` bytes in total; otherwise these are empty.
    """

    text: str
    starts: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    bytes: tuple[int, ...] = ()
    size: int = 0

    def token_at_byte(self, place: int) -> int:
        """The token that contains byte `place`; 0 if there are none."""
        return max(0, bisect_right(self.bytes, place) - 1)


def passage(tokenizer: "Tokenizer", ids: Sequence[int], *, cuts: bool) -> TokenPassage:
    """The text of `ids`, from their bytes.

    With `cuts` each token is shown separately: bytes of a character split between tokens appear
    as hexadecimal. Without it, only bytes that are not valid UTF-8 do.
    """
    from slm_tui.corpus.statistics import shown

    if not cuts:
        return TokenPassage(shown(tokenizer.decode_bytes(ids)))
    cache: dict[int, tuple[str, int]] = {}
    parts, starts, places, at, place = [], [], [], 0, 0
    for id in ids:
        if id not in cache:
            data = tokenizer.token_bytes(id)
            cache[id] = (shown(data).replace("\n", "↵\n"), len(data))
        text, size = cache[id]
        starts.append(at)
        places.append(place)
        parts.append(text)
        at += len(text)
        place += size
    return TokenPassage("".join(parts), tuple(starts), tuple(ids), tuple(places), place)


def wrapped(text: str, width: int) -> list[tuple[int, int]]:
    """`(begin, end)` of each line of at most `width` cells, broken after a space if possible.

    That space may be one cell beyond the width, where it is not visible.
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
    """The end of the longest stretch from `begin` that fits; at least one character."""
    stop = min(end, begin + width)
    if text[begin:stop].isascii():
        return stop
    cells, at = 0, begin
    # The width of a cluster of joined characters is measured as a whole, as terminals do. No
    # line needs more characters than this to be full.
    for cluster in clusters(text[begin : min(end, begin + _MOST_PER_CELL * width)]):
        cells += cell_len(cluster)
        if cells > width:
            return max(at, begin + 1)
        at += len(cluster)
    return at


class TextView(ScrollView, can_focus=True):
    """Shows a passage. Past its end or its start, `Turned` asks for the next or previous one.

    If tokens are shown, a cursor moves from token to token and `Walked` reports each move.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "turn(-1)", "Page up", show=False),
        Binding("pagedown", "turn(1)", "Page down", show=False),
        Binding("left", "side(-1)", "Previous split or token", show=False),
        Binding("right", "side(1)", "Next split or token", show=False),
        Binding("up", "line(-1)", "Up", show=False),
        Binding("down", "line(1)", "Down", show=False),
        Binding("home", "edge(-1)", "First line", show=False),
        Binding("end", "edge(1)", "Last line", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "text-view--odd",
        "text-view--even",
        "text-view--cursor",
    }
    DEFAULT_CSS = """
    TextView { height: 1fr; width: 1fr; padding: 0 1; overflow-x: hidden; }
    TextView { scrollbar-size-vertical: 1; }
    TextView > .text-view--even { background: $primary 22%; color: $foreground; }
    TextView > .text-view--odd { background: $accent 22%; color: $foreground; }
    TextView > .text-view--cursor { background: $warning; color: $background; text-style: bold; }
    TextView:ansi > .text-view--cursor { text-style: bold reverse; }
    TextView:nocolor > .text-view--cursor { text-style: bold reverse; }
    TextView:ansi > .text-view--even { background: ansi_default; }
    TextView:ansi > .text-view--odd { background: ansi_default; text-style: underline; }
    TextView:nocolor > .text-view--odd { text-style: underline; }
    """

    class Turned(Message):
        """The reader asked for the passage after (`1`) or before (`-1`) this one."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    class PartChosen(Turned):
        """The reader asked for the next or the previous split of the corpus."""

    class Walked(Message):
        """The cursor of `view` moved to another token."""

        def __init__(self, view: "TextView") -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> "TextView":
            return self.view

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._passage = TokenPassage("")
        self._lines: list[tuple[int, int]] = []
        self._cursor = 0

    @property
    def shows_cuts(self) -> bool:
        return bool(self._passage.starts)

    @property
    def passage(self) -> TokenPassage:
        return self._passage

    @property
    def cursor(self) -> int | None:
        """The token under the cursor; `None` if tokens are not shown."""
        return self._cursor if self.shows_cuts else None

    def walk_to(self, token: int, *, notify: bool = True) -> None:
        """Put the cursor on `token` and bring it into view."""
        last = len(self._passage.starts) - 1
        self._cursor = max(0, min(last, token))
        y, height = self._line_of(self._cursor), self.scrollable_content_region.height
        if not self.scroll_offset.y <= y < self.scroll_offset.y + height:
            self.scroll_to(y=max(0, y - height // 2), animate=False, immediate=True)
        self.refresh()
        if notify:
            self.post_message(self.Walked(self))

    def _line_of(self, token: int) -> int:
        starts = self._passage.starts
        place = starts[token] if token < len(starts) else 0
        return max(0, bisect_right(self._lines, (place, len(self._passage.text) + 1)) - 1)

    @property
    def text(self) -> str:
        return self._passage.text

    def show(self, passage: TokenPassage, *, at_end: bool = False, stay: bool = False) -> None:
        """Show `passage` from its first line, its last, or about the same relative position."""
        share = self.scroll_offset.y / max(1, len(self._lines))
        self._passage = passage
        self._wrap()
        y = len(self._lines) if at_end else round(share * len(self._lines)) if stay else 0
        self.scroll_to(y=y, animate=False, immediate=True)
        self._cursor = self._token_at(y, 0)
        self.refresh()
        if self.shows_cuts:
            self.post_message(self.Walked(self))

    def _token_at(self, y: int, column: int) -> int:
        """The token at a position in the wrapped text."""
        if not self._lines or not self.shows_cuts:
            return 0
        begin, end = self._lines[max(0, min(len(self._lines) - 1, y))]
        place = min(begin + column, max(begin, end - 1))
        return max(0, bisect_right(self._passage.starts, place) - 1)

    def on_resize(self) -> None:
        self._wrap()

    def watch_show_vertical_scrollbar(self) -> None:
        # The scrollbar takes a column of the text without a resize event.
        self.call_after_refresh(self._wrap_again)

    def _wrap_again(self) -> None:
        self._wrap()
        if self.shows_cuts:
            self.walk_to(self._cursor, notify=False)
        self.refresh()

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        self._lines = wrapped(self._passage.text, width) if width > 0 else []
        self.virtual_size = Size(max(1, width), len(self._lines))

    def action_turn(self, direction: int) -> None:
        """Turn a page; beyond the passage, ask for the next one."""
        edge = self.max_scroll_y if direction > 0 else 0
        if round(self.scroll_y) == edge:
            self.post_message(self.Turned(direction))
            return
        page = max(1, self.scrollable_content_region.height - 1)
        y = max(0, min(self.max_scroll_y, round(self.scroll_y) + direction * page))
        self.scroll_to(y=y, animate=False, immediate=True)
        if self.shows_cuts:
            self.walk_to(self._token_at(y, 0))

    def action_side(self, direction: int) -> None:
        """The next token if tokens are shown, else the next split of the corpus."""
        if not self.shows_cuts:
            self.post_message(self.PartChosen(direction))
        else:
            self.walk_to(self._cursor + direction)

    def action_line(self, direction: int) -> None:
        """Move the cursor, or without one the view, by a line."""
        if not self.shows_cuts:
            self.scroll_to(y=self.scroll_y + direction, animate=False)
            return
        y = self._line_of(self._cursor)
        column = self._passage.starts[self._cursor] - self._lines[y][0]
        while 0 <= y + direction < len(self._lines):
            y += direction
            begin, end = self._lines[y]
            if end > begin:
                self.walk_to(self._token_at(y, column))
                return

    def action_edge(self, direction: int) -> None:
        """The first line or the last."""
        self.scroll_to(y=0 if direction < 0 else self.max_scroll_y, animate=False)
        if self.shows_cuts:
            self.walk_to(0 if direction < 0 else len(self._passage.starts) - 1)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if not 0 <= at < len(self._lines):
            return Strip.blank(width, self.rich_style)
        begin, end = self._lines[at]
        content = line(self._passage, begin, end, self._style_of)
        return Strip(content.truncate(width, pad=True).render_segments(self.visual_style), width)

    def _style_of(self, token: int) -> Style:
        if token == self._cursor and self.shows_cuts:
            return self.get_visual_style("text-view--cursor")
        return self.token_style(token)

    def token_style(self, token: int) -> Style:
        """The style of a token that is not under the cursor: two alternating colors."""
        return self.get_visual_style("text-view--odd" if token % 2 else "text-view--even")


def line(
    passage: TokenPassage, begin: int, end: int, style_of: Callable[[int], Style | str]
) -> Content:
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


def describe_token(tokenizer: "Tokenizer", id: int, count: int | None) -> str:
    """`id 464 ' the' · 4 bytes 20 74 68 65 · 12,195 in training`."""
    from slm_tui.corpus.statistics import shown

    data = tokenizer.token_bytes(id)
    name = one_line(shown(data), 20)
    hexadecimal = data[:8].hex(" ") + ("…" if len(data) > 8 else "")
    size = "1 byte" if len(data) == 1 else f"{len(data)} bytes"
    seen = f" · {count:,} in training" if count is not None else ""
    return f"id {id:,} '{name}' · {size} {hexadecimal}{seen}"
