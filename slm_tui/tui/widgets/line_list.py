"""A virtualized list: only visible rows are drawn, so it scales to any number of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

_NOTHING = Content("")


@dataclass(frozen=True)
class Row:
    """One line. `key` identifies it to the screen; the cursor skips rows not `selectable`."""

    key: str
    content: Content = _NOTHING
    selectable: bool = True


class LineList(ScrollView, can_focus=True):
    """One line per row and a cursor. Subclasses may override `draw_row` to suit the width."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line-list--cursor", "line-list--cursor-blurred"}
    DEFAULT_CSS = """
    LineList { height: 1fr; width: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    LineList > .line-list--cursor { background: $primary 45%; color: $foreground; }
    LineList > .line-list--cursor-blurred { background: $foreground 10%; color: $foreground; }
    LineList:ansi > .line-list--cursor { background: ansi_blue; color: ansi_bright_white; }
    LineList:ansi > .line-list--cursor-blurred { background: ansi_default; text-style: underline; }
    LineList:nocolor > .line-list--cursor { text-style: bold underline; }
    """

    class Highlighted(Message):
        """The cursor moved to the row `key`."""

        def __init__(self, owner: "LineList", key: str) -> None:
            super().__init__()
            self.owner, self.key = owner, key

        @property
        def control(self) -> "LineList":
            return self.owner

    class Chosen(Highlighted):
        """The row `key` was double-clicked."""

    def __init__(
        self, rows: Sequence[Row] = (), *, id: str | None = None, classes: str = ""
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.rows: list[Row] = list(rows)
        self._cursor = self._next_selectable(0, 1)
        self._resize_virtual()

    # Content

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor; `None` in an empty list."""
        return self.rows[self._cursor].key if 0 <= self._cursor < len(self.rows) else None

    @property
    def cursor(self) -> int:
        """The index of the row under the cursor; -1 in an empty list."""
        return self._cursor

    def set_rows(self, rows: Sequence[Row], *, select: str | None = None) -> None:
        """Replace the rows; the cursor stays on its key, or goes to `select`."""
        before, target = self.key, select if select is not None else self.key
        self.rows = list(rows)
        at = next((i for i, row in enumerate(rows) if row.key == target and row.selectable), None)
        self._cursor = at if at is not None else self._next_selectable(max(0, self._cursor), 1)
        self._resize_virtual()
        self._show_cursor()
        self.refresh()
        if self.key is not None and self.key != before:
            self.post_message(self.Highlighted(self, self.key))

    def select(self, key: str) -> bool:
        """Put the cursor on the row `key`; return whether there is one."""
        at = next((i for i, row in enumerate(self.rows) if row.key == key and row.selectable), None)
        if at is not None:
            self._go(at)
        return at is not None

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        """The content of one row, to be truncated at `width` cells."""
        return row.content

    # Moving

    def action_move(self, by: int) -> None:
        self._go(self._next_selectable(self._cursor + by, by))

    def action_page(self, direction: int) -> None:
        page = max(1, self.scrollable_content_region.height - 1)
        self._go(self._next_selectable(self._cursor + direction * page, direction))

    def action_edge(self, direction: int) -> None:
        self._go(self._next_selectable(0 if direction < 0 else len(self.rows) - 1, -direction))

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset_capture(self).y + self.scroll_offset.y
        if not 0 <= at < len(self.rows) or not self.rows[at].selectable:
            return
        self._go(at)
        if event.chain == 2:
            self.post_message(self.Chosen(self, self.rows[at].key))

    def _next_selectable(self, start: int, direction: int) -> int:
        """The first selectable row from `start` on, else the nearest one before; -1 for none."""
        if not self.rows:
            return -1
        start = max(0, min(start, len(self.rows) - 1))
        forwards, backwards = range(start, len(self.rows)), range(start, -1, -1)
        order = (forwards, backwards) if direction > 0 else (backwards, forwards)
        return next((at for path in order for at in path if self.rows[at].selectable), -1)

    def _go(self, at: int) -> None:
        if at == self._cursor or not 0 <= at < len(self.rows):
            return
        old, self._cursor = self._cursor, at
        for line in (old, at):
            self._refresh_row(line)
        self._show_cursor()
        self.post_message(self.Highlighted(self, self.rows[at].key))

    def _refresh_row(self, at: int) -> None:
        self.refresh_lines(at - self.scroll_offset.y, 1)

    def _show_cursor(self) -> None:
        if self._cursor >= 0 and self.is_mounted:
            # Keep one row of context on each side, so that a heading shows with its first row.
            top = max(0, self._cursor - 1)
            bottom = min(len(self.rows), self._cursor + 2)
            self.scroll_to_region(Region(0, top, 1, bottom - top), animate=False, force=True)

    def on_resize(self) -> None:
        self._resize_virtual()
        # Scroll from the top: after a small first size, rows above the cursor would stay hidden.
        self.scroll_to(y=0, animate=False, force=True, immediate=True)
        self._show_cursor()

    def _resize_virtual(self) -> None:
        self.virtual_size = Size(max(1, self.scrollable_content_region.width), len(self.rows))

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if not 0 <= at < len(self.rows):
            return Strip.blank(width, self.rich_style)
        content = self.draw_row(self.rows[at], at, width).truncate(width, ellipsis=True, pad=True)
        return Strip(content.render_segments(self._row_style(at)), width)

    def _row_style(self, at: int) -> Style:
        if at != self._cursor:
            return self.visual_style
        name = "line-list--cursor" if self.has_focus else "line-list--cursor-blurred"
        return self.get_visual_style(name)

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self.refresh()


class ReadingList(LineList):
    """Lines to read: keys scroll the text; there is no visible cursor."""

    @property
    def text_width(self) -> int:
        """The width for wrapped text, with room for a scroll bar whether or not there is one now:
        otherwise the lines that make it appear would be too long for what it leaves."""
        return max(1, (self.size.width or 60) - self.styles.scrollbar_size_vertical)

    def action_move(self, by: int) -> None:
        self.scroll_relative(y=by, animate=False)

    def action_page(self, direction: int) -> None:
        page = max(1, self.scrollable_content_region.height - 1)
        self.scroll_relative(y=direction * page, animate=False)

    def action_edge(self, direction: int) -> None:
        self.scroll_to(y=0 if direction < 0 else self.max_scroll_y, animate=False)

    def _show_cursor(self) -> None:
        """There is no cursor to keep in view."""

    def _row_style(self, at: int) -> Style:
        return self.visual_style
