"""Prompts and completions as plain text that wraps and streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from slm_tui.config.training import Sampling
from slm_tui.live.generation_thread import PromptedTokens
from slm_tui.runs.conversation import Exchange
from slm_tui.text import clusters, one_line, visible

Kind = Literal["text", "note", "error"]
_STYLES: dict[Kind, str] = {"text": "", "note": "$foreground 60%", "error": "$text-error"}


@dataclass
class Entry:
    """A prompt and its completion, or a note. All of it is untrusted text.

    `tokens` are those of prompt and completion, of the tokenizer with that fingerprint; `seed`
    generated them, and `settings_seed` was the seed in the settings.
    """

    kind: Kind = "text"
    heading: str = ""
    prompt: str = ""
    text: str = ""
    ending: str = ""
    tokens: PromptedTokens | None = None
    tokenizer: str = ""
    seed: int = 0
    settings_seed: int = 0
    drawn_with: Sampling | None = None
    exchange: Exchange | None = None  # as it is saved with its run


def line_starts(text: str, width: int, begin: int = 0) -> list[tuple[int, int]]:
    """Where each line of `text` from `begin` on starts and ends when wrapped at `width` cells.

    Breaks after spaces if possible; one space may extend past the edge, unseen.
    """
    lines: list[tuple[int, int]] = []
    start = at = begin
    blank, cells, since_blank = -1, 0, 0
    for cluster in clusters(text[begin:]):
        if cluster == "\n":
            lines.append((start, at))
            start = at = at + 1
            blank, cells, since_blank = -1, 0, 0
            continue
        wide = cell_len(cluster)
        while cells + wide > width + (cluster == " ") and at > start:
            if blank >= start:
                lines.append((start, blank + 1))
                start, cells, blank = blank + 1, since_blank, -1
            else:
                lines.append((start, at))
                start, cells = at, 0
        cells += wide
        since_blank += wide
        if cluster == " ":
            blank, since_blank = at, 0
        at += len(cluster)
    lines.append((start, at))
    return lines


class _Drawn:
    """The lines of one entry at one width; new text is wrapped from the last line on."""

    def __init__(self, entry: Entry, width: int) -> None:
        self.entry, self.width = entry, width
        self._shown = ""
        self._length = 0
        self._prompt = 0
        self._spans: list[tuple[int, int]] = []
        self.lines: list[Content] = []
        self.update()

    def update(self) -> int:
        """Update from the entry; return the first line that changed."""
        entry, length = self.entry, len(self.entry.text)
        if length < self._length or not self._spans:
            self._shown = visible(entry.prompt)
            self._prompt, self._length, self._spans = len(self._shown), 0, [(0, 0)]
            self.lines = []
        self._shown += visible(entry.text[self._length :])
        self._length = length
        first = len(self._spans) - 1
        begin = self._spans.pop()[0]
        self._spans += line_starts(self._shown, self.width, begin)
        heading = 1 if entry.heading else 0
        del self.lines[first + heading :]
        if heading and not self.lines:
            self.lines.append(Content.styled(one_line(entry.heading), "$foreground 60%"))
        self.lines += [self._line(*span) for span in self._spans[first:]]
        if entry.ending:
            ending = one_line(entry.ending)
            for begin, end in line_starts(ending, self.width):
                self.lines.append(Content.styled(ending[begin:end], "$foreground 60%"))
        self.lines.append(Content(""))
        return first

    def _line(self, start: int, end: int) -> Content:
        cut = min(max(self._prompt, start), end)
        return Content.assemble(
            (self._shown[start:cut], "bold $text-accent"),
            (self._shown[cut:end], _STYLES[self.entry.kind]),
        )


class Transcript(ScrollView, can_focus=True):
    """Entries from top to bottom. It follows the newest line unless the user scrolled up."""

    DEFAULT_CSS = """
    Transcript { height: 1fr; width: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """
    MOST_ENTRIES: ClassVar[int] = 500

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.entries: list[Entry] = []
        self._drawn: list[_Drawn] = []
        self._lines: list[Content] = []
        self._follows = True

    @property
    def texts(self) -> list[Entry]:
        """All completions, oldest first, without notes."""
        return [one for one in self.entries if one.kind == "text"]

    @property
    def last_text(self) -> Entry | None:
        """The last completion."""
        return next((one for one in reversed(self.entries) if one.kind == "text"), None)

    def add(self, entry: Entry) -> None:
        """Append an entry and scroll to it."""
        self.add_all([entry])

    def add_all(self, entries: Sequence[Entry]) -> None:
        """Append entries and scroll to the last."""
        self.entries += entries
        del self.entries[: -self.MOST_ENTRIES]
        self._follows = True
        self._relay()

    def clear(self) -> None:
        """Remove all entries."""
        self.entries.clear()
        self._follows = True
        self._relay()

    def grown(self, entry: Entry) -> None:
        """`entry` has more text, or has ended: draw the change."""
        self._follows = self.is_vertical_scroll_end
        at = next((at for at, one in enumerate(self._drawn) if one.entry is entry), None)
        if at is None:
            return
        wrapped = self._drawn[at]
        before = sum(len(one.lines) for one in self._drawn[:at])
        old = len(wrapped.lines)
        first = wrapped.update()
        self._lines[before : before + old] = wrapped.lines
        self._resize_virtual()
        top = before + first - self.scroll_offset.y
        self.refresh(Region(0, max(0, top), self.size.width, max(1, self.size.height - top)))

    def _relay(self) -> None:
        width = self._width
        reusable = {id(one.entry): one for one in self._drawn if one.width == width}
        self._drawn = [reusable.get(id(entry)) or _Drawn(entry, width) for entry in self.entries]
        self._lines = [line for one in self._drawn for line in one.lines]
        self._resize_virtual()
        self.refresh()

    @property
    def _width(self) -> int:
        return max(8, self.scrollable_content_region.width)

    def _resize_virtual(self) -> None:
        follows = self._follows
        self.virtual_size = Size(self._width, len(self._lines))
        if follows:
            self.scroll_end(animate=False, force=True, immediate=True)

    def on_resize(self) -> None:
        self._follows = self._follows or self.is_vertical_scroll_end
        if any(one.width != self._width for one in self._drawn):
            self._relay()
        elif self._follows:
            self.scroll_end(animate=False, force=True, immediate=True)

    def watch_show_vertical_scrollbar(self) -> None:
        # The scrollbar takes a column of the text without a resize event.
        self.call_after_refresh(self.on_resize)

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        self._follows = self.is_vertical_scroll_end

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if not 0 <= at < len(self._lines):
            return Strip.blank(width, self.rich_style)
        content = self._lines[at].truncate(width, pad=True)
        return Strip(content.render_segments(self.visual_style), width)

    def as_text(self) -> str:
        """Everything as plain text, for a file."""
        parts = []
        for entry in self.entries:
            if entry.kind == "text":
                head = f"# {entry.heading}\n" if entry.heading else ""
                parts.append(f"{head}{entry.prompt}{entry.text}\n")
        return "\n".join(parts)

    def as_json_lines(self) -> str:
        """All finished completions, one JSON object per line."""
        return "".join(
            entry.exchange.line() for entry in self.entries if entry.exchange is not None
        )
