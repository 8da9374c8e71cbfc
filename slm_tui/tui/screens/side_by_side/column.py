"""One column of the side-by-side screen: a checkpoint and its completions."""

from pathlib import Path

from textual.content import Content

from slm_tui.config.training import Sampling
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import count
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import GenerationStatus, GenerationThread
from slm_tui.runs import conversation
from slm_tui.runs.info import run_of
from slm_tui.text import one_line
from slm_tui.tui.screens.chat.checkpoints import run_label
from slm_tui.tui.screens.chat.conversation import exchange_of
from slm_tui.tui.screens.chat.entry_writer import EntryWriter
from slm_tui.tui.screens.chat.transcript import Entry, Transcript


class Column(Transcript):
    """Completions of one checkpoint. All columns share `lock`, and so one core."""

    def __init__(self, number: int, path: Path, lock: FairLock) -> None:
        super().__init__(id=f"column-{number}", classes="pane column")
        self.path = path
        self.generator = GenerationThread(lock)
        self.generation = GenerationStatus()
        self.writer = EntryWriter(self.generator)
        self._pending: tuple[str, Sampling] | None = None  # to complete once the model is loaded
        self._label = run_label(path)
        self._titles: tuple[str, str] = ("", "")
        self._keeps = True

    def on_mount(self) -> None:
        self.generator.load(self.path)
        self.take()

    # Called by the screen

    @property
    def is_writing(self) -> bool:
        """Whether it is generating, or will once the model is loaded."""
        return self.generation.state == "generating" or self._pending is not None

    @property
    def is_lost(self) -> bool:
        """Whether the model could not be loaded."""
        return self.generation.state == "failed" and self.generation.facts is None

    @property
    def can_continue(self) -> bool:
        """Whether its last completion stopped before the end of the document."""
        entry = self.writer.entry
        return entry is not None and not self.is_lost and not entry.ending.endswith("end of text")

    def begin(self, prompt: str, sampling: Sampling) -> None:
        """Complete `prompt`, once the model is loaded."""
        if not self.is_lost:
            self._end("stopped")
            self._pending = (prompt, sampling)
            self.take()

    def continue_last(self, sampling: Sampling) -> None:
        """Continue the last completion from where it stopped."""
        entry = self.writer.entry
        if entry is not None and self.generation.facts is not None:
            self._end("stopped")
            self.writer.continue_entry(entry, self.generation, sampling, sampling.seed)
            self._request_sent()

    def stop(self) -> None:
        """Stop immediately."""
        self._pending = None
        self.generator.stop()
        self.take()

    # Output

    def take(self) -> None:
        """Show new output of the generator."""
        before, self.generation = self.generation, self.generator.poll()
        generation = self.generation
        if self.writer.grow(generation) and self.writer.entry is not None:
            self.grown(self.writer.entry)
        if generation.state in ("ready", "failed") and before.state == "generating":
            self._end(generation.ended or "failed")
        if generation.state == "failed" and before.error is not generation.error:
            self._pending = None
            self.add(Entry("error", text=f"✗ {generation.error}"))
        if self._pending is not None and generation.facts is not None:
            self._write(*self._pending)
        self._update_titles()

    def _write(self, prompt: str, sampling: Sampling) -> None:
        self._pending = None
        # The seed first: a narrow column truncates the rest, which the input's border also shows.
        parts = [one for one in ChatSettings(sampling).short() if not one.endswith(" off")]
        heading = " · ".join(sorted(parts, key=lambda one: not one.startswith("seed")))
        entry = Entry(heading=heading, prompt=prompt, drawn_with=sampling)
        self.add(entry)
        self.writer.begin(entry, sampling, sampling.seed)
        self._request_sent()

    def _request_sent(self) -> None:
        self.generation = self.generator.poll()
        self.take()

    def _end(self, ending: str) -> None:
        if self.writer.end(self.generation, ending) and self.writer.entry is not None:
            self.grown(self.writer.entry)
            self._keep(self.writer.entry, ending)

    def _keep(self, entry: Entry, ending: str) -> None:
        """Save the completion in the conversation of its run; report a failure once."""
        sampling = entry.drawn_with
        if sampling is None or not (entry.text or ending == "end of text"):
            return
        entry.exchange = exchange_of(
            entry, self.generation, sampling, self.writer.figures(self.generation), ending
        )
        run = run_of(self.path)
        if run is None or not self._keeps:
            return
        try:
            conversation.append(run, entry.exchange)
        except SlmTuiError as error:
            self._keeps = False
            self.add(Entry("note", text=f"! {error}"))

    # Border titles

    def on_resize(self) -> None:
        self._titles = ("", "")
        self._update_titles()

    def _update_titles(self) -> None:
        """Run, step and size on top; at the bottom, what it is doing."""
        generation = self.generation
        # Corners, lines and spaces at both sides take eight cells of the outer width.
        facts, room = generation.facts, max(8, self.outer_size.width - 8)
        above = self._label
        if facts is not None:
            short = f"{self._label} @ {facts.step:,} · {count(facts.parameters)}"
            long = f"{short} params"
            new_titles = (f"{long} · {facts.tokenizer}", long, short)
            above = next((one for one in new_titles if len(one) <= room), short)
        below = "loading…" if generation.state == "loading" else ""
        if generation.state == "generating":
            rate = count(round(generation.tokens_per_second))
            below = f"{generation.tokens:,} tokens · {rate} tok/s"
        titles = (one_line(above, room), one_line(below, room))
        if titles != self._titles:
            self._titles = titles
            self.border_title = Content(f" {titles[0]} ")
            self.border_subtitle = Content(f" {titles[1]} ") if below else ""
