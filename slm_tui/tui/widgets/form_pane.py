"""The form of a preset: the property list, the input over its row, and the help below."""

import re
import textwrap

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from slm_tui.config.describe import Setting
from slm_tui.config.drafts import Draft, spelled
from slm_tui.text import visible
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.focus import focus_now
from slm_tui.tui.widgets.line_list import LineList, Row
from slm_tui.tui.widgets.property_list import PropertyList, described


class _Edit(Input):
    """Losing focus accepts the input, so that a click elsewhere loses no typing."""

    DEFAULT_CSS = """
    _Edit { layer: edit; display: none; border: none; height: 1; padding: 0; }
    _Edit, _Edit:focus { background: $foreground 15%; }
    _Edit:focus { border: none; background-tint: $foreground 0%; }
    """


_SENTENCE = re.compile(r"(?<=[.!?]) ")


class _Help(Widget):
    """The lines below the list. Of plain text those sentences are shown that fit; if not even the
    first does, it ends in an ellipsis."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._text: Content | str = ""

    def show(self, text: Content | str) -> None:
        self._text = text
        self.refresh()

    def render(self) -> Content:
        if isinstance(self._text, Content):
            return self._text
        sentences = _SENTENCE.split(self._text)
        for count in range(len(sentences), 0, -1):
            text = Content.styled(" ".join(sentences[:count]), MUTED)
            if self.fits(text):
                return text
        width, height = self.content_size
        lines = textwrap.wrap(self._text, max(8, width), max_lines=max(1, height), placeholder="…")
        return Content.styled("\n".join(lines), MUTED)

    def fits(self, text: Content) -> bool:
        """Whether all of `text` can be shown; true before there is a size."""
        width, height = self.content_size
        return not width or not height or len(text.wrap(width)) <= height


class FormPane(Vertical):
    """Shows a draft; `Typed` reports what was entered for a setting."""

    DEFAULT_CSS = """
    FormPane { layers: base edit; }
    FormPane #setting-help { height: 3; padding: 0 1; border-top: solid $foreground 20%; }
    FormPane #setting-filter { display: none; }
    """

    class Typed(Message):
        """`text` was entered for `setting` of `draft`, which may no longer be the one shown."""

        def __init__(self, draft: Draft, setting: Setting, text: str) -> None:
            super().__init__()
            self.draft, self.setting, self.text = draft, setting, text

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self.properties = PropertyList(id="properties")
        self._edit = _Edit(id="edit", select_on_focus=True)
        self._draft: Draft | None = None
        self._editing: tuple[Draft, Setting] | None = None

    def compose(self) -> ComposeResult:
        yield Input(id="setting-filter", classes="-plain", placeholder="filter settings")
        yield self.properties
        yield _Help(id="setting-help")
        yield self._edit

    def on_mount(self) -> None:
        self.watch(self.properties, "scroll_y", self._scrolled, init=False)

    def _scrolled(self) -> None:
        if self.is_editing:
            self._place()

    def show(self, draft: Draft | None) -> None:
        """Show the current state of `draft`."""
        self._draft = draft
        self.properties.show(draft)
        self.show_help()

    def show_error(self, text: str, remedy: str) -> None:
        """Show why the preset cannot be edited, in place of its settings."""
        self.show(None)
        lines = textwrap.wrap(visible(text), max(20, self.properties.size.width - 2))
        self.properties.set_rows(
            [
                Row(f"!{at}", Content.styled(line, "$text-error"), False)
                for at, line in enumerate(lines)
            ]
        )
        self.say(Content(remedy))

    def show_briefly(self, text: str) -> None:
        """Show untrusted `text` below the list, muted and truncated to fit."""
        self.query_one(_Help).show(visible(text, keep=""))

    def show_help(self) -> None:
        """Describe the focused setting, or what is wrong with it."""
        setting = self.properties.setting
        if self._draft is None:
            return
        if setting is None:
            self.say(Content.styled("enter expands or collapses", MUTED))
            return
        fits = self.query_one(_Help).fits
        problem = self._draft.problems.get(setting.path)
        if problem is None:
            self.say(described(setting, self._draft, fits))
            return
        wrong = Content.styled(f"✗ {visible(problem.message)}", "$text-error")
        both = Content.assemble(
            wrong,
            "\n",
            described(setting, self._draft, lambda text: fits(Content.assemble(wrong, "\n", text))),
        )
        self.say(both if fits(both) else wrong)

    def say(self, text: Content) -> None:
        """Show `text` below the list until the cursor moves."""
        self.query_one(_Help).show(text)

    # Editing in place

    @property
    def is_editing(self) -> bool:
        return self._editing is not None

    def on_property_list_digit(self, message: PropertyList.Digit) -> None:
        message.stop()
        self.edit(message.text)

    def edit(self, text: str | None = None) -> None:
        """Open the input over the focused setting, with `text` instead of its value."""
        setting = self.properties.setting
        if setting is None or self._draft is None:
            return
        self._editing = (self._draft, setting)
        self._edit.value = spelled(self._draft.value(setting)) if text is None else text
        # What was typed is extended, a whole value is replaced.
        self._edit.select_on_focus = text is None
        self._place()
        self._edit.display = True
        focus_now(self._edit)
        self._edit.cursor_position = len(self._edit.value)

    def _place(self) -> None:
        column, width = self.properties.value_place
        top = self.properties.region.y - self.content_region.y
        row = self.properties.cursor - self.properties.scroll_offset.y
        # When its row is scrolled out of view, hide the input without closing it.
        self._edit.styles.opacity = 1.0 if 0 <= row < self.properties.size.height else 0.0
        self._edit.styles.offset = (column, top + row)
        self._edit.styles.width = max(8, width + 2)

    def cancel_edit(self) -> bool:
        """Close the input without a change; return whether it was open."""
        was_open, had_focus = self.is_editing, self._edit.has_focus
        self._editing = None
        self._edit.display = False
        if was_open and had_focus:
            self.properties.focus()
        return was_open

    def accept_edit(self) -> None:
        """Close the input and report what was typed."""
        edited, text = self._editing, self._edit.value
        if edited is not None:
            self.cancel_edit()
            self.post_message(self.Typed(*edited, text))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input is self._edit:
            self.accept_edit()
        else:
            self.properties.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id == "setting-filter":
            self.properties.filter(event.value)

    def on_input_blurred(self, event: Input.Blurred) -> None:
        if event.input is self._edit:
            self.accept_edit()

    def on_resize(self, event: events.Resize) -> None:
        if self.properties.has_focus:
            self.call_after_refresh(self.show_help)
        if self.is_editing:
            self.call_after_refresh(self._place)

    def on_line_list_highlighted(self, message: LineList.Highlighted) -> None:
        message.stop()
        self.show_help()

    # The filter

    def open_filter(self) -> None:
        box = self.query_one("#setting-filter", Input)
        box.display = True
        focus_now(box)

    def close_filter(self) -> bool:
        """Show all settings again; return whether some were hidden."""
        box = self.query_one("#setting-filter", Input)
        if not box.display:
            return False
        box.value = ""
        box.display = False
        self.properties.filter("")
        self.properties.focus()
        return True
