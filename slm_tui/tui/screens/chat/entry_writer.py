"""Copies a generator's output into an entry, in Chat and in each side-by-side column."""

from slm_tui.config.training import Sampling
from slm_tui.live.generation_thread import GenerationStatus, GenerationThread, PromptedTokens
from slm_tui.tui.screens.chat import panels
from slm_tui.tui.screens.chat.transcript import Entry


class EntryWriter:
    """Requests completions, one at a time; `entry` holds the current or last one."""

    def __init__(self, generator: GenerationThread) -> None:
        self.generator = generator
        self.entry: Entry | None = None
        self._answer = 0  # the number of the completion that `entry` receives
        self._text, self._tokens, self._invalid = "", 0, 0  # what the entry had before

    def begin(
        self, entry: Entry, sampling: Sampling, seed: int, tokens: PromptedTokens | None = None
    ) -> None:
        """Complete `entry` after its prompt, or after exactly these tokens."""
        self.entry = entry
        self._text, self._tokens, self._invalid = "", 0, 0
        self._ask(entry, sampling, seed, continues=False, tokens=tokens)

    def continue_entry(
        self, entry: Entry, generation: GenerationStatus, sampling: Sampling, seed: int
    ) -> None:
        """Continue the entry, which ended with `generation`, from where it stopped."""
        self._text, self._tokens, self._invalid = entry.text, *self.figures(generation)
        entry.ending, entry.drawn_with = "", sampling
        self._ask(entry, sampling, seed, continues=True)

    def _ask(
        self,
        entry: Entry,
        sampling: Sampling,
        seed: int,
        *,
        continues: bool,
        tokens: PromptedTokens | None = None,
    ) -> None:
        # The model is loaded, and so is torch: this import is free.
        from slm_tui.generation.sampling import SamplingSettings

        settings = SamplingSettings.of(sampling).with_(seed=seed)
        entry.seed = seed
        if tokens is not None:
            self.generator.continue_tokens(tokens, settings)
        elif continues:
            self.generator.continue_last(entry.prompt + entry.text, settings)
        else:
            self.generator.complete(entry.prompt, settings)
        self._answer = self.generator.poll().completion

    def grow(self, generation: GenerationStatus) -> bool:
        """Add new output to the entry, unless it has ended; return whether there was any.

        Loading another model discards the generator's text, but not that of the entry.
        """
        entry, text = self.entry, self._text + generation.text
        if entry is None or entry.ending or generation.completion != self._answer:
            return False
        if text == entry.text:
            return False
        entry.text = text
        return True

    def end(self, generation: GenerationStatus, ending: str) -> bool:
        """Add how the entry ended; return whether it had not ended before."""
        entry = self.entry
        if entry is None or entry.ending or generation.completion != self._answer:
            return False
        tokens, invalid = self.figures(generation)
        summary = panels.figures(tokens, generation.tokens_per_second, invalid)
        entry.ending = f"{summary} · {ending}"
        loaded, entry.tokens = self.generator.loaded(), self.generator.tokens()
        entry.tokenizer = loaded.tokenizer.fingerprint if loaded is not None else ""
        return True

    def figures(self, generation: GenerationStatus) -> tuple[int, int]:
        """The total tokens of the entry, and its invalid UTF-8 bytes."""
        return self._tokens + generation.tokens, self._invalid + generation.invalid_bytes
