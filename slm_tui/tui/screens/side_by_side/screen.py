"""Side by side: the same prompt and seed through two to four checkpoints."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.containers import Container
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.errors import GenerationError
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import GenerationThread
from slm_tui.runs.conversation import save_text
from slm_tui.text import one_line
from slm_tui.tui import actions
from slm_tui.tui.actions import Action, Room
from slm_tui.tui.base import redraws_per_second
from slm_tui.tui.dialogs import copy
from slm_tui.tui.screens.chat import panels
from slm_tui.tui.screens.chat.picker import SeveralPicker
from slm_tui.tui.screens.chat.prompt_screen import PromptScreen, checkpoints
from slm_tui.tui.screens.chat.transcript import Kind
from slm_tui.tui.screens.side_by_side.column import Column

_STREAM_SECONDS = 0.1
# Fewer cells than this make lines too short to read.
_LEAST_WIDTH = 38
_STYLES: dict[Kind, str] = {"text": "", "note": "$foreground 60%", "error": "$text-error"}
_HINT = "type some text: all checkpoints continue it with the same seed"


class SideBySide(PromptScreen):
    """Opened from Chat, which gets the settings back at the end."""

    ROOM: ClassVar[Room] = "chat"
    CSS_PATH = Path(__file__).with_suffix(".tcss")

    def __init__(
        self,
        chosen: Sequence[Path],
        settings: ChatSettings,
        done: Callable[[ChatSettings], None] = lambda settings: None,
    ) -> None:
        super().__init__(replace(settings, samples=1))
        self._done = done
        self._superseded = False
        self._samples = settings.samples
        self._chosen = list(chosen)
        self._lock = FairLock()
        self._generators: list[GenerationThread] = []
        self._stream: Timer | None = None
        self._shown_message: tuple[Kind, str] = ("note", "")
        self._drawn: object = None

    def compose_body(self) -> Iterable[Widget]:
        with Container(id="columns"):
            yield from self._columns()
        yield Static("", id="message", markup=False)
        yield from self.compose_prompt()

    def _columns(self) -> list[Column]:
        columns = [Column(number, path, self._lock) for number, path in enumerate(self._chosen)]
        self._generators = [column.generator for column in columns]
        return columns

    def on_mount(self) -> None:
        if redraws_per_second() > 1:
            self._stream = self.set_interval(_STREAM_SECONDS, self._take)
        self._arrange()

    def on_screen_resume(self) -> None:
        if self._superseded:
            self._leave()

    def on_unmount(self) -> None:
        close(self._generators)  # the columns themselves no longer exist

    @property
    def columns(self) -> list[Column]:
        return list(self.query(Column))

    def close_when_shown(self) -> None:
        """Go back to Chat, now or when shown again: another model is loaded there."""
        self._superseded = True
        if self.is_mounted and self.is_current:
            self._leave()

    # Generating

    def submitting(self) -> None:
        self._shown_message = ("note", "")

    def begin(self, prompt: str) -> None:
        for column in self.columns:
            column.begin(prompt, self.settings.sampling)
        self._take()

    def action_continue(self) -> None:
        """Continue all unfinished completions; start new ones if there are none."""
        going = [column for column in self.columns if column.can_continue]
        for column in going:
            column.continue_last(self.settings.sampling)
        if not going:
            self.begin("")
        self._take()

    def action_stop(self) -> None:
        """Stop all; with nothing to stop, go back to Chat."""
        if self.is_writing:
            for column in self.columns:
                column.stop()
            self._take()
        elif not self.step_out():
            self._leave()

    @property
    def is_writing(self) -> bool:
        return any(column.is_writing for column in self.columns)

    def _leave(self) -> None:
        self._done(replace(self.settings, samples=self._samples))
        self.dismiss()

    def refresh_room(self) -> None:
        self._take()

    def _take(self) -> None:
        for column in self.columns:
            column.take()
        self.paint()

    # Keys and commands

    def action_copy(self) -> None:
        """Copy the last completion of the focused column."""
        column = self.focused
        if isinstance(column, Column):
            texts = [entry.text for entry in column.entries if entry.kind == "text"]
            if texts:
                copy(self.app, texts[-1])

    def action_model(self) -> None:
        """Choose other checkpoints."""
        self.app.push_screen(SeveralPicker(self._chosen[0]), self._picked)

    def _picked(self, chosen: tuple[str, ...] | None) -> None:
        if chosen:
            self.run_worker(self.choose([Path(one) for one in chosen]), exclusive=True)

    async def choose(self, chosen: Sequence[Path]) -> None:
        """Put other checkpoints in the columns."""
        close(self._generators)
        self._chosen = list(chosen)
        container = self.query_one("#columns")
        self._unzoom()
        await container.remove_children()
        await container.mount_all(self._columns())
        self._arrange()

    def show_message(self, kind: Kind, text: str) -> None:
        self._shown_message = (kind, text)
        self.paint()

    def do(self, verb: str, argument: str) -> str:
        if verb == "save":
            lines = argument.lower().endswith(".jsonl")
            text = self._as_json_lines() if lines else self._as_text()
            return f"saved to {save_text(argument, text)}"
        if verb in ("side", "model"):
            if argument:
                paths = checkpoints(argument)
                self.run_worker(self.choose(paths), exclusive=True)
            else:
                self.action_model()
            return ""
        raise GenerationError(f"/{verb} works only in the chat", "", "press esc to go back to it")

    def change(self, settings: ChatSettings) -> None:
        if settings.samples > 1:
            self.show_message("error", "✗ One completion per column; use s or /seed for another.")
            settings = replace(settings, samples=1)
        super().change(settings)

    def _as_text(self) -> str:
        return "\n".join(
            f"## {column.border_title}\n\n{column.as_text()}" for column in self.columns
        )

    def _as_json_lines(self) -> str:
        return "".join(column.as_json_lines() for column in self.columns)

    # Drawing

    def paint(self) -> None:
        """Update settings, hints and footer, if they changed."""
        writing, typing = self.is_writing, self.is_typing
        visible = (self.settings, self._shown_message, writing, typing, self.size)
        if visible == self._drawn or not self.query("#message"):
            return
        self._drawn = visible
        ask = self.query_one("#ask")
        short = panels.fitting(self.settings.short(), max(20, self.size.width - 6))
        ask.border_title = Content(f" {short} ")
        kind, text = self._shown_message
        shown = one_line(text or _HINT, max(8, self.size.width - 4))
        self.query_one("#message", Static).update(Content.styled(shown, _STYLES[kind]))
        self.refresh_footer()

    def on_resize(self) -> None:
        self._arrange()
        self.paint()

    def _arrange(self) -> None:
        """Place all columns in one row if wide enough, else two by two, or stacked."""
        many = len(self.columns)
        fit = max(1, self.size.width // _LEAST_WIDTH)
        across = many if many <= fit else 1 if many == 2 else 2
        container = self.query_one("#columns")
        for number in range(1, 5):
            container.set_class(number == across, f"-across-{number}")
        container.set_class(many == 3 and across == 2, "-odd")

    def watch_focused(self) -> None:
        super().watch_focused()
        if self.is_mounted:
            self.paint()

    def footer_actions(self) -> list[Action]:
        by_id = actions.BY_ID
        stop, typing = by_id["chat.stop"], self.is_typing
        ranked = [by_id["chat.continue"]]
        if self.is_writing:
            ranked.insert(0, stop)
        else:
            ranked.append(replace(stop, label="Chat"))
        ranked.append(by_id["chat.model"])
        if not typing:
            ranked += [by_id["chat.type"], by_id["chat.next_seed"], by_id["app.zoom"]]
        return [*ranked, by_id["app.help"]]


def close(generators: Sequence[GenerationThread]) -> None:
    """Stop them without waiting: each may still be computing a token or reading a file."""
    for generator in generators:
        generator.stop()

    def close_all() -> None:
        for generator in generators:
            generator.close()

    threading.Thread(target=close_all, name="close-generators", daemon=True).start()
