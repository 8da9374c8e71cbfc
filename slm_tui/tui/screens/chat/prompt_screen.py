"""A screen with an input for prompts and slash commands, and sampling settings."""

from collections.abc import Iterable
from pathlib import Path

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.generation import chat_commands as commands
from slm_tui.generation.chat_commands import COMMANDS, ChatSettings
from slm_tui.runs import store
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.dialogs import TextDialog
from slm_tui.tui.screens.chat.picker import LEAST, MOST
from slm_tui.tui.screens.chat.prompt_input import PromptInput
from slm_tui.tui.screens.chat.transcript import Kind


class PromptScreen(RoomScreen):
    """The base of the Chat screen and the side-by-side screen.

    A subclass implements `begin`, `action_continue`, `show_message`, `do` and `paint`.
    """

    AUTO_FOCUS = "#prompt"

    def __init__(self, settings: ChatSettings) -> None:
        super().__init__()
        self.settings = settings

    def compose_prompt(self) -> Iterable[Widget]:
        """The pane with the prompt input."""
        with Horizontal(id="ask", classes="pane"):
            yield Static("❯ ", id="sign", markup=False)
            yield PromptInput()

    # For subclasses

    def begin(self, prompt: str) -> None:
        """Complete `prompt`."""
        raise NotImplementedError

    def action_continue(self) -> None:
        """Continue the last completion."""
        raise NotImplementedError

    def show_message(self, kind: Kind, text: str) -> None:
        """Show the result of a command."""
        raise NotImplementedError

    def do(self, verb: str, argument: str) -> str:
        """Run a command that does not change settings; return the message to show.

        Raises:
            SlmTuiError: the command fails.
        """
        raise NotImplementedError

    def paint(self) -> None:
        """Show the current settings."""
        raise NotImplementedError

    def submitting(self) -> None:
        """A line was entered and is about to be run."""

    def settings_changed(self) -> None:
        """Called after a change of settings; override to update what depends on them."""

    # The prompt

    def on_input_submitted(self, event: Input.Submitted) -> None:
        # Textual calls the handlers of all base classes: a subclass overrides `submitting` instead.
        line = event.value
        self.query_one(PromptInput).remember(line)
        self.submitting()
        if line.startswith("/"):
            self.command(line)
        elif line:
            # A line break cannot be typed on one line, so \n represents it.
            self.begin(line.replace("\\n", "\n"))
        else:
            self.action_continue()

    def action_type(self) -> None:
        self.query_one(PromptInput).focus()

    @property
    def is_typing(self) -> bool:
        """Whether keys type text."""
        return isinstance(self.focused, Input)

    # Settings

    def change(self, settings: ChatSettings) -> None:
        """Use `settings` from the next completion on."""
        self.settings = settings
        self.settings_changed()
        self.paint()

    def action_cooler(self) -> None:
        self.change(self.settings.nudged("temperature", -1))

    def action_warmer(self) -> None:
        self.change(self.settings.nudged("temperature", 1))

    def action_fewer(self) -> None:
        self.change(self.settings.nudged("top_k", -1))

    def action_more(self) -> None:
        self.change(self.settings.nudged("top_k", 1))

    def action_narrower(self) -> None:
        self.change(self.settings.nudged("top_p", -1))

    def action_wider(self) -> None:
        self.change(self.settings.nudged("top_p", 1))

    def action_next_seed(self) -> None:
        self.change(self.settings.changed(seed=(self.settings.sampling.seed + 1) % 2**63))

    def action_greedy(self) -> None:
        line = "/sample" if self.settings.is_greedy else "/greedy"
        self.change(commands.run(line, self.settings).settings)

    # Commands

    def command(self, line: str) -> None:
        """Run a slash command, or show what is valid."""
        try:
            done = commands.run(line, self.settings)
            note = self._run(done.verb, done.argument) if done.verb else done.note
        except SlmTuiError as error:
            self.show_message("error", f"✗ {error}")
            return
        self.change(done.settings)
        if note:
            self.show_message("note", note)

    def _run(self, verb: str, argument: str) -> str:
        if verb == "help":
            lines = _help_lines(min(100, self.size.width) - 8)
            self.app.push_screen(TextDialog("Commands", lines))
        elif verb == "quit":
            self.run_worker(self.app.action_quit())
        else:
            return self.do(verb, argument)
        return ""


def checkpoints(names: str) -> list[Path]:
    """Two to four checkpoints, separated by spaces.

    Raises:
        SlmTuiError: one does not exist, or there are too few or too many.
    """
    paths = [store.find_checkpoint(name) for name in names.split()]
    if not LEAST <= len(paths) <= MOST:
        raise GenerationError(
            f"/side {names} is invalid",
            f"it takes {LEAST} to {MOST} checkpoints",
            "/side alone opens a list to choose from",
        )
    return paths


def _help_lines(width: int) -> list[Content]:
    lines = [
        Content.assemble((f"/{name} {example}".ljust(19), "bold"), " ", (help, "$foreground 60%"))
        for name, (example, help) in COMMANDS.items()
    ]
    notes = (
        "Type the start of a text; the model continues it.",
        "Enter on an empty line continues the last completion; esc stops it.",
        "Type \\n for a line break. Up and down recall earlier lines.",
    )
    wrapped = [Content.styled(line, "$foreground 60%").wrap(width) for line in notes]
    return [*lines, Content(""), *(line for lines in wrapped for line in lines)]
