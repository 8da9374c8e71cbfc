"""The Data screen: statistics and documents of the chosen preset's corpus."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.config import text_location
from slm_tui.config.drafts import Draft
from slm_tui.config.known_datasets import READY_MADE
from slm_tui.config.preset import Preset
from slm_tui.errors import PresetError, SlmTuiError
from slm_tui.live.data_worker import CorpusSnapshot, CorpusWorker
from slm_tui.tui.actions import BY_ID, Action, Room
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.dialogs import Ask, Choice, Question, TextDialog, copy, show_error_notice
from slm_tui.tui.screens.data import view
from slm_tui.tui.screens.data.charts import Lengths
from slm_tui.tui.screens.data.path_suggester import PathSuggester
from slm_tui.tui.screens.data.reader import DocumentReader
from slm_tui.tui.screens.data.tables import TokenTable
from slm_tui.tui.screens.data.tokenizers import NONE, TokenizerChoice, others
from slm_tui.tui.screens.data.training import ask_to_train
from slm_tui.tui.screens.data.view import Summary
from slm_tui.tui.widgets.token_text import TextView

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer

_FEW_ROWS = 22
_DETAILS_WIDTH = 92


class DataScreen(RoomScreen):
    """The Data screen."""

    ROOM: ClassVar[Room] = "data"
    CSS_PATH = Path(__file__).with_suffix(".tcss")
    AUTO_FOCUS = "#text"

    def __init__(self) -> None:
        super().__init__()
        self.worker = CorpusWorker()
        self._drawn = CorpusSnapshot(version=-1)
        self._problem: SlmTuiError | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield Static("", id="nothing", classes="empty-state", markup=False)
        with Container(id="panes"):
            with Container(id="figures"):
                yield Summary(id="summary", classes="pane")
                yield TokenTable(id="tokens", classes="pane")
                yield Lengths(id="lengths", classes="pane")
            yield DocumentReader(id="reader")

    def on_mount(self) -> None:
        self._draw(self.worker.snapshot)

    def on_unmount(self) -> None:
        self.worker.close()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < _FEW_ROWS, "-cramped")
        self.call_after_refresh(self.reader.title)

    # Which preset

    def on_screen_resume(self) -> None:
        self.look()

    def look(self) -> None:
        """Open the corpus of the chosen preset with its edits; one being prepared comes first."""
        if self.worker.is_preparing:
            return
        self._problem = None
        try:
            self.worker.look(self._chosen())
        except SlmTuiError as error:
            self._problem = error
            self._drawn = CorpusSnapshot(version=-1)

    def _chosen(self) -> Preset:
        """The preset under the cursor of the Presets screen, with its edits.

        Raises:
            SlmTuiError: it is invalid, or there is none.
        """
        return self.slm.chosen_preset()

    # Drawing

    @property
    def reader(self) -> DocumentReader:
        return self.query_one(DocumentReader)

    @property
    def text(self) -> TextView:
        return self.reader.text

    def refresh_room(self) -> None:
        snapshot = self.worker.snapshot
        if self._problem is not None:
            snapshot = CorpusSnapshot(state="failed", error=self._problem)
        elif snapshot.state == "ready" and snapshot.preset != self._drawn.preset:
            # The prepared preset may no longer be the chosen one.
            self._look_if_another(snapshot)
        if snapshot.version != self._drawn.version or snapshot.state == "preparing":
            self._draw(snapshot)

    def _look_if_another(self, snapshot: CorpusSnapshot) -> None:
        try:
            chosen = self._chosen()
        except SlmTuiError:
            return
        if chosen != snapshot.preset:
            self.worker.look(chosen)

    def _draw(self, snapshot: CorpusSnapshot) -> None:
        before, self._drawn = self._drawn, snapshot
        ready = snapshot.state == "ready"
        self.set_class(not ready, "-nothing")
        if ready:
            self._draw_corpus(snapshot)
        else:
            self.query_one("#nothing", Static).update(_nothing(snapshot))
        if before.state != snapshot.state:
            self.refresh_footer()

    def _draw_corpus(self, snapshot: CorpusSnapshot) -> None:
        statistics, preset = snapshot.statistics, snapshot.preset
        assert statistics is not None
        assert preset is not None
        summary = self.query_one(Summary)
        summary.show(snapshot)
        summary.border_title = Content(view.heading(preset))
        self.query_one(TokenTable).show(statistics)
        self.query_one(Lengths).show(statistics)
        self.reader.show(snapshot)
        if self.focused is None:
            self.text.focus()

    # Keys

    def action_train(self) -> None:
        """Ask whether to train the chosen preset on the text that is shown, then do it."""
        draft = self.slm.chosen_draft
        if draft is not None:
            draft.recheck()
        if draft is None or draft.preset is None:
            show_error_notice(self.app, self._why_invalid())
            return

        ask_to_train(
            self.app,
            draft,
            self.worker.snapshot,
            train=functools.partial(self._train, draft),
            edit=lambda: self.slm.show_setting("training.max_steps"),
            open_text=self.action_open,
        )

    def _why_invalid(self) -> SlmTuiError:
        try:
            self._chosen()
        except SlmTuiError as error:
            return error
        return SlmTuiError("the preset cannot be used", "", "press 1 to correct it")

    def _train(self, draft: Draft) -> None:
        try:
            self.slm.start_training(draft.to_train())
        except SlmTuiError as error:
            show_error_notice(self.app, error)

    def action_prepare(self) -> None:
        """Prepare the chosen preset; if it is prepared already, check it again."""
        if self.worker.is_preparing:
            return
        self._problem = None
        try:
            self.worker.prepare(self._chosen())
        except SlmTuiError as error:
            self._problem = error
        self.refresh_room()

    def action_sample(self) -> None:
        if self._drawn.state == "ready":
            self.reader.sample()

    def action_tokens(self) -> None:
        if self._drawn.state == "ready":
            self.reader.toggle_cuts()

    def action_details(self) -> None:
        if self._drawn.state == "ready":
            lines = view.details(self._drawn, min(_DETAILS_WIDTH, self.size.width - 8))
            self.app.push_screen(TextDialog("About this text", lines))

    def action_open(self) -> None:
        """Ask for another text and use it in the chosen preset."""
        draft = self.slm.chosen_draft
        if draft is None:
            error = SlmTuiError("no preset is chosen", "", "press 1 and choose one")
            show_error_notice(self.app, error)
            return
        data = draft.values.get("data")
        before = data.get("path") or data.get("dataset") if isinstance(data, dict) else ""
        text = f"A file, a directory, a dataset name or URL, or: {', '.join(READY_MADE)}"
        ask = Ask("Open text", text, str(before or ""), _location_problem, PathSuggester())
        self.app.push_screen(ask, self._open)

    def _open(self, where: str | None) -> None:
        draft = self.slm.chosen_draft
        if not where or draft is None:
            return
        draft.replace(text_location.changes(draft.values, where))
        self.slm.draft_changed()
        # Local text is opened immediately; the user starts a download.
        if draft.preset is not None and not draft.preset.data.is_remote:
            self.action_prepare()
        else:
            self.look()

    def action_compare(self) -> None:
        """Choose a second tokenizer to compare with, or none."""
        corpus = self._drawn.corpus
        if corpus is None or self._drawn.state != "ready":
            return
        tokenizers = others(corpus, self.text.text)
        choices = [one.choice for one in tokenizers]
        if self.reader.compares:
            choices.insert(0, Choice(NONE, "none", "stop comparing"))
        question = Question("Compare with", "Tokenize the same text with", choices, choices[0].id)
        self.app.push_screen(question, lambda answer: self._compare(answer, tokenizers))

    def _compare(self, answer: str | None, choices: list[TokenizerChoice]) -> None:
        if answer == NONE:
            self.reader.compare(None)
        chosen = next((one for one in choices if one.choice.id == answer), None)
        if chosen is not None:
            # Loading fifty thousand merges takes a moment.
            self.run_worker(lambda: self._load(chosen), thread=True, exclusive=True)

    def _load(self, chosen: TokenizerChoice) -> None:
        try:
            tokenizer = chosen.load()
        except SlmTuiError as error:
            self.call_later(show_error_notice, self.app, error)
            return
        self.call_later(self._show_other, tokenizer)

    def _show_other(self, tokenizer: "Tokenizer") -> None:
        if self._drawn.state == "ready":
            self.reader.compare(tokenizer)

    def on_document_reader_compared(self) -> None:
        self.set_class(self.reader.compares, "-comparing")

    def action_copy(self) -> None:
        if self._drawn.state != "ready":
            return
        if isinstance(self.focused, TextView):
            copy(self.app, self.focused.text)
        elif isinstance(self.focused, TokenTable):
            copy(self.app, self.focused.as_text())
        else:
            lines = view.summary(self._drawn, 80)
            copy(self.app, "\n".join(line.plain for line in lines))

    def action_sidebar_left(self) -> None:
        self.toggle_class("-left-hidden")
        if self.has_class("-left-hidden"):
            self.text.focus()

    def step_out(self) -> bool:
        if self.worker.is_preparing:
            self.worker.cancel()
            return True
        if super().step_out():
            return True
        if self.reader.compares:
            self.reader.compare(None)
            return True
        return False

    def footer_actions(self) -> list[Action]:
        ready = ("train", "open", "sample", "tokens", "compare", "details")
        names = {
            "ready": [f"data.{name}" for name in ready],
            "preparing": ["app.back"],
            "missing": ["data.prepare", "data.open", "data.train"],
        }.get(self.worker.snapshot.state, ["data.prepare", "data.open"])
        return [BY_ID[name] for name in names]


def _location_problem(where: str) -> str:
    """What is wrong with a text location; nothing while it is still being typed."""
    try:
        text_location.source_of(where)
    except PresetError as error:
        return error.what if where.strip() else "enter the location of a text"
    return ""


def _nothing(snapshot: CorpusSnapshot) -> Content:
    if snapshot.state == "preparing":
        return view.preparing(snapshot)
    if snapshot.state == "failed":
        return view.failed(snapshot)
    if snapshot.state == "missing" and snapshot.preset is not None:
        return view.missing(snapshot.preset, snapshot.note)
    return Content("Looking…")
