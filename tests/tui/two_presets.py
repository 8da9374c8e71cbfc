"""A library with a built-in and a user preset, and the screen that shows it."""

from textual.pilot import Pilot
from textual.widgets import Input

from slm_tui.config.drafts import Draft
from slm_tui.config.preset import Preset
from slm_tui.live.workshop import LiveStatus, NoWorkshop
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.presets.screen import PresetsScreen

TINY = """
name = "stories-tiny"
title = "Stories, tiny"
group = "stories"
description = "Short [bold]words[/bold] \\u001b[31m and plots."
[data]
kind = "stories"
[tokenizer]
kind = "bpe"
vocab_size = 512
[model]
n_layer = 4
n_head = 4
n_embd = 128
[schedule]
warmup_fraction = 0.1
[training]
max_steps = 1000
"""
MINE = """
name = "mine"
title = "[red]My[/red] own"
base = "stories-tiny"
[model]
n_layer = 2
"""


class Recorder(NoWorkshop):
    """Accepts presets like a workshop."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[Preset] = []

    def live_status(self) -> LiveStatus | None:
        return None

    def train(self, preset: Preset, **_: object) -> None:
        self.trained.append(preset)

    def request_quit(self, choice: str) -> None:
        return


def an_app(workshop: Recorder | None = None) -> SlmTuiApp:
    return SlmTuiApp(workshop=workshop, load_torch=False)


def room(app: SlmTuiApp) -> PresetsScreen:
    return next(one for one in app.screen_stack if isinstance(one, PresetsScreen))


def draft(app: SlmTuiApp) -> Draft:
    result = room(app).draft
    assert result is not None
    return result


async def enter(pilot: Pilot[None], path: str, text: str) -> None:
    """Type `text` into the row `path`, as a user does."""
    screen = pilot.app.screen
    assert isinstance(screen, PresetsScreen)
    screen.form.properties.focus()
    screen.form.properties.reveal(path)
    await pilot.press("enter")
    assert screen.form.is_editing
    pilot.app.screen.query_one("#edit", Input).value = text
    await pilot.press("enter")
    await pilot.pause()
