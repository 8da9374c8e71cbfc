"""The Presets screen: choose a preset, edit it with its budget in view, and train it."""

import functools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from slm_tui.config import library
from slm_tui.config.describe import Setting, nudged
from slm_tui.config.drafts import Draft, Drafts, Origin, name_problem
from slm_tui.config.needs import described, need_of
from slm_tui.config.preset import Preset
from slm_tui.errors import PresetError, SlmTuiError
from slm_tui.text import one_line, visible
from slm_tui.tui.actions import BY_ID, Action, Room
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.dialogs import Ask, copy, show_error_notice
from slm_tui.tui.screens.presets import footer
from slm_tui.tui.screens.presets.dialogs import (
    EditAsToml,
    choose_value,
    delete_question,
    difference_dialog,
    explain_broken,
    moving_error,
)
from slm_tui.tui.screens.presets.missing_text import ask_for_text
from slm_tui.tui.screens.presets.variations import Variations
from slm_tui.tui.widgets.budget import Budget
from slm_tui.tui.widgets.focus import focus_now
from slm_tui.tui.widgets.form_pane import FormPane
from slm_tui.tui.widgets.line_list import LineList
from slm_tui.tui.widgets.preset_list import PresetList


class PresetsScreen(RoomScreen):
    """The list of presets, the form of the chosen one, and its budget."""

    ROOM: ClassVar[Room] = "presets"
    CSS_PATH = Path(__file__).with_suffix(".tcss")
    AUTO_FOCUS = "PresetList"

    def __init__(self) -> None:
        super().__init__()
        self.drafts = Drafts()
        # Deleted presets in the trash, with times (monotonic seconds), newest last.
        self._trashed: list[tuple[Path, float]] = []

    def compose_body(self) -> Iterable[Widget]:
        yield Static("No presets. Press n to create one.", id="none", classes="empty-state")
        with Container(id="rooms"):
            with Vertical(id="list", classes="pane"):
                yield Input(id="preset-filter", classes="-plain", placeholder="filter presets")
                yield PresetList(id="presets")
            yield FormPane(id="form", classes="pane")
            with Container(id="budget-pane", classes="pane"):
                yield Budget(id="budget")

    @property
    def presets(self) -> PresetList:
        return self.query_one(PresetList)

    @property
    def form(self) -> FormPane:
        return self.query_one(FormPane)

    @property
    def draft(self) -> Draft | None:
        """The chosen preset with its edits; `None` if there is none or its file has an error."""
        entry = self.presets.entry
        return self.drafts.of(entry) if entry else None

    def chosen(self) -> Preset:
        """The chosen preset, with its edits.

        Raises:
            SlmTuiError: it is invalid, or none is chosen.
        """
        draft, entry = self.draft, self.presets.entry
        if draft is not None and draft.preset is not None:
            return draft.preset
        if entry is None:
            raise SlmTuiError("no preset is chosen", "", "press 1 and choose one")
        problems = draft.problems.items() if draft is not None else ()
        why = "; ".join(f"{path}: {problem.message}" for path, problem in problems)
        raise SlmTuiError(f"{entry.name} is invalid", why or entry.error, "press 1 to correct it")

    def on_mount(self) -> None:
        # The row of the form to which → has just come, until something is changed.
        self._entered_at: str | None = None
        self.variations = Variations(self.app, self.show_draft, self._say)
        self.query_one("#list").border_title = "presets"
        self.query_one("#budget-pane").border_title = "budget"
        self.reload(select=library.DEFAULT)

    def reload(self, select: str | None = None) -> None:
        """Reload the library; keep the selection, or select `select`."""
        entries = library.entries()
        self.set_class(not entries, "-nothing")
        self.presets.show(entries, self.drafts.is_changed, select=select)
        self.show_draft()

    def show_draft(self) -> None:
        """Update list marks, form and budget from the draft."""
        entry, draft = self.presets.entry, self.draft
        self.presets.refresh()
        self.form.show(draft)
        self._show_budget()
        title = entry.name if entry else "settings"
        unsaved = " ● unsaved" if draft and draft.is_changed else ""
        if draft and draft.origin:
            unsaved = f" ● settings of {one_line(draft.origin.name, 20)}"
        self.refresh_footer()
        self.form.border_title = Content(one_line(title) + unsaved)
        if entry and entry.preset is None:
            remedy = "E opens the file" + ("" if entry.builtin else ", D moves it to the trash")
            self.form.show_error(f"✗ {entry.error}", remedy)
        elif self.focused is self.presets:
            self._show_title_of_preset()

    def refresh_room(self) -> None:
        self._show_budget()

    def _show_budget(self) -> None:
        entry = self.presets.entry
        varied = self.variations.cost(entry.name) if entry is not None else ""
        self.query_one(Budget).show(self.draft, self.slm.calibration, varied)

    def choose(self, name: str) -> None:
        """Put the cursor on preset `name`."""
        self._close_filters()
        self.reload(select=name)

    def on_line_list_highlighted(self, message: LineList.Highlighted) -> None:
        if message.owner is self.presets:
            self.show_draft()

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        self.action_edit()

    def on_form_pane_typed(self, message: FormPane.Typed) -> None:
        self._attempt(lambda draft: draft.put_text(message.setting, message.text), message.draft)

    def watch_focused(self) -> None:
        super().watch_focused()
        if self.focused is self.presets:
            self._show_title_of_preset()
        elif self.focused is self.form.properties:
            self.form.show_help()

    def _show_title_of_preset(self) -> None:
        preset = self.presets.entry.preset if self.presets.entry else None
        if preset is not None:
            self.form.show_briefly(described(preset))

    def _say(self, text: str) -> None:
        self.form.say(Content.styled(visible(text), "$text-accent"))

    # Editing

    def action_edit(self) -> None:
        properties = self.form.properties
        if self.focused is not properties:
            self._enter_form()
        elif properties.is_heading:
            properties.fold()
        elif properties.setting is not None:
            if properties.setting.type == "choice":
                self._ask_for_choice(properties.setting)
            elif properties.setting.type == "switch":
                self._nudge(1)
            else:
                self.form.edit()

    def action_nudge_less(self) -> None:
        self._nudge(-1)

    def action_nudge_more(self) -> None:
        self._nudge(1)

    def _nudge(self, direction: int) -> None:
        properties = self.form.properties
        if self.focused is self.presets:
            self._enter_form()
        elif direction < 0 and self._entered_at == properties.key:
            # Who has just come in by → goes back by ←, and changes nothing unknowingly.
            self.presets.focus()
        elif properties.is_heading:
            properties.fold(direction < 0)
        elif properties.setting is not None:
            setting = properties.setting
            self._attempt(
                lambda draft: draft.put(
                    setting.path, nudged(setting, draft.value(setting), direction, draft.values)
                )
            )

    def _enter_form(self) -> None:
        self.form.properties.focus()
        self._entered_at = self.form.properties.key

    def _ask_for_choice(self, setting: Setting) -> None:
        draft = self.draft
        if draft is not None:
            now = draft.value(setting)
            choose_value(self.app, setting, now, functools.partial(self._put, draft, setting))

    def _put(self, draft: Draft, setting: Setting, value: str) -> None:
        self._attempt(lambda draft: draft.put(setting.path, value), draft)

    def action_reset(self) -> None:
        setting = self.form.properties.setting
        if self.focused is self.form.properties and setting is not None:
            self._attempt(lambda draft: draft.reset(setting))

    def _attempt(self, edit: Callable[[Draft], None], draft: Draft | None = None) -> None:
        """Apply one edit and show it; ignore a setting that no longer exists."""
        draft = draft or self.draft
        self._entered_at = None
        if draft is None:
            return
        try:
            edit(draft)
        except PresetError as error:
            show_error_notice(self.app, error)
        self.show_draft()

    def action_undo(self) -> None:
        """Undo the last change: an edit of the chosen preset, or a deletion."""
        edited = self.draft.last_edit if self.draft else 0.0
        # What was restored from the trash dialog is not restored again.
        self._trashed = [one for one in self._trashed if one[0].exists()]
        if self._trashed and self._trashed[-1][1] > edited:
            self._restore(self._trashed.pop()[0])
            return
        path = self.draft.undo() if self.draft else None
        self.show_draft()
        if path:
            self.form.properties.reveal(path)
        if path is None:
            self._say("nothing to undo")

    def action_difference(self) -> None:
        if self.draft is not None:
            self.app.push_screen(difference_dialog(self.draft))

    def action_copy(self) -> None:
        if self.draft is not None:
            copy(self.app, self.draft.command())

    def action_editor(self) -> None:
        entry = self.presets.entry
        if entry is not None:
            EditAsToml(
                self.app,
                entry,
                self.draft,
                edited=self.show_draft,
                repaired=functools.partial(self.reload, select=entry.name),
            ).start()

    def footer_actions(self) -> list[Action]:
        """The list and the form have different actions."""
        if isinstance(self.focused, Input):
            return [BY_ID["presets.edit"], BY_ID["app.back"]]
        if self.focused is self.presets:
            return footer.in_list(self.presets.entry, self.draft)
        return footer.in_form(self.draft)

    # Training

    def action_train(self) -> None:
        """Start a run, or go to the first invalid setting."""
        draft = self.draft
        if draft is None:
            explain_broken(self.app, self.presets.entry)
            return
        draft.recheck()
        self.show_draft()
        need = need_of(draft.preset) if draft.preset is not None else ""
        if set(draft.problems) - ({"data.path"} if need == "file" else set()):
            self._go_to_problem(draft)
        elif need:
            start = functools.partial(self._train, draft)
            ask_for_text(self.app, draft, need, train=start, open_text=self.slm.open_text)
        else:
            self._train(draft)

    def _train(self, draft: Draft) -> None:
        self.show_draft()
        try:
            if self.slm.start_training(draft.to_train(), draft.origin):
                draft.put_back()
        except SlmTuiError as error:
            show_error_notice(self.app, error)

    def take(self, preset: Preset, origin: Origin, at: str) -> None:
        """Show the settings of a run in the form of the chosen preset; `t` trains them."""
        if (draft := self.draft) is None:
            return
        draft.take(preset, origin)
        self.show_draft()
        self.show_setting(at or "training.max_steps")
        self.notify(f"{origin.text} Press t to start it.", markup=False)

    # Experiments

    def action_queue(self) -> None:
        """Add a run of the chosen preset to the queue, which a process of its own trains."""
        try:
            self._say(self.variations.enqueue(self.chosen()))
        except SlmTuiError as error:
            show_error_notice(self.app, error)

    def action_suites(self) -> None:
        self.slm.open_experiments()

    def action_lessons(self) -> None:
        """Start the next lesson that is not done."""
        from slm_tui.tui.screens.experiments.screen import start_next_lesson

        start_next_lesson(self.slm)

    def action_vary(self) -> None:
        """In the form: values for the setting under the cursor. In the list: start them."""
        entry, setting = self.presets.entry, self.form.properties.setting
        try:
            preset = self.chosen()
        except SlmTuiError as error:
            show_error_notice(self.app, error)
            return
        assert entry is not None
        is_setting = self.focused is self.form.properties
        self.variations.ask(entry.name, preset, setting if is_setting else None)

    def _go_to_problem(self, draft: Draft) -> None:
        self.show_setting(next(iter(draft.problems)))
        self.app.bell()

    def show_setting(self, path: str) -> None:
        """Put the cursor on the setting `path` of the chosen preset."""
        self._entered_at = None
        self._close_filters()
        self.form.properties.focus()
        self.form.properties.reveal(path)
        # The row's help describes it: update it now, before the cursor message arrives.
        self.call_after_refresh(self.form.show_help)

    # The library

    def action_save(self) -> None:
        draft = self.draft
        if draft is None:
            return
        if draft.preset is None:
            self._go_to_problem(draft)
        elif draft.builtin:
            suggested = library.free_name(draft.name)
            text = f"Based on {draft.name}. Name:"
            ask = Ask("Save as your own preset", text, suggested, name_problem)
            self.app.push_screen(ask, lambda name: self._save(draft, name))
        elif draft.is_changed:
            self._save(draft, draft.name)
        else:
            self._say("no changes to save")

    def _save(self, draft: Draft, name: str | None) -> None:
        if name is None:
            return
        try:
            library.save(draft.named(name), replace=name == draft.name)
        except SlmTuiError as error:
            show_error_notice(self.app, error)
            return
        self.drafts.forget(draft.name)
        self.reload(select=name)
        self._say(f"saved as {name}")

    def action_new(self) -> None:
        draft = self.draft
        suggested = library.free_name(draft.name if draft else "preset")
        text = f"A copy of {draft.name}. Name:" if draft else "Name:"
        self.app.push_screen(
            Ask("New preset", text, suggested, name_problem), lambda name: self._make(draft, name)
        )

    def _make(self, draft: Draft | None, name: str | None) -> None:
        if name is None:
            return
        try:
            if draft is None:
                library.save(Preset(name=name), replace=False)
            elif draft.preset is None:
                library.copy(draft.name, name)
            else:
                library.save(draft.named(name), replace=False)
        except SlmTuiError as error:
            show_error_notice(self.app, error)
            return
        self.choose(name)

    def action_delete(self) -> None:
        entry = self.presets.entry
        if entry is None:
            return
        if entry.builtin:
            self._say(f"{entry.name} is built in and cannot be deleted")
            return
        name = entry.name
        self.app.push_screen(delete_question(name), lambda answer: self._delete(name, answer))

    def _delete(self, name: str, answer: str | None) -> None:
        if answer != "delete":
            return
        try:
            trash = library.delete(name)
        except (SlmTuiError, OSError) as error:
            show_error_notice(self.app, moving_error(error))
            return
        self._trashed.append((trash, time.monotonic()))
        self.reload()
        self._say(f"{name} moved to the trash; u restores it")

    def save_all(self) -> tuple[str, SlmTuiError] | None:
        """Save all edits; edits of built-in presets become presets of the user.

        Returns the name of the first preset that cannot be saved, and why.
        """
        for draft in self.drafts.unsaved():
            name = library.free_name(draft.name) if draft.builtin else draft.name
            try:
                library.save(draft.named(name), replace=name == draft.name)
            except SlmTuiError as error:
                return draft.name, error
            self.drafts.forget(draft.name)
        self.reload()
        return None

    def _restore(self, trashed: Path) -> None:
        try:
            name = library.restore(trashed)
        except (SlmTuiError, OSError) as error:
            show_error_notice(self.app, moving_error(error))
            return
        self.choose(name)
        self._say(f"{name} restored")

    # Filters, sides, layers

    def action_filter(self) -> None:
        if self.focused is self.form.properties:
            self.form.open_filter()
        else:
            box = self.query_one("#preset-filter", Input)
            box.display = True
            focus_now(box)

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "preset-filter":
            self.presets.filter(event.value)
            self.show_draft()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "preset-filter":
            self.presets.focus()

    def _close_filters(self) -> bool:
        box = self.query_one("#preset-filter", Input)
        had = self.form.close_filter()
        if box.display:
            box.value = ""
            box.display = False
            self.presets.filter("")
            self.presets.focus()
            self.show_draft()
            return True
        return had

    def action_sidebar_left(self) -> None:
        self.toggle_class("-left-hidden")
        if self.has_class("-left-hidden"):
            self.form.properties.focus()

    def action_sidebar_right(self) -> None:
        self.toggle_class("-right-hidden")

    def step_out(self) -> bool:
        if self.form.cancel_edit() or self._close_filters() or super().step_out():
            return True
        if self.focused is not self.presets and not self.has_class("-left-hidden"):
            self.presets.focus()
            return True
        return False
