"""Settings, commands and copies of the chat."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.content import Content

from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.runs import store
from slm_tui.tui.dialogs import Reading, copy
from slm_tui.tui.screens import chat_commands
from slm_tui.tui.screens.chat_commands import COMMANDS, ChatSettings
from slm_tui.tui.screens.chat_models import save_text
from slm_tui.tui.screens.chat_transcript import Entry

if TYPE_CHECKING:
    from slm_tui.tui.screens.chat import ChatScreen


class ChatVerbs:
    """The part of the Chat screen that its keys and slash commands share."""

    settings: ChatSettings

    @property
    def _me(self) -> "ChatScreen":
        return cast("ChatScreen", self)

    def change(self, settings: ChatSettings) -> None:
        """Draw so from the next text on."""
        self.settings = settings
        self._me.paint()

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
        self.change(chat_commands.run(line, self.settings).settings)

    def action_copy(self) -> None:
        entries = self._me.transcript.entries
        answer = next((one.text for one in reversed(entries) if one.kind == "text"), "")
        if answer:
            copy(self._me.app, answer)

    def command(self, line: str) -> None:
        """Do what a slash command asks for, or say what works."""
        transcript = self._me.transcript
        try:
            done = chat_commands.run(line, self.settings)
            note = self._do(done.verb, done.argument) if done.verb else done.note
        except SlmTuiError as error:
            transcript.add(Entry("error", text=f"✗ {error}"))
            return
        self.change(done.settings)
        if note:
            transcript.add(Entry("note", text=note))

    def _do(self, verb: str, argument: str) -> str:
        me = self._me
        if verb == "save":
            lines = argument.lower().endswith(".jsonl")
            text = me.transcript.as_json_lines() if lines else me.transcript.as_text()
            return f"saved in {save_text(argument, text)}"
        if verb == "history":
            return me.history(argument)
        if verb == "model" and argument:
            me.load(self._checkpoint(argument))
        elif verb == "model":
            me.action_model()
        elif verb == "help":
            me.app.push_screen(Reading("Commands", _help_lines(min(100, me.size.width) - 8)))
        elif verb == "quit":
            me.run_worker(me.slm.action_quit())
        return ""

    def _checkpoint(self, name: str) -> Path:
        if "torch" not in sys.modules:
            raise GenerationError("torch is still being loaded", "", "try again in a moment")
        return store.find_checkpoint(name)


def _help_lines(width: int) -> list[Content]:
    lines = [
        Content.assemble((f"/{name} {example}".ljust(19), "bold"), " ", (help, "$foreground 60%"))
        for name, (example, help) in COMMANDS.items()
    ]
    told = (
        "What you type is the beginning of a text; the model goes on with it.",
        "Enter alone goes on from where the last text stopped; esc stops.",
        "\\n in what you type is a line break. Up and down bring back earlier lines.",
    )
    wrapped = [Content.styled(line, "$foreground 60%").wrap(width) for line in told]
    return [*lines, Content(""), *(line for lines in wrapped for line in lines)]
