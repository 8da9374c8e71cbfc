"""Settings, commands and copies of the chat."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.content import Content

from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.runs import store
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.dialogs import Reading, copy
from slm_tui.tui.screens import chat_commands
from slm_tui.tui.screens.chat_commands import COMMANDS, ChatSettings
from slm_tui.tui.screens.chat_models import save_text
from slm_tui.tui.screens.chat_picker import LEAST, MOST, SeveralPicker
from slm_tui.tui.screens.chat_transcript import Entry, Kind

if TYPE_CHECKING:
    from slm_tui.tui.screens.chat import ChatScreen


class SettingsVerbs:
    """Keys and slash commands that change how text is drawn, for a screen that has `paint`."""

    settings: ChatSettings

    def paint(self) -> None:
        """Show the settings as they are now."""
        raise NotImplementedError

    def tell(self, kind: Kind, text: str) -> None:
        """Show what came of a command."""
        raise NotImplementedError

    def do(self, verb: str, argument: str) -> str:
        """What only the screen can do; returns what to tell.

        Raises:
            SlmTuiError: it cannot be done.
        """
        raise NotImplementedError

    @property
    def _screen(self) -> RoomScreen:
        return cast("RoomScreen", self)

    def change(self, settings: ChatSettings) -> None:
        """Draw so from the next text on."""
        self.settings = settings
        self.settings_changed()
        self.paint()

    def settings_changed(self) -> None:
        """For a screen on which other settings show more than themselves."""

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

    def command(self, line: str) -> None:
        """Do what a slash command asks for, or say what works."""
        try:
            done = chat_commands.run(line, self.settings)
            note = self._shared(done.verb, done.argument) if done.verb else done.note
        except SlmTuiError as error:
            self.tell("error", f"✗ {error}")
            return
        self.change(done.settings)
        if note:
            self.tell("note", note)

    def _shared(self, verb: str, argument: str) -> str:
        screen = self._screen
        if verb == "help":
            lines = _help_lines(min(100, screen.size.width) - 8)
            screen.app.push_screen(Reading("Commands", lines))
        elif verb == "quit":
            screen.run_worker(screen.slm.action_quit())
        else:
            return self.do(verb, argument)
        return ""


class ChatVerbs(SettingsVerbs):
    """What keys and commands of the Chat screen do beside the settings."""

    @property
    def _me(self) -> "ChatScreen":
        return cast("ChatScreen", self)

    def tell(self, kind: Kind, text: str) -> None:
        self._me.transcript.add(Entry(kind, text=text))

    def do(self, verb: str, argument: str) -> str:
        me = self._me
        if verb == "save":
            lines = argument.lower().endswith(".jsonl")
            text = me.transcript.as_json_lines() if lines else me.transcript.as_text()
            return f"saved in {save_text(argument, text)}"
        if verb == "history":
            return me.history(argument)
        if verb == "side" and argument:
            self._side(tuple(map(str, checkpoints(argument))))
        elif verb == "side":
            self.action_side()
        elif argument:
            me.load(checkpoint(argument))
        else:
            me.action_model()
        return ""

    def action_copy(self) -> None:
        entries = self._me.transcript.entries
        answer = next((one.text for one in reversed(entries) if one.kind == "text"), "")
        if answer:
            copy(self._me.app, answer)

    def action_side(self) -> None:
        """Choose two to four checkpoints and see them side by side."""
        facts = self._me._spoken.facts
        picker = SeveralPicker(facts.checkpoint if facts else None)
        self._me.app.push_screen(picker, self._side)

    def _side(self, chosen: tuple[str, ...] | None) -> None:
        from slm_tui.tui.screens.side_by_side import SideBySide

        if chosen:
            self._me.stop_writing()
            screen = SideBySide([Path(one) for one in chosen], self.settings, self.change)
            self._me.app.push_screen(screen)


def checkpoint(name: str) -> Path:
    """The checkpoint of that name.

    Raises:
        SlmTuiError: there is none, or torch is not there yet.
    """
    if "torch" not in sys.modules:
        raise GenerationError("torch is still being loaded", "", "try again in a moment")
    return store.find_checkpoint(name)


def checkpoints(names: str) -> list[Path]:
    """Two to four checkpoints, parted by blanks.

    Raises:
        SlmTuiError: one is not there, or they are fewer or more.
    """
    found = [checkpoint(name) for name in names.split()]
    if not LEAST <= len(found) <= MOST:
        raise GenerationError(
            f"/side {names} cannot be used",
            f"it takes {LEAST} to {MOST} checkpoints",
            "/side alone lets you choose",
        )
    return found


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
