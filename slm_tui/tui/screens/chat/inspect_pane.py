"""Inspect mode: a text token by token, with candidates and facts for the token at the cursor."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import LoadedModel, PromptedTokens
from slm_tui.live.inspector import InspectionStatus, Inspector
from slm_tui.text import one_line
from slm_tui.tui.screens.chat.candidates import CandidateList
from slm_tui.tui.screens.chat.chunk_list import ChunkList, byte_lines, splits_of, summary_of
from slm_tui.tui.screens.chat.heat import HeatView, heat_passage
from slm_tui.tui.screens.chat.panels import fitting
from slm_tui.tui.screens.chat.token_facts import token_lines
from slm_tui.tui.screens.chat.transcript import Entry
from slm_tui.tui.widgets.token_text import TextView

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.inspect import Candidates
    from slm_tui.models.base import LanguageModel

_CHASE_SECONDS = 0.03
_REPLAY_SECONDS = 0.8


class InspectPane(Container):
    """Inspects one text with the loaded model; owns the thread that computes for it."""

    class OtherText(Message):
        """The cursor moved past an end of the text: `entry` is the previous or next text."""

        def __init__(self, entry: Entry) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, lock: FairLock, *, id: str) -> None:
        super().__init__(id=id)
        self.inspector = Inspector(lock)
        self.entry: Entry | None = None
        self._texts: Sequence[Entry] = ()
        self._title = ""
        self._settings = ChatSettings(Sampling())
        self._chase: Timer | None = None
        self._replay: Timer | None = None
        # The checkpoint whose chunks are shown, while they are replayed.
        self._replayed: int | None = None
        self._warmed: object = None
        self._seen: InspectionStatus | None = None
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        yield HeatView(id="heat", classes="pane")
        with Vertical(id="about"):
            yield CandidateList(id="candidates", classes="pane")
            yield ChunkList(id="chunks", classes="pane")
            yield Static("", id="this-token", classes="pane", markup=False)

    @property
    def heat(self) -> HeatView:
        return self.query_one(HeatView)

    @property
    def choices(self) -> CandidateList:
        return self.query_one(CandidateList)

    @property
    def place(self) -> int:
        """The index of the token at the cursor; the length of the text means the next token."""
        return self.heat.cursor or 0

    @property
    def is_open(self) -> bool:
        """Whether a text is being inspected."""
        return self.entry is not None

    @property
    def makes_chunks(self) -> bool:
        """Whether the model of the inspected text cuts it into chunks."""
        return self.is_open and self._model.stages_that_cut > 0

    @property
    def shows_chunks(self) -> bool:
        """Whether chunks are shown instead of surprisal and candidates."""
        return self.has_class("-chunks") and self.makes_chunks

    # Called by the screen

    def open(
        self,
        entry: Entry,
        loaded: LoadedModel,
        texts: Sequence[Entry],
        settings: ChatSettings,
        title: str,
        place: int | None = None,
    ) -> None:
        """Inspect `entry`, starting at the first generated token.

        Args:
            texts: all texts to page through, oldest first; `entry` need not be one of them.
            title: the run and the step of the model.
        """
        tokens = tokens_of(entry, loaded)
        self.entry, self._texts = entry, texts
        self._settings, self._title = settings, title
        self.inspector.look(loaded, tokens)
        self._tokenizer: Tokenizer = loaded.tokenizer
        self._model: LanguageModel = loaded.model
        if not self._model.stages_that_cut:
            self.remove_class("-chunks")
        self._tokens = tokens
        self._warmed = self._seen = self._drawn = None
        self.stop_replay()
        self.heat.warm(None)
        self.heat.cut(None)
        self.heat.show(heat_passage(self._tokenizer, tokens.ids))
        start = min(tokens.prompt, len(tokens.ids) - 1) if place is None else place
        self.heat.walk_to(max(0, start))
        self.choices.empty()
        self.take()

    def leave(self) -> None:
        """Stop inspecting."""
        self.stop_replay()
        self.entry = None
        self.inspector.leave()

    def use(self, settings: ChatSettings) -> None:
        """Show the candidates under these settings."""
        self._settings = settings
        if self.is_open:
            self._ask_candidates()

    def beginning(self, first: int | None = None) -> PromptedTokens:
        """The tokens before the cursor, plus `first` if given, to continue from there.

        Raises:
            GenerationError: the text cannot be continued there.
        """
        place = self.place
        if not place:
            raise GenerationError("Nothing precedes the first token", "", "choose a later one")
        if first == self._tokenizer.end_of_text:
            raise GenerationError("This token ends the text", "", "choose another candidate")
        ids = self._tokens.ids[:place] + (() if first is None else (first,))
        return PromptedTokens(ids, min(self._tokens.prompt, place))

    def toggle_chunks(self) -> None:
        """Show chunks, or surprisal and candidates again."""
        self.stop_replay()
        self.toggle_class("-chunks")
        self._drawn = None
        self.call_after_refresh(self.take)

    def toggle_replay(self) -> None:
        """Show the chunks of one checkpoint after another, or stop that."""
        if self._replay is not None:
            self.stop_replay()
        else:
            self.add_class("-chunks")
            self._replayed = -1
            self._replay = self.set_interval(_REPLAY_SECONDS, self._next_step)
            self._next_step()

    def stop_replay(self) -> None:
        """Show the chunks of the loaded checkpoint."""
        if self._replay is not None:
            self._replay.stop()
        self._replay = self._replayed = None
        self._drawn = None

    def _next_step(self) -> None:
        """Go on to the next checkpoint; after the last one, end with the loaded one."""
        seen = self.inspector.poll()
        known = sorted({seen.step, *(one.step for one in seen.others if one.chunks)})
        later = [step for step in known if self._replayed is not None and step > self._replayed]
        if later:
            self._replayed = later[0]
        elif not seen.reading_others:
            self.stop_replay()
        self.call_after_refresh(self.take)

    def close(self) -> None:
        """End the thread."""
        self.inspector.close()

    # Results

    def take(self) -> None:
        """Show new results of the inspector."""
        if self.is_open:
            self.draw(self.inspector.poll(), self._settings.short(), self._titled())

    def _titled(self) -> str:
        at, many = self._number(), len(self._texts)
        return f"text {at + 1}/{many} · {self._title}" if at < many > 1 else self._title

    def _number(self) -> int:
        """The index of the text; a text that was only typed comes after the last."""
        numbers = (at for at, one in enumerate(self._texts) if one is self.entry)
        return next(numbers, len(self._texts))

    def on_text_view_walked(self, message: TextView.Walked) -> None:
        message.stop()
        self._ask_candidates()

    def on_text_view_turned(self, message: TextView.Turned) -> None:
        message.stop()
        at = self._number() + message.direction
        if 0 <= at < len(self._texts):
            self.post_message(self.OtherText(self._texts[at]))

    def _ask_candidates(self) -> None:
        from slm_tui.generation.sampling import SamplingSettings

        if self.place and self.entry is not None:
            drawn_with = SamplingSettings.of(self._settings.sampling)
            if any(self.entry is one for one in self._texts):
                drawn_with = drawn_with.with_(seed=self.entry.seed)
            self.inspector.focus(self.place, drawn_with)
            if self._chase is None:
                self._chase = self.set_interval(_CHASE_SECONDS, self._catch)
        self.take()

    def _catch(self) -> None:
        """Show the answer to a key immediately, not with the next redraw."""
        here = self.inspector.is_answered or not self.is_open
        if here and self._chase is not None:
            self._chase.stop()
            self._chase = None
        if here:
            self.take()

    # Drawing

    def draw(self, seen: InspectionStatus, settings: list[str], title: str) -> None:
        """Show what is known so far."""
        if seen.tokens is not self._tokens:
            return
        if seen.heat is not self._warmed:
            self._warmed = seen.heat
            self.heat.warm([] if seen.heat is None else seen.heat.surprise.tolist())
        if self.shows_chunks:
            self._draw_chunks(seen, title)
            return
        # Results contain arrays, which have no simple equality: compare identity.
        state = (tuple(settings), title, self.place, self.size)
        if seen is self._seen and state == self._drawn:
            return
        self._seen, self._drawn = seen, state
        self.heat.cut(None)
        self._draw_title(seen, title)
        candidates, place = self._candidates(seen), self.place
        before = self._tokens.ids[place - 1] if place else None
        self.choices.show(self._tokenizer, candidates, before, settings)
        panel = self.query_one("#this-token", Static)
        panel.border_title = Content(" this token ")
        width = max(10, panel.content_size.width)
        lines = token_lines(self._tokenizer, self._tokens, place, seen, candidates, width)
        panel.update(Content("\n").join(lines))

    def _draw_chunks(self, seen: InspectionStatus, title: str) -> None:
        state = ("chunks", title, self.place, self.size, self._replayed)
        if seen is self._seen and state == self._drawn:
            return
        self._seen, self._drawn = seen, state
        step = seen.step if self._replayed is None else self._replayed
        of_step = {other.step: other.chunks for other in seen.others} | {seen.step: seen.chunks}
        chunks = of_step.get(step)
        if chunks is None:
            self.heat.border_title = Content(f" {one_line(seen.error or 'reading…', 60)} ")
            return
        self.heat.cut(chunks)
        text = self._tokenizer.decode_bytes(self._tokens.ids)
        parts = [*summary_of(chunks, text, self.heat.passage), *title.split(" · ")]
        if self._replayed is not None:
            parts.insert(0, f"step {step:,}")
        self.heat.border_title = Content(f" {fitting(parts, max(10, self.heat.size.width - 4))} ")
        tokens = self.heat.passage
        note = "reading other checkpoints…" if seen.reading_others else ""
        splits = splits_of(seen, tokens, step)
        self.query_one(ChunkList).show(splits, tokens, self.place, seen.error or note)
        panel = self.query_one("#this-token", Static)
        panel.border_title = Content(" this byte ")
        width = max(10, panel.content_size.width)
        lines = byte_lines(self._tokenizer, self._tokens, self.place, seen, chunks, tokens, width)
        panel.update(Content("\n").join(lines))

    def _draw_title(self, seen: InspectionStatus, title: str) -> None:
        """The mean surprisal of the text, and for which model."""
        message = seen.error or "reading…"
        if seen.heat is not None:
            mean = seen.heat.mean(self._tokens.prompt)
            mean = seen.heat.mean() if math.isnan(mean) else mean
            message = f"mean −ln p {mean:.2f} nats · perplexity {math.exp(min(mean, 20)):.3g}"
        room = max(10, self.heat.size.width - 4)
        self.heat.border_title = Content(f" {fitting([message, *title.split(' · ')], room)} ")

    def _candidates(self, seen: InspectionStatus) -> "Candidates | None":
        """The candidates for the token under the cursor, if known."""
        candidates = seen.candidates
        return candidates if candidates is not None and candidates.place == self.place else None


def tokens_of(entry: Entry, loaded: LoadedModel) -> PromptedTokens:
    """The tokens of `entry` as generated, or as this model's tokenizer splits the text."""
    from slm_tui.generation.completions import prompt_ids

    tokens = entry.tokens
    if tokens is not None and entry.tokenizer == loaded.tokenizer.fingerprint:
        return tokens
    begin = loaded.begins_documents
    ids = prompt_ids(loaded.tokenizer, entry.prompt + entry.text, begin=begin)
    prompt = prompt_ids(loaded.tokenizer, entry.prompt, begin=begin)
    return PromptedTokens(tuple(ids), min(len(prompt), len(ids)))
