"""The presets of the library: the user's own first, then the built-in ones by group."""

from collections.abc import Callable, Sequence

from textual.content import Content

from slm_tui.config import library
from slm_tui.config.library import LibraryEntry
from slm_tui.config.needs import SIGNS, need_of
from slm_tui.text import one_line
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row

# Where the titles begin: further right in a list of `_WIDE` columns, where long names fit too.
_TITLE_AT, _TITLE_AT_WIDE, _WIDE = 25, 31, 60
_LEAST_TITLE = 16


class PresetList(LineList):
    """Rows are keyed by the preset's name."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._entries: dict[str, LibraryEntry] = {}
        self._is_changed: Callable[[str], bool] = lambda name: False
        self._query = ""

    @property
    def entry(self) -> LibraryEntry | None:
        """The entry under the cursor."""
        return self._entries.get(self.key or "")

    def show(
        self,
        entries: Sequence[LibraryEntry],
        is_changed: Callable[[str], bool],
        *,
        select: str | None = None,
    ) -> None:
        """Show `entries`; `is_changed` says which have unsaved edits."""
        # A user's preset may have the name of a built-in one: the first one takes precedence.
        self._entries = {entry.name: entry for entry in reversed(entries)}
        self._is_changed = is_changed
        self._fill(select)

    def filter(self, query: str) -> None:
        """Show only presets with `query` in their name, title, group or description."""
        self._query = query.strip().lower()
        self._fill(None)

    def _fill(self, select: str | None) -> None:
        rows: list[Row] = []
        heading = ""
        for entry in reversed(self._entries.values()):
            if not self._matches(entry):
                continue
            group = _group(entry)
            if group != heading:
                heading = group
                title = Content.styled(one_line(group), "bold $text-accent")
                rows.append(Row(f"#{group}", title, selectable=False))
            rows.append(Row(entry.name))
        self.set_rows(rows, select=select)

    def _matches(self, entry: LibraryEntry) -> bool:
        about = entry.preset
        words = f"{about.title} {about.group} {about.description}" if about else ""
        return self._query in f"{entry.name} {words}".lower()

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        entry = self._entries.get(row.key)
        if entry is None:
            return row.content
        parts: list[tuple[str, str]] = []
        if entry.preset is None:
            parts.append((" ✗", "$text-error"))
        if self._is_changed(entry.name):
            parts.append((" ●", "$text-accent"))
        if entry.preset is not None and (need := need_of(entry.preset)):
            parts.append((f" {SIGNS[need]}", MUTED))
        if entry.name == library.DEFAULT and entry.builtin:
            parts.append((" ★", "$text-accent"))
        marks = Content.assemble(*parts)
        name = one_line(f" {_shortened(entry, width - marks.cell_length - 1)}", max(2, width))
        line = Content(name) + marks
        title = entry.preset.title if entry.preset else ""
        column = _TITLE_AT if width < _WIDE else _TITLE_AT_WIDE
        column = max(column, line.cell_length + 1)
        room = width - column - 1
        if title and room >= _LEAST_TITLE:
            line = line.pad_right(column - line.cell_length)
            return line + Content.styled(one_line(title, room), MUTED)
        return line


def _shortened(entry: LibraryEntry, width: int) -> str:
    """The name; if too long, without the group, which is in the heading."""
    prefix = f"{_group(entry)}-"
    if len(entry.name) > width and entry.name.startswith(prefix):
        return one_line(f"…{entry.name.removeprefix(prefix)}", width)
    return one_line(entry.name, max(1, width))


def _group(entry: LibraryEntry) -> str:
    if not entry.builtin:
        return "yours"
    return (entry.preset.group if entry.preset else "") or "others"
