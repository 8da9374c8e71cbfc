"""What users look for in the palette but is done outside the app: where to find it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.app import App
from textual.content import Content

from slm_tui.tui.dialogs import TextDialog


@dataclass(frozen=True)
class Outside:
    """An entry of the palette which opens a text."""

    title: str
    help: str
    text: str

    def shown_in(self, app: App[Any]) -> Callable[[], object]:
        """What choosing the entry does."""
        lines = [Content(line) for line in self.text.splitlines()]
        return lambda: app.push_screen(TextDialog(self.title, lines))


OUTSIDE: tuple[Outside, ...] = (
    Outside(
        "Font",
        "The terminal sets the font and its size",
        """\
The terminal draws the letters: its settings decide their font and
size. Most terminals enlarge them with ctrl and plus, and shrink them
with ctrl and minus; on macOS with cmd instead of ctrl.
Smaller letters show more: from 100 columns there are two panes side
by side, from 160 three.""",
    ),
    Outside(
        "Check this machine",
        "Device, versions, paths and terminal, with slm-tui doctor",
        """\
Quit, or open another terminal, and run:
  slm-tui doctor
It shows which device was found, the versions, where files live, and
whether the terminal can show everything.""",
    ),
    Outside(
        "Measure the speed",
        "Tokens per second and the fastest settings, with slm-tui bench",
        """\
Quit, or open another terminal while nothing is training, and run:
  slm-tui bench PRESET
It measures for half a minute and prints the settings that train
fastest.""",
    ),
)
