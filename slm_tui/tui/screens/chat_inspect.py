"""Inspect mode of the chat: walking a text token by token, and writing on from any of them."""

from typing import TYPE_CHECKING, cast

from textual.content import Content
from textual.timer import Timer

from slm_tui.errors import GenerationError
from slm_tui.runs.inspector import Inspector
from slm_tui.runs.speaker import Tokens
from slm_tui.tui.dialogs import complain
from slm_tui.tui.screens.chat_heat import InspectPane, explained_lines
from slm_tui.tui.screens.chat_input import PromptInput
from slm_tui.tui.screens.chat_transcript import Entry
from slm_tui.tui.widgets.focus import focus_now

if TYPE_CHECKING:
    from slm_tui.generation.sampling import SamplingSettings
    from slm_tui.tui.screens.chat import ChatScreen
    from slm_tui.tui.screens.data_text import TextView


_CHASE_SECONDS = 0.03


class ChatInspect:
    """The part of the Chat screen that looks into texts."""

    inspector: Inspector
    _inspected: Entry | None = None
    _chase: Timer | None = None
    # Where to go on inspecting once what is being written is there.
    _back_to: int | None = None

    @property
    def _chat(self) -> "ChatScreen":
        return cast("ChatScreen", self)

    @property
    def is_inspecting(self) -> bool:
        return self._chat.has_class("-inspecting")

    @property
    def pane(self) -> InspectPane:
        return self._chat.query_one(InspectPane)

    def action_inspect(self) -> None:
        """Look into what is typed, else into the last text; or back to the chat."""
        me = self._chat
        if self.is_inspecting:
            self.leave_inspect()
            return
        typed = self.typed()
        if typed:
            entry: Entry | None = Entry(prompt=typed)
        else:
            entry = self.last_text()
        if entry is None:
            me.notify("There is no text yet: type a beginning, then ctrl+s looks into it.")
            return
        if me.is_writing:
            me.stop_writing()
        self.inspect(entry)

    def inspect(self, entry: Entry, place: int | None = None) -> None:
        """Look into an entry, at first where the model began to write."""
        me = self._chat
        loaded = me.speaker.loaded()
        if loaded is None:
            complain(me.app, GenerationError("no model is loaded", "", "F7 chooses one"))
            return
        tokens = self._tokens_of(entry)
        if tokens is None:
            return
        self._inspected = entry
        self.inspector.look(loaded, tokens)
        me.add_class("-inspecting")
        focus_now(self.pane.heat)
        start = min(tokens.prompt, len(tokens.ids) - 1) if place is None else place
        self.pane.open(loaded.tokenizer, tokens, max(0, start))
        self.refresh_inspect()
        me.refresh_footer()

    def _tokens_of(self, entry: Entry) -> Tokens | None:
        """Its tokens as they were drawn, or as this model's tokenizer cuts the text."""
        from slm_tui.generation.texts import prompt_ids

        loaded = self._chat.speaker.loaded()
        if loaded is None:
            return None
        kept = entry.tokens
        if kept is not None and entry.tokenizer == loaded.tokenizer.fingerprint:
            return kept
        begin = loaded.begins_documents
        ids = prompt_ids(loaded.tokenizer, entry.prompt + entry.text, begin=begin)
        given = prompt_ids(loaded.tokenizer, entry.prompt, begin=begin)
        return Tokens(tuple(ids), min(len(given), len(ids)))

    def leave_inspect(self) -> None:
        """Back to the chat."""
        me = self._chat
        self._inspected = None
        self.inspector.leave()
        me.remove_class("-inspecting")
        me.action_type()
        me.refresh_footer()

    def help_lines(self, width: int) -> list[Content]:
        """What the help screen says above the keys: how to read what inspect mode shows."""
        return explained_lines(width) if self.is_inspecting else []

    def refresh_inspect(self) -> None:
        """Show what the inspector has found since."""
        me = self._chat
        if not self.is_inspecting:
            return
        facts = me.speaker.poll().facts
        step = f" @ {facts.step:,}" if facts else ""
        title = f"{me.run_name()}{step}"
        at, texts = self._place_of_text(), len(self._texts())
        if at < texts > 1:
            title = f"text {at + 1}/{texts} · {title}"
        self.pane.draw(self.inspector.poll(), me.settings.short(), title)

    def on_text_view_walked(self, message: "TextView.Walked") -> None:
        message.stop()
        self._ask_candidates()

    def on_text_view_turned(self, message: "TextView.Turned") -> None:
        """Past an end of the text: the text after it, or before."""
        message.stop()
        texts, at = self._texts(), self._place_of_text()
        if 0 <= at + message.direction < len(texts):
            self.inspect(texts[at + message.direction])

    def _texts(self) -> list[Entry]:
        """All that was written, oldest first."""
        return [one for one in self._chat.transcript.entries if one.kind == "text"]

    def _place_of_text(self) -> int:
        """Which of them is looked into, from 0; what is only typed comes after the last."""
        texts = self._texts()
        return next((at for at, one in enumerate(texts) if one is self._inspected), len(texts))

    def _ask_candidates(self) -> None:
        place = self.pane.place
        if place:
            self.inspector.focus(place, self._drawn_with())
            if self._chase is None:
                self._chase = self._chat.set_interval(_CHASE_SECONDS, self._catch)
        self.refresh_inspect()

    def _catch(self) -> None:
        """An answer to a key is shown as soon as it is there, not with the next redraw."""
        here = self.inspector.is_answered or not self.is_inspecting
        if here and self._chase is not None:
            self._chase.stop()
            self._chase = None
        if here:
            self.refresh_inspect()

    def settings_changed(self) -> None:
        """Other settings draw otherwise: show it."""
        if self.is_inspecting:
            self._ask_candidates()

    def _drawn_with(self) -> "SamplingSettings":
        from slm_tui.generation.sampling import SamplingSettings

        seed = self._inspected.seed if self._inspected is not None else None
        settings = SamplingSettings.of(self._chat.settings.sampling)
        return settings if seed is None else settings.with_(seed=seed)

    # Writing on from a token

    def action_resample(self) -> None:
        """Write again from the token under the cursor, or the last answer, with the next seed."""
        me = self._chat
        me.action_next_seed()
        if self.is_inspecting:
            self.write_from(self.pane.place)
            return
        entry = self.last_text()
        if entry is None:
            me.notify("There is no text yet to write again.")
            return
        tokens = self._tokens_of(entry)
        if tokens is not None:
            self.write_on(Tokens(tokens.ids[: tokens.prompt], tokens.prompt), "again")

    def take_candidate(self) -> None:
        """Write on from the token under the cursor with the candidate that is marked."""
        key = self.pane.choices.key
        self.write_from(self.pane.place, int(key) if key is not None and key.isdecimal() else None)

    def write_from(self, place: int, first: int | None = None) -> None:
        """Write on from `place`, with token `first` there if one is given."""
        me = self._chat
        entry, loaded = self._inspected, me.speaker.loaded()
        if entry is None or loaded is None:
            return
        tokens = self._tokens_of(entry)
        if tokens is None or not place:
            me.notify("Nothing stands before the first token: choose a later one.")
            return
        if first == loaded.tokenizer.end_of_text:
            me.notify("The text would end here: choose another candidate.")
            return
        ids = tokens.ids[:place] + (() if first is None else (first,))
        self.leave_inspect()
        self._back_to = place
        what = f"from token {place}"
        self.write_on(Tokens(ids, min(tokens.prompt, place)), what)

    def write_on(self, tokens: Tokens, what: str) -> None:
        """Write on from these very tokens, as a text of its own; `what` says so above it."""
        me = self._chat
        loaded, facts = me.speaker.loaded(), me.speaker.poll().facts
        if loaded is None or facts is None:
            return
        me._waiting.clear()
        me._end_entry("stopped")
        prompt = loaded.tokenizer.decode_bytes(tokens.ids[: tokens.prompt])
        entry = Entry(prompt=prompt.decode("utf-8", "replace"))
        heading = [f"{me.run_name()} @ {facts.step:,}", what, *me.settings.short()]
        entry.heading, entry.asked = " · ".join(heading), me.settings.sampling.seed
        entry.drawn_with = me.settings.sampling
        me.transcript.add(entry)
        me.talk.begin(entry, me.settings.sampling, entry.asked, tokens)
        me.asked()

    def text_is_there(self, entry: Entry) -> None:
        """What was written from a token is there: look into it where it began."""
        place, self._back_to = self._back_to, None
        if place is not None:
            self.inspect(entry, place)

    def typed(self) -> str:
        """What stands in the prompt line, if it is no command."""
        value = self._chat.query_one(PromptInput).value
        return "" if value.startswith("/") else value.replace("\\n", "\n")

    def last_text(self) -> Entry | None:
        """What was written last."""
        texts = [one for one in self._chat.transcript.entries if one.kind == "text"]
        return texts[-1] if texts else None
