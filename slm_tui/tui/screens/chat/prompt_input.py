"""The input line for prompts and commands, with history."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class PromptInput(Input):
    """One line; up and down recall earlier lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "earlier", show=False),
        Binding("down", "later", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="prompt", classes="-plain", placeholder="text to continue, or /help")
        self._history: list[str] = []
        self._typed: list[str] = []
        self._at = 0
        self._draft = ""

    def remember(self, line: str) -> None:
        """Add a line to the history, and clear the input."""
        if line and (not self._history or self._history[-1] != line):
            self._history.append(line)
            self._typed.append(line)
        self._at = len(self._history)
        self._draft = self.value = ""

    def recall(self, earlier: Sequence[str]) -> None:
        """Put lines from earlier conversations before those typed here."""
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
