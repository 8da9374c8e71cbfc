"""A scrollable pane of text lines."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static


class Lines(VerticalScroll):
    """A scrollable pane of lines; keeps its scroll position unless it is at the top."""

    def __init__(self, title: str, id: str) -> None:
        super().__init__(classes="pane", id=id)
        self.border_title = title
        self._shown: list[Content] | None = None

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)

    def show(self, lines: list[Content]) -> None:
        """Replace the lines; repaints only if they differ."""
        if lines != self._shown:
            text = self.query_one(Static)
            moves = not as_high(self._shown or [], lines, text.content_size.width)
            text.update(Content("\n").join(lines), layout=moves)
            self._shown = lines
            if moves:
                self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Lay out again if the text is not as high as its lines: a change of height in a batch of
        updates, as when a screen is shown for the first time, may be lost."""
        text = self.query_one(Static)
        shown = text.content_size
        if shown.width and shown.height != text.get_content_height(
            text.container_size, self.app.size, shown.width
        ):
            text.refresh(layout=True)


def as_high(old: list[Content], new: list[Content], width: int) -> bool:
    """Whether `new` is known to take as many rows as `old`: no changed line wraps."""
    return len(old) == len(new) and all(
        one == other or max(one.cell_length, other.cell_length) <= width
        for one, other in zip(old, new, strict=True)
    )
