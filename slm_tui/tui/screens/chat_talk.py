"""What a speaker writes goes into an entry, in the chat as in each column side by side."""

from slm_tui.config.training import Sampling
from slm_tui.runs.speaker import Speaker, Spoken, Tokens
from slm_tui.tui.screens import chat_panels
from slm_tui.tui.screens.chat_transcript import Entry


class Talk:
    """Asks a speaker for texts, one at a time; `entry` is what is being written, or was last."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.entry: Entry | None = None
        self._answer = 0  # the number of the answer that goes there
        self._text, self._tokens, self._invalid = "", 0, 0  # what it had before that

    def begin(
        self, entry: Entry, sampling: Sampling, seed: int, tokens: Tokens | None = None
    ) -> None:
        """Write `entry` after its prompt, or after these very tokens."""
        self.entry = entry
        self._text, self._tokens, self._invalid = "", 0, 0
        self._ask(entry, sampling, seed, go_on=False, tokens=tokens)

    def go_on(self, entry: Entry, spoken: Spoken, sampling: Sampling, seed: int) -> None:
        """Go on with the entry, which has ended with `spoken`, from where it stopped."""
        self._text, self._tokens, self._invalid = entry.text, *self.figures(spoken)
        entry.ending, entry.drawn_with = "", sampling
        self._ask(entry, sampling, seed, go_on=True)

    def _ask(
        self,
        entry: Entry,
        sampling: Sampling,
        seed: int,
        *,
        go_on: bool,
        tokens: Tokens | None = None,
    ) -> None:
        # The model is loaded, so torch is: this import costs nothing by now.
        from slm_tui.generation.sampling import SamplingSettings

        settings = SamplingSettings.of(sampling).with_(seed=seed)
        entry.seed = seed
        if tokens is not None:
            self.speaker.go_on_from(tokens, settings)
        elif go_on:
            self.speaker.go_on(entry.prompt + entry.text, settings)
        else:
            self.speaker.say(entry.prompt, settings)
        self._answer = self.speaker.poll().answer

    def grow(self, spoken: Spoken) -> bool:
        """Take over what was written since; returns whether anything was."""
        entry, text = self.entry, self._text + spoken.text
        if entry is None or spoken.answer != self._answer or text == entry.text:
            return False
        entry.text = text
        return True

    def end(self, spoken: Spoken, ending: str) -> bool:
        """Write under the entry how it ended; returns whether it had not ended before."""
        entry = self.entry
        if entry is None or entry.ending or spoken.answer != self._answer:
            return False
        tokens, invalid = self.figures(spoken)
        told = chat_panels.figures(tokens, spoken.tokens_per_second, invalid)
        entry.ending = f"{told} · {ending}"
        loaded, entry.tokens = self.speaker.loaded(), self.speaker.tokens()
        entry.tokenizer = loaded.tokenizer.fingerprint if loaded is not None else ""
        return True

    def figures(self, spoken: Spoken) -> tuple[int, int]:
        """Tokens of the entry in all, and bytes of it that are not UTF-8."""
        return self._tokens + spoken.tokens, self._invalid + spoken.invalid_bytes
