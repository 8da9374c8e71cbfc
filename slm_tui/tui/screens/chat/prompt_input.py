"""The line where prompts and commands are typed, with its history."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class PromptInput(Input):
    """One line; up and down walk through what was typed before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "earlier", show=False),
        Binding("down", "later", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="prompt", classes="-plain", placeholder="a beginning, or /help")
        self._history: list[str] = []
        self._typed: list[str] = []
        self._at = 0
        self._draft = ""

    def remember(self, line: str) -> None:
        """Keep a line, and empty the input."""
        if line and (not self._history or self._history[-1] != line):
            self._history.append(line)
            self._typed.append(line)
        self._at = len(self._history)
        self._draft = self.value = ""

    def recall(self, earlier: Sequence[str]) -> None:
        """Put what was typed at another time before what was typed here."""
        here = set(self._typed)
        before = [line for line in dict.fromkeys(reversed(earlier)) if line not in here]
        self._history = [*reversed(before), *self._typed]
        self._at = len(self._history)

    def action_earlier(self) -> None:
        if self._at == len(self._history):
            self._draft = self.value
        self._go(max(0, self._at - 1))

    def action_later(self) -> None:
        self._go(min(len(self._history), self._at + 1))

    def _go(self, at: int) -> None:
        self._at = at
        self.value = self._history[at] if at < len(self._history) else self._draft
        self.cursor_position = len(self.value)
