"""The Data screen: what the chosen preset's corpus holds, in figures and to read."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.config import library
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.text import one_line
from slm_tui.tui.actions import BY_ID, Action, Room
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.dialogs import copy
from slm_tui.tui.screens import data_view
from slm_tui.tui.screens.data_text import TextView, passage
from slm_tui.tui.screens.data_view import Lengths, Summary, TokenTable
from slm_tui.tui.screens.data_worker import CorpusWorker, Snapshot
from slm_tui.tui.screens.presets import PresetsScreen

# Longer documents are read in passages of so many tokens.
_PASSAGE = 2000
_FEW_ROWS = 22


class DataScreen(RoomScreen):
    """The room `data`."""

    ROOM: ClassVar[Room] = "data"
    CSS_PATH = Path(__file__).with_suffix(".tcss")
    AUTO_FOCUS = "#text"

    def __init__(self) -> None:
        super().__init__()
        self.worker = CorpusWorker()
        self._drawn = Snapshot(version=-1)
        self._problem: SlmTuiError | None = None
        self._part, self._document, self._start = "train", 0, 0
        self._cuts = False

    def compose_body(self) -> Iterable[Widget]:
        yield Static("", id="nothing", classes="empty-state", markup=False)
        with Container(id="panes"):
            with Container(id="figures"):
                yield Summary(id="summary", classes="pane")
                yield TokenTable(id="tokens", classes="pane")
                yield Lengths(id="lengths", classes="pane")
            yield TextView(id="text", classes="pane")

    def on_mount(self) -> None:
        super().on_mount()
        self._draw(self.worker.snapshot)

    def on_unmount(self) -> None:
        self.worker.close()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < _FEW_ROWS, "-cramped")
        self.call_after_refresh(self._title)

    # Which preset

    def on_screen_resume(self) -> None:
        self.look()
        super().on_screen_resume()

    def look(self) -> None:
        """Look at the chosen preset as it is edited now; one being prepared comes first."""
        if self.worker.is_preparing:
            return
        self._problem = None
        try:
            self.worker.look(self._chosen())
        except SlmTuiError as error:
            self._problem = error
            self._drawn = Snapshot(version=-1)

    def _chosen(self) -> Preset:
        """The preset under the cursor of the Presets screen, with its edits.

        Raises:
            SlmTuiError: it is not valid, or there is none.
        """
        for screen in self.app.get_screen_stack("presets"):
            if isinstance(screen, PresetsScreen):
                return _usable(screen)
        return library.get(library.DEFAULT)

    # Drawing

    @property
    def text(self) -> TextView:
        return self.query_one(TextView)

    def refresh_room(self) -> None:
        snapshot = self.worker.snapshot
        if self._problem is not None:
            snapshot = Snapshot(state="failed", error=self._problem)
        elif snapshot.state == "ready" and snapshot.preset != self._drawn.preset:
            # What was prepared may not be what is chosen by now.
            self._look_if_another(snapshot)
        if snapshot.version != self._drawn.version or snapshot.state == "preparing":
            self._draw(snapshot)

    def _look_if_another(self, snapshot: Snapshot) -> None:
        try:
            chosen = self._chosen()
        except SlmTuiError:
            return
        if chosen != snapshot.preset:
            self.worker.look(chosen)

    def _draw(self, snapshot: Snapshot) -> None:
        before, self._drawn = self._drawn, snapshot
        ready = snapshot.state == "ready"
        self.set_class(not ready, "-nothing")
        if ready:
            self._draw_corpus(snapshot, before)
        else:
            self.query_one("#nothing", Static).update(_nothing(snapshot))
        if before.state != snapshot.state:
            self.refresh_footer()

    def _draw_corpus(self, snapshot: Snapshot, before: Snapshot) -> None:
        statistics, preset = snapshot.statistics, snapshot.preset
        assert statistics is not None
        assert preset is not None
        summary = self.query_one(Summary)
        summary.show(snapshot)
        summary.border_title = Content(one_line(preset.title or preset.name))
        self.query_one(TokenTable).show(statistics)
        self.query_one(Lengths).show(statistics)
        if before.statistics is not statistics:
            self._part, self._document, self._start = "train", 0, 0
            self._read()
        if self.focused is None:
            self.text.focus()

    def _read(self, *, at_end: bool = False, stay: bool = False) -> None:
        """Show the passage that is chosen."""
        snapshot = self._drawn
        documents = snapshot.documents.get(self._part)
        if documents is None or snapshot.corpus is None:
            return
        ids = documents.ids(self._document, self._start, _PASSAGE)
        shown = passage(snapshot.corpus.tokenizer, ids, cuts=self._cuts)
        self.text.show(shown, at_end=at_end, stay=stay)
        self._title()
        # The first passage is read before the pane has its size.
        self.call_after_refresh(self._title)

    def _title(self) -> None:
        """Say what is being read, in as many words as fit."""
        documents = self._drawn.documents.get(self._part)
        if documents is None:
            return
        begin, end = documents.span(self._document)
        last = min(end - begin, self._start + _PASSAGE)
        arrows = ("◀ ", " ▶") if len(self._drawn.documents) > 1 else ("", "")
        part = data_view.PART_NAMES[self._part].join(arrows)
        where = f"{self._document + 1:,} of {len(documents):,}"
        length = f"{end - begin:,} tokens"
        if last - self._start < end - begin:
            length = f"tokens {self._start + 1:,}–{last:,} of {end - begin:,}"
        choices = [f"{part} · document {where} · {length}", f"{part} · {where} · {length}"]
        choices.append(f"{part} · {length}")
        room = self.text.outer_size.width - 6
        fitting = (one for one in choices if len(one) <= room)
        self.text.border_title = Content(next(fitting, part))

    # Keys

    def action_prepare(self) -> None:
        """Prepare the chosen preset; one that is prepared already is checked again."""
        if self.worker.is_preparing:
            return
        self._problem = None
        try:
            self.worker.prepare(self._chosen())
        except SlmTuiError as error:
            self._problem = error
        self.refresh_room()

    def action_sample(self) -> None:
        documents = self._drawn.documents.get(self._part)
        if documents is None or self._drawn.state != "ready":
            return
        self._document = random.randrange(len(documents))
        begin, end = documents.span(self._document)
        self._start = random.randrange(0, max(1, end - begin), _PASSAGE)
        self._read()

    def action_tokens(self) -> None:
        if self._drawn.state == "ready":
            self._cuts = not self._cuts
            self._read(stay=True)

    def action_copy(self) -> None:
        if self._drawn.state != "ready":
            return
        if isinstance(self.focused, TextView):
            copy(self.app, self.text.text)
        elif isinstance(self.focused, TokenTable):
            copy(self.app, self.focused.as_text())
        else:
            lines = data_view.summary(self._drawn, 80)
            copy(self.app, "\n".join(line.plain for line in lines))

    def action_sidebar_left(self) -> None:
        self.toggle_class("-left-hidden")
        if self.has_class("-left-hidden"):
            self.text.focus()

    def step_out(self) -> bool:
        if self.worker.is_preparing:
            self.worker.cancel()
            return True
        return super().step_out()

    def on_text_view_turned(self, message: TextView.Turned) -> None:
        if isinstance(message, TextView.PartChosen):
            return
        documents = self._drawn.documents.get(self._part)
        if documents is None:
            return
        begin, end = documents.span(self._document)
        self._start += message.direction * _PASSAGE
        if not 0 <= self._start < end - begin:
            self._document = (self._document + message.direction) % len(documents)
            begin, end = documents.span(self._document)
            last = (max(1, end - begin) - 1) // _PASSAGE * _PASSAGE
            self._start = 0 if message.direction > 0 else last
        self._read(at_end=message.direction < 0)

    def on_text_view_part_chosen(self, message: TextView.PartChosen) -> None:
        parts = list(self._drawn.documents)
        if len(parts) > 1 and self._part in parts:
            at = (parts.index(self._part) + message.direction) % len(parts)
            self._part, self._document, self._start = parts[at], 0, 0
            self._read()

    def footer_actions(self) -> list[Action]:
        names = {
            "ready": ["data.sample", "data.tokens", "app.zoom", "app.copy", "data.prepare"],
            "preparing": ["app.back"],
        }.get(self.worker.snapshot.state, ["data.prepare"])
        return [BY_ID[name] for name in names]


def _usable(screen: PresetsScreen) -> Preset:
    draft, entry = screen.draft, screen.presets.entry
    if draft is not None and draft.preset is not None:
        return draft.preset
    if entry is None:
        raise SlmTuiError("no preset is chosen", "", "press 1 and choose one")
    problems = draft.problems.items() if draft is not None else ()
    why = "; ".join(f"{path}: {problem.message}" for path, problem in problems)
    raise SlmTuiError(f"{entry.name} is not valid", why or entry.error, "press 1 to correct it")


def _nothing(snapshot: Snapshot) -> Content:
    if snapshot.state == "preparing":
        return data_view.preparing(snapshot)
    if snapshot.state == "failed":
        return data_view.failed(snapshot)
    if snapshot.state == "missing" and snapshot.preset is not None:
        return data_view.missing(snapshot.preset, snapshot.note)
    return Content("Looking…")
