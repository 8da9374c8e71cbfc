"""Dialogs of the Presets screen: difference from the base, and editing as TOML."""

from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.content import Content

from slm_tui import plain_text
from slm_tui.config.describe import Setting
from slm_tui.config.drafts import Draft
from slm_tui.config.library import LibraryEntry
from slm_tui.config.preset import check, from_toml, migrated
from slm_tui.errors import PresetError, SlmTuiError
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Choice, Question, TextDialog, show_error_notice
from slm_tui.tui.editor import EditorText
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.property_list import display


def delete_question(name: str) -> Question:
    """Asks before a user's preset is moved to the trash."""
    return Question(
        f"Delete preset {one_line(name, 40)}?",
        "Its file moves to the trash (u restores it). Its runs are kept.",
        [Choice("delete", "Delete", "move it to the trash"), Choice("keep", "Keep")],
        default="keep",
    )


def difference_dialog(draft: Draft) -> TextDialog:
    """The differences from the preset that `draft` is based on."""
    base = str(draft.reference.get("name", draft.name))
    differences = draft.difference()
    widest = max((len(path) for path, _, _ in differences), default=0)
    olds = max((len(_cell(old)) for _, old, _ in differences), default=0)
    lines = [
        Content.assemble(
            path.ljust(widest + 2),
            (_cell(old).rjust(olds), MUTED),
            ("  →  ", MUTED),
            (_cell(new), "bold $text-accent"),
        )
        for path, old, new in differences
    ]
    if not lines:
        lines = [Content.styled("No differences.", MUTED)]
    return TextDialog(f"Differences from {one_line(base)}", lines)


def _cell(value: Any) -> str:
    return one_line(display(value), 40)


def explain_broken(app: App[Any], entry: LibraryEntry | None) -> None:
    """Say why the preset of `entry` cannot be used."""
    if entry is not None:
        what = f"{entry.name} cannot be used"
        show_error_notice(app, SlmTuiError(what, entry.error, "press E to edit the file"))


def moving_error(error: SlmTuiError | OSError) -> SlmTuiError:
    """The reason why a preset's file could not be moved to the trash or back."""
    if isinstance(error, SlmTuiError):
        return error
    return SlmTuiError("the preset's file cannot be moved", str(error))


class EditAsToml:
    """One edit in the user's editor; the result is validated, and may be edited again on errors.

    Args:
        edited: called after the draft has changed.
        repaired: called after the file of an unreadable preset was rewritten.
    """

    def __init__(
        self,
        app: App[Any],
        entry: LibraryEntry,
        draft: Draft | None,
        *,
        edited: Callable[[], None],
        repaired: Callable[[], None],
    ) -> None:
        self._app, self._entry, self._draft = app, entry, draft
        self._edited, self._repaired = edited, repaired
        self._text: EditorText | None = None

    def start(self) -> None:
        """Open the editor."""
        if self._draft is None and self._entry.builtin:
            error = SlmTuiError(f"{self._entry.name} cannot be repaired here", "it is built in")
            show_error_notice(self._app, error)
            return
        try:
            before = self._draft.to_toml() if self._draft else plain_text.read(self._entry.path)
        except (OSError, ValueError) as error:
            show_error_notice(self._app, SlmTuiError("the file cannot be read", str(error)))
            return
        self._text = EditorText(self._entry.name, before)
        self._edit()

    def _edit(self) -> None:
        assert self._text is not None
        try:
            after = self._text.edit(self._app)
        except SlmTuiError as error:
            show_error_notice(self._app, error)
            return
        self._take(after)

    def _take(self, text: str) -> None:
        assert self._text is not None
        try:
            preset = from_toml(text, "the edited text")
        except PresetError as error:
            self._ask_again(error, text)
            return
        if self._draft is not None:
            self._draft.replace({**preset.to_dict(), "name": self._draft.name})
            self._edited()
        elif self._write(text):
            self._repaired()
        self._text.discard()

    def _write(self, text: str) -> bool:
        """Rewrite the file of a user's preset that had an error."""
        from slm_tui import safe_files

        try:
            safe_files.write_atomically(self._entry.path, text)
        except OSError as error:
            show_error_notice(self._app, SlmTuiError("the file cannot be written", str(error)))
            return False
        return True

    def _ask_again(self, error: PresetError, text: str) -> None:
        choices = [
            Choice("again", "Edit again", "reopen the editor with your text"),
            Choice("leave", "Discard", "the preset is unchanged; your text stays in its file"),
        ]
        values = _values(text)
        if self._draft is not None and values is not None:
            keep = Choice("keep", "Fix in the form", "invalid settings are marked there")
            choices.insert(1, keep)
        question = Question("Invalid preset", f"{error}\n{self._path}", choices, "again")
        self._app.push_screen(question, lambda answer: self._answered(answer, values))

    @property
    def _path(self) -> str:
        return str(self._text.path) if self._text else ""

    def _answered(self, answer: str | None, values: dict[str, Any] | None) -> None:
        if answer == "again":
            self._edit()
        elif answer == "keep" and self._draft is not None and values is not None:
            self._draft.replace({**values, "name": self._draft.name})
            self._edited()
            if self._text is not None:
                self._text.discard()


def _values(text: str) -> dict[str, Any] | None:
    """The values of a TOML text that looks like a preset; `None` for anything else."""
    try:
        values = migrated(plain_text.toml(text), "the edited text")
    except (ValueError, PresetError):
        return None
    _, wrong = check(values)
    return None if any("no such setting" in one.message for one in wrong) else values


def choose_value(app: App[Any], setting: Setting, now: Any, choose: Callable[[str], None]) -> None:
    """Show all choices of a setting; `choose` receives another one than `now`."""
    choices = [Choice(one, one, "now" if one == now else "") for one in setting.choices]

    def chosen(value: str | None) -> None:
        if value is not None and value != now:
            choose(value)

    app.push_screen(Question(setting.path, setting.help, choices, default=str(now)), chosen)
