"""The trash: deleted items, newest first, which can be restored."""

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.runs import trash
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Dialog, show_error_notice
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row


class TrashScreen(Dialog[str]):
    """A list of deleted items; the result is the name of the restored one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "restore", "Restore", show=False)]

    def __init__(self) -> None:
        super().__init__("Trash", "↑↓ · enter restores · esc closes")
        self._entries = {str(one.path): one for one in trash.entries()}

    def compose_box(self) -> ComposeResult:
        if not self._entries:
            yield Static("The trash is empty.", classes="text")
        yield LineList([Row(key, _line(one)) for key, one in self._entries.items()])

    def on_mount(self) -> None:
        room = max(3, self.app.size.height - 6)
        rows = self.query_one(LineList)
        rows.styles.height = min(len(self._entries), room)
        rows.focus()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        self.action_restore()

    def action_restore(self) -> None:
        """Restore the item under the cursor; on errors the dialog stays open."""
        key = self.query_one(LineList).key
        if key is None:
            return
        try:
            name = trash.restore(self._entries[key])
        except SlmTuiError as error:
            show_error_notice(self.app, error)
        except OSError as error:
            show_error_notice(self.app, SlmTuiError("it cannot be restored", cause_of(error)))
        else:
            self.dismiss(name)


def _line(one: trash.Trashed) -> Content:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.when))
    return Content.assemble(
        (f" {when}  ", MUTED), (f"{one.kind:14}", MUTED), (one_line(one.name, 44), "bold")
    )
