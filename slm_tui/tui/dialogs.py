"""Questions, one-line inputs, notices, and copying to the clipboard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from slm_tui import paths, safe_files
from slm_tui.errors import SlmTuiError
from slm_tui.text import visible
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, ReadingList, Row

Result = TypeVar("Result")


class Dialog(ModalScreen[Result], Generic[Result]):
    """A box in the middle of the screen; `escape` closes it without an answer."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel", show=False)]
    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > #box {
        width: 72; max-width: 96%; height: auto; max-height: 96%;
        border: round $accent; background: $surface; padding: 0 1;
        border-title-color: $text-accent; border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    Dialog .text { height: auto; margin: 0 0 1 0; }
    Dialog LineList { height: auto; background: $surface; }
    """

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._title, self._hint = title, hint

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(f" {visible(self._title, keep='')} ")
            box.border_subtitle = Content(f" {self._hint} ")
            yield from self.compose_box()

    def compose_box(self) -> ComposeResult:
        """The content of the box."""
        yield from ()

    def action_leave(self) -> None:
        self.dismiss(None)


@dataclass(frozen=True)
class Choice:
    """One answer to a question."""

    id: str
    label: str
    help: str = ""


class _Choices(LineList):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "choose", show=False)]

    def action_choose(self) -> None:
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))


class Question(Dialog[str]):
    """Asks for one of several answers; the result is its id, or `None` after `escape`."""

    HINT: ClassVar[str] = "↑↓ enter · esc cancels"

    def __init__(self, title: str, text: str, choices: Sequence[Choice], default: str) -> None:
        super().__init__(title, self.HINT)
        self._text, self._choices, self._default = text, choices, default

    def compose_box(self) -> ComposeResult:
        yield Static(Content(visible(self._text)), classes="text")
        widest = max(len(one.label) for one in self._choices)
        rows = [
            Row(
                one.id,
                Content.assemble(" ", (one.label.ljust(widest), "bold"), "  ", (one.help, MUTED)),
            )
            for one in self._choices
        ]
        yield _Choices(rows, id="choices")

    def on_mount(self) -> None:
        choices = self.query_one(_Choices)
        choices.styles.height = len(self._choices)
        choices.select(self._default)
        choices.focus()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        self.dismiss(message.key)


class Ask(Dialog[str]):
    """Asks for one line. `validate` returns what is wrong with it, or an empty string."""

    DEFAULT_CSS = """
    Ask #wrong { height: auto; min-height: 1; color: $text-error; }
    """

    def __init__(
        self,
        title: str,
        text: str,
        value: str = "",
        validate: Callable[[str], str] = lambda value: "",
        suggester: Suggester | None = None,
    ) -> None:
        hint = "→ or tab completes · " if suggester is not None else ""
        super().__init__(title, f"{hint}enter accepts · esc cancels")
        self._text, self._value, self._validate = text, value, validate
        self._suggester = suggester

    def compose_box(self) -> ComposeResult:
        yield Static(Content(visible(self._text)), classes="text")
        yield Input(self._value, classes="-plain", suggester=self._suggester)
        yield Static("", id="wrong", markup=False)

    def on_key(self, event: events.Key) -> None:
        if event.key == "tab" and self._suggester is not None:
            event.stop()
            event.prevent_default()
            box = self.query_one(Input)
            box.action_end()
            box.action_cursor_right()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._check(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self._check(event.value):
            self.dismiss(event.value)

    def _check(self, value: str) -> bool:
        wrong = self._validate(value)
        self.query_one("#wrong", Static).update(Content(f"✗ {visible(wrong)}" if wrong else ""))
        return not wrong


class Notice(Dialog[None]):
    """Reports what failed, why, and what to do; enter, space or escape closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "leave", "Close", show=False),
        Binding("c", "copy", "Copy", show=False),
    ]
    DEFAULT_CSS = """
    Notice > #box { border: round $error; border-title-color: $text-error; }
    """

    def __init__(self, error: SlmTuiError, title: str = "Error") -> None:
        super().__init__(title, "enter closes · c copies")
        self.error = error

    def compose_box(self) -> ComposeResult:
        parts = [Content.styled(visible(self.error.what), "bold")]
        if self.error.why:
            parts.append(Content(visible(self.error.why)))
        if self.error.remedy:
            parts.append(Content.assemble(("→ ", "$text-success"), visible(self.error.remedy)))
        yield Static(Content("\n").join(parts), classes="text")

    def action_copy(self) -> None:
        copy(self.app, str(self.error))


class TextDialog(Dialog[None]):
    """Lines of text to read: a difference, a log, a list of keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "leave", "Close", show=False),
        Binding("c", "copy", "Copy", show=False),
    ]
    DEFAULT_CSS = """
    TextDialog > #box { width: 100; }
    """

    def __init__(self, title: str, lines: Sequence[Content]) -> None:
        super().__init__(title, "↑↓ · esc closes · c copies")
        self.lines = list(lines)

    def compose_box(self) -> ComposeResult:
        yield ReadingList([Row(str(at), line) for at, line in enumerate(self.lines)], id="lines")

    def on_mount(self) -> None:
        self._fit()
        self.query_one(LineList).focus()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        room = max(3, self.app.size.height - 4)
        self.query_one(LineList).styles.height = min(len(self.lines), room)

    def action_copy(self) -> None:
        copy(self.app, "\n".join(line.plain.rstrip() for line in self.lines))


def copy(app: App[Any], text: str) -> None:
    """Copy `text` to the clipboard (OSC 52) and, as not every terminal supports it, to a file."""
    app.copy_to_clipboard(text)
    path = paths.data_dir() / "clipboard.txt"
    try:
        safe_files.write_atomically(path, text)
        message = f"Copied; also saved to {path}"
    except OSError as error:
        message = f"Copied to the clipboard only: cannot write {path} ({error})"
    app.notify(visible(message), markup=False, timeout=4)


def show_error_notice(app: App[Any], error: SlmTuiError, title: str = "Error") -> None:
    """Show `error` as a notice."""
    app.push_screen(Notice(error, title))
