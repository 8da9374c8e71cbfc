"""Jump mode: labels every focusable pane with a letter; pressing it focuses the pane."""

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

LETTERS = "asdfghjklqwertyuiop"


class JumpScreen(ModalScreen[Widget]):
    """Shows letters over `targets`; the result is the chosen widget, or `None`."""

    DEFAULT_CSS = """
    JumpScreen { background: $background 40%; }
    JumpScreen Static {
        position: absolute; width: 3; height: 1; background: $accent; color: $background;
        text-style: bold; text-align: center;
    }
    """

    def __init__(self, targets: list[Widget]) -> None:
        super().__init__()
        self.targets = dict(zip(LETTERS, targets, strict=False))

    def compose(self) -> ComposeResult:
        for letter, target in self.targets.items():
            label = Static(letter, markup=False)
            label.styles.offset = (target.region.x, target.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss(self.targets.get(event.character or ""))
