"""The reader of the Data screen: documents in passages, token boundaries, two tokenizers."""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.live.data_worker import CorpusSnapshot
from slm_tui.tui.screens.data.tokenizers import labels_of
from slm_tui.tui.screens.data.view import PART_NAMES
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.token_text import TextView, describe_token, passage

if TYPE_CHECKING:
    from slm_tui.corpus.documents import Documents
    from slm_tui.corpus.tokenizers import Tokenizer

# Longer documents are shown in passages of this many tokens.
_PASSAGE = 2000


class DocumentReader(Container):
    """Shows the documents of a snapshot's corpus, optionally with a second tokenizer."""

    class Compared(Message):
        """A second tokenizer was added or removed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot = CorpusSnapshot()
        self._part, self._document, self._start = "train", 0, 0
        self._cuts = False
        self._other: Tokenizer | None = None

    def compose(self) -> Iterable[Widget]:
        with Container(id="views"):
            yield TextView(id="text", classes="pane")
            yield TextView(id="other", classes="pane")
        yield Static("", id="token", markup=False)

    @property
    def text(self) -> TextView:
        return self.query_one("#text", TextView)

    @property
    def other(self) -> TextView:
        return self.query_one("#other", TextView)

    @property
    def compares(self) -> bool:
        return self._other is not None

    @property
    def documents(self) -> "Documents | None":
        """The documents of the current split."""
        return self._snapshot.documents.get(self._part)

    def show(self, snapshot: CorpusSnapshot) -> None:
        """Show `snapshot`; from the start if it is a different corpus."""
        another = snapshot.statistics is not self._snapshot.statistics
        self._snapshot = snapshot
        if another:
            self._part, self._document, self._start = "train", 0, 0
            self._read()

    def sample(self) -> None:
        """Go to a random document."""
        documents = self.documents
        if documents is None:
            return
        self._document = random.randrange(len(documents))
        begin, end = documents.span(self._document)
        self._start = random.randrange(0, max(1, end - begin), _PASSAGE)
        self._read()

    def toggle_cuts(self) -> None:
        """Switch between token boundaries and plain text."""
        self._cuts = not self._cuts
        if not self._cuts:
            self._set_other(None)
        self._read(stay=True)

    def compare(self, tokenizer: "Tokenizer | None") -> None:
        """Show the text tokenized with `tokenizer` alongside, or nothing."""
        self._cuts = self._cuts or tokenizer is not None
        self._set_other(tokenizer)
        self._read(stay=True)

    def _set_other(self, tokenizer: "Tokenizer | None") -> None:
        self._other = tokenizer
        self.set_class(tokenizer is not None, "-comparing")
        if tokenizer is None and self.other.has_focus:
            self.text.focus()
        self.post_message(self.Compared())

    # Drawing

    def _read(self, *, at_end: bool = False, stay: bool = False) -> None:
        """Show the current passage."""
        documents, corpus = self.documents, self._snapshot.corpus
        if documents is None or corpus is None:
            return
        ids = documents.ids(self._document, self._start, _PASSAGE)
        self.text.show(passage(corpus.tokenizer, ids, cuts=self._cuts), at_end=at_end, stay=stay)
        if self._other is not None:
            data = corpus.tokenizer.decode_bytes(ids)
            other_passage = passage(self._other, self._other.encode_bytes(data), cuts=True)
            self.other.show(other_passage, at_end=at_end, stay=stay)
        self._name_tokens()
        self.title()
        # The first passage is loaded before the pane has its size.
        self.call_after_refresh(self.title)

    def on_resize(self) -> None:
        self.title()

    def title(self) -> None:
        """Set the title to what is shown, as detailed as space allows."""
        documents, corpus = self.documents, self._snapshot.corpus
        if documents is None or corpus is None:
            return
        begin, end = documents.span(self._document)
        last = min(end - begin, self._start + _PASSAGE)
        several = len(self._snapshot.documents) > 1 and not self._cuts
        part = PART_NAMES[self._part].join(("◀ ", " ▶") if several else ("", ""))
        where = f"{self._document + 1:,} of {len(documents):,}"
        length = f"{end - begin:,} tokens"
        if last - self._start < end - begin:
            length = f"tokens {self._start + 1:,}–{last:,} of {end - begin:,}"
        choices = [f"{part} · document {where} · {length}", f"{part} · {where} · {length}"]
        choices.append(f"{part} · {length}")
        if self.compares:
            shown = self.text.passage
            choices = labels_of(corpus.tokenizer, len(shown.ids), shown.size)
        self.text.border_title = Content(_fitting(choices, self.text.outer_size.width - 6, part))
        if self._other is not None:
            shown = self.other.passage
            labels = labels_of(self._other, len(shown.ids), shown.size)
            room = self.other.outer_size.width - 6
            self.other.border_title = Content(_fitting(labels, room, self._other.kind))

    # Messages from the views

    def on_text_view_walked(self, message: TextView.Walked) -> None:
        """Name the token under the cursor, and put the other cursor on the same byte."""
        message.stop()
        view = message.view
        other_view = self.other if view is self.text else self.text
        if self._other is not None and other_view.shows_cuts and view.cursor is not None:
            place = view.passage.bytes[view.cursor]
            other_view.walk_to(other_view.passage.token_at_byte(place), notify=False)
        self._name_tokens()

    def _name_tokens(self) -> None:
        corpus, lines = self._snapshot.corpus, []
        if corpus is not None and self.text.cursor is not None:
            id = self.text.passage.ids[self.text.cursor]
            statistics = self._snapshot.statistics
            seen = int(statistics.counts[id]) if statistics is not None else None
            lines.append(describe_token(corpus.tokenizer, id, seen))
        if self._other is not None and self.other.cursor is not None:
            id = self.other.passage.ids[self.other.cursor]
            lines.append(describe_token(self._other, id, None))
        line = self.query_one("#token", Static)
        line.display = bool(lines)
        if self._other is not None and corpus is not None:
            names = (corpus.tokenizer.kind, self._other.kind)
            lines = [f"{name}: {text}" for name, text in zip(names, lines, strict=False)]
        line.update(Content.styled("\n".join(lines), MUTED))

    def on_text_view_turned(self, message: TextView.Turned) -> None:
        message.stop()
        documents = self.documents
        if isinstance(message, TextView.PartChosen) or documents is None:
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
        message.stop()
        parts = list(self._snapshot.documents)
        if len(parts) > 1 and self._part in parts:
            at = (parts.index(self._part) + message.direction) % len(parts)
            self._part, self._document, self._start = parts[at], 0, 0
            self._read()


def _fitting(choices: list[str], room: int, otherwise: str) -> str:
    return next((one for one in choices if len(one) <= room), otherwise)
