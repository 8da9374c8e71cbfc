"""The settings of a preset as one list: collapsible sections, values, defaults, errors."""

from collections.abc import Callable
from typing import Any

from textual import events
from textual.content import Content
from textual.message import Message

from slm_tui.config.describe import Setting, range_text
from slm_tui.config.drafts import Draft, spelled
from slm_tui.text import one_line
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row

_TITLES = {"preset": "about"}
_FOLDED_AT_FIRST = {"preset", "sampling"}


class PropertyList(LineList):
    """Row keys are setting paths; headings have `+section` and `+section.advanced`."""

    class Digit(Message):
        """A digit was typed on a number: `text` begins its new value."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    DEFAULT_CSS = "PropertyList { scrollbar-gutter: stable; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._draft: Draft | None = None
        self._settings: dict[str, Setting] = {}
        self._folded = {f"+{name}" for name in _FOLDED_AT_FIRST}
        self._opened: set[str] = set()  # headings of subsections
        self._query = ""

    @property
    def setting(self) -> Setting | None:
        """The setting under the cursor; `None` on a heading."""
        return self._settings.get(self.key or "")

    @property
    def is_heading(self) -> bool:
        return bool(self.key and self.key.startswith("+"))

    def show(self, draft: Draft | None) -> None:
        """Show `draft`, or nothing; the cursor stays on its setting."""
        fresh = draft is not self._draft
        self._draft = draft
        settings = draft.settings() if draft else []
        self._settings = {one.path: one for one in settings}
        rows = self._rows(settings)
        first = next((row.key for row in rows if not row.key.startswith("+")), None)
        self.set_rows(rows, select=first if fresh and self.key not in self._settings else None)

    def filter(self, query: str) -> None:
        """Show only settings whose path or help contains `query`, with all sections open."""
        self._query = query.strip().lower()
        self.show(self._draft)

    def reveal(self, path: str) -> None:
        """Put the cursor on `path`, opening what hides it."""
        setting = self._settings.get(path)
        if setting is None:
            return
        self._query = ""
        self._folded.discard(f"+{setting.section}")
        self._opened.add(f"+{setting.section}.{_part(setting)}")
        self.show(self._draft)
        self.select(path)

    def fold(self, fold: bool | None = None) -> None:
        """Collapse or expand the heading under the cursor; `None` toggles it."""
        key = self.key or ""
        if not self.is_heading:
            return
        is_part = "." in key
        is_open = key in self._opened if is_part else key not in self._folded
        want_open = not is_open if fold is None else not fold
        if is_part:
            (self._opened.add if want_open else self._opened.discard)(key)
        else:
            (self._folded.discard if want_open else self._folded.add)(key)
        self.show(self._draft)

    # Rows

    def _rows(self, settings: list[Setting]) -> list[Row]:
        rows: list[Row] = []
        for section in dict.fromkeys(one.section for one in settings):
            inside = [one for one in settings if one.section == section and self._matches(one)]
            if inside:
                rows += self._section(section, inside)
        return rows

    def _matches(self, setting: Setting) -> bool:
        return self._query in f"{setting.path} {setting.help}".lower()

    def _section(self, section: str, inside: list[Setting]) -> list[Row]:
        head = f"+{section}"
        if self._query:
            return [self._heading(head, section, inside, True)] + [Row(one.path) for one in inside]
        is_open = head not in self._folded
        rows = [self._heading(head, _TITLES.get(section, section), inside, is_open)]
        if not is_open:
            return rows
        rows += [Row(one.path) for one in inside if not _part(one)]
        for part in ("limit", "advanced"):
            rows += self._part_of_section(
                f"{head}.{part}", part, [one for one in inside if _part(one) == part]
            )
        return rows

    def _part_of_section(self, key: str, part: str, inside: list[Setting]) -> list[Row]:
        if not inside:
            return []
        is_open = key in self._opened
        rows = [self._heading(key, f"  {part}", inside, is_open)]
        return rows + [Row(one.path) for one in inside if is_open]

    def _heading(self, key: str, title: str, inside: list[Setting], is_open: bool) -> Row:
        assert self._draft is not None
        changed = sum(self._draft.differs(one) for one in inside)
        wrong = sum(one.path in self._draft.problems for one in inside)
        indent = title[: len(title) - len(title.lstrip())]
        parts: list[Any] = [
            (f"{indent}{'▾' if is_open else '▸'} {title.strip()}", "bold $text-accent")
        ]
        if not is_open:
            parts.append((f"  {self._summary(key, inside)}", MUTED))
        if changed and not is_open:
            parts.append((f"  ● {changed} changed", "$text-accent"))
        if wrong:
            parts.append((f"  ✗ {wrong}", "$text-error"))
        return Row(key, Content.assemble(*parts))

    def _summary(self, key: str, inside: list[Setting]) -> str:
        """What a collapsed heading shows of its contents."""
        assert self._draft is not None
        if not key.endswith(".limit"):
            return "1 setting" if len(inside) == 1 else f"{len(inside)} settings"
        values = [(one, self._draft.value(one)) for one in inside]
        texts = [f"{display(value)} {one.unit or 'of all'}" for one, value in values if value]
        return one_line(" ".join(texts)) or "all of the text"

    # Drawing

    def columns(self, width: int) -> tuple[int, int, int]:
        """Widths of name, value and default; zero if there is no space for the default."""
        name = min(28, max(17, width * 39 // 100))
        default = min(18, (width - name) // 3) if width >= 46 else 0
        return name, min(34, width - name - default - 3), default

    @property
    def value_place(self) -> tuple[int, int]:
        """Column and width of the values."""
        name, value, _ = self.columns(self.scrollable_content_region.width)
        return name, value

    def on_key(self, event: events.Key) -> None:
        """A digit on a number edits it; on other rows it is a key of the app."""
        is_number = self.setting is not None and self.setting.type in ("integer", "number")
        if is_number and event.character is not None and event.character in "0123456789.":
            event.stop()
            event.prevent_default()
            self.post_message(self.Digit(event.character))

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        setting = self._settings.get(row.key)
        if setting is None or self._draft is None:
            return self._titled(row.content, width) if index == 0 else row.content
        draft = self._draft
        name, room, default_width = self.columns(width)
        indent = "    " if _part(setting) and not self._query else "  "
        label = one_line(indent + setting.label, name - 1).ljust(name)
        problem = draft.problems.get(setting.path)
        value = self._value(setting, draft, nudging=index == self.cursor)
        if problem is not None:
            shown = value.truncate(max(4, room // 2), ellipsis=True)
            wrong = f"✗ {one_line(problem.message)}"
            works = problem.message.rpartition("; try ")[2]
            if name + shown.cell_length + 2 + len(wrong) > width and works != problem.message:
                wrong = f"✗ try {one_line(works)}"
            return Content.assemble(
                (label, "$text-error"), shown, "  ", (wrong, "$text-error")
            ).truncate(width, ellipsis=True)
        value = value.truncate(room - 1, ellipsis=True)
        differs = draft.differs(setting)
        default = ""
        if default_width and differs:
            default = one_line(display(draft.default(setting)), default_width)
        return Content.assemble(
            (label, "" if differs else "$foreground"),
            value.pad_right(max(0, room - value.cell_length)),
            (default.ljust(default_width), MUTED),
            (" ●" if differs else "", "$text-accent"),
        )

    def _titled(self, heading: Content, width: int) -> Content:
        """The first heading, with the titles of the columns beside it."""
        name, value, default = self.columns(width)
        if self._draft is None or heading.cell_length >= name:
            return heading
        titles = f"{'value':<{value}}" + ("default" if default else "")
        return heading.pad_right(name - heading.cell_length) + Content.styled(titles, MUTED)

    def _value(self, setting: Setting, draft: Draft, *, nudging: bool) -> Content:
        text = one_line(display(draft.value(setting)))
        style = "bold $text-accent" if draft.differs(setting) else "bold"
        if text == NOTHING:
            style = MUTED
        cycles = setting.type in ("integer", "number", "choice", "switch") or setting.suggestions
        if nudging and cycles:
            return Content.assemble(("◀ ", MUTED), (text, style), (" ▶", MUTED))
        return Content.styled(text, style)


NOTHING = "–"


def _part(setting: Setting) -> str:
    """The subsection of a setting; empty for none."""
    return "limit" if ".limit." in setting.path else "advanced" if setting.advanced else ""


def display(value: Any) -> str:
    """A value as shown in a row."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return spelled(value)


_LISTS = {
    "text": 'a list, such as ["one", "two"]',
    "number": "a list, such as 64, 96",
    "list": "lists, such as [1, 0, 1], [3]",
}


def described(
    setting: Setting, draft: Draft, fits: Callable[[Content], bool] = lambda text: True
) -> Content:
    """The line below the form: help, unit, range, choices, default; without the last of these if
    it does not fit."""
    facts = [one for one in (setting.unit, range_text(setting)) if one]
    if setting.type == "list":
        facts.append(_LISTS[setting.items])
    if setting.type == "choice":
        facts.append(" | ".join(setting.choices))
    if setting.suggestions:
        facts.append(f"◀ ▶ {' '.join(setting.suggestions)}")
    if draft.differs(setting):
        facts.append(f"default {one_line(display(draft.default(setting)), 40)}")
    for count in range(len(facts), -1, -1):
        after = "".join(f" · {fact}" for fact in facts[:count])
        text = Content.assemble((setting.help, "$foreground"), (after, MUTED))
        if fits(text):
            break
    return text
