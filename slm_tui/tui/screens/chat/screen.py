"""The Chat screen: a checkpoint continues what you type, even while a run trains."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import (
    GenerationStatus,
    GenerationThread,
    LoadedModel,
    PromptedTokens,
)
from slm_tui.runs import store
from slm_tui.runs.conversation import save_text
from slm_tui.runs.info import run_of
from slm_tui.runs.store import Run
from slm_tui.tui.actions import Action, Room
from slm_tui.tui.base import redraws_per_second
from slm_tui.tui.dialogs import Choice, Question, copy, show_error_notice
from slm_tui.tui.screens.chat import footer, panels
from slm_tui.tui.screens.chat.choice import CheckpointChoice
from slm_tui.tui.screens.chat.conversation import Conversation, exchange_of
from slm_tui.tui.screens.chat.entry_writer import EntryWriter
from slm_tui.tui.screens.chat.heat import explained_lines
from slm_tui.tui.screens.chat.inspect_pane import InspectPane, tokens_of
from slm_tui.tui.screens.chat.picker import ModelPicker, SeveralPicker
from slm_tui.tui.screens.chat.prompt_input import PromptInput
from slm_tui.tui.screens.chat.prompt_screen import PromptScreen, checkpoints
from slm_tui.tui.screens.chat.side_panel import FixedStatic, NewerNote, SidePanel
from slm_tui.tui.screens.chat.transcript import Entry, Kind, Transcript
from slm_tui.tui.widgets.focus import focus_now

if TYPE_CHECKING:
    from slm_tui.tui.screens.side_by_side.screen import SideBySide

_STREAM_SECONDS = 0.1
_NOTHING = "No checkpoints yet. Press 1, choose a preset and press t."
_NOT_YET = "The run has no checkpoint yet. Press 2, then s to save one."


class ChatScreen(PromptScreen):
    """The Chat screen."""

    ROOM: ClassVar[Room] = "chat"
    CSS_PATH = Path(__file__).with_suffix(".tcss")

    def __init__(self) -> None:
        super().__init__(ChatSettings(Sampling()))
        # Whether the settings are those of the run's preset, or the user has changed them.
        self._follows_preset = True
        lock = FairLock()
        self.generator = GenerationThread(lock)
        self.generation = GenerationStatus()
        self.writer = EntryWriter(self.generator)
        self.pane = InspectPane(lock, id="inspect")
        self.conversation = Conversation()
        self._queue: list[tuple[Entry, int]] = []  # entries to complete, with seeds
        self.choice = CheckpointChoice()
        self._side_by_side: SideBySide | None = None
        self._back_to: int | None = None  # the position to inspect once the completion is done
        self._stream: Timer | None = None
        self._drawn: object = None

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="talk"):
            yield Transcript(id="transcript", classes="pane")
            yield Static("", id="nothing", classes="empty-state", markup=False)
            with Horizontal(id="under"):
                yield FixedStatic(id="status")
                yield NewerNote(id="newer")
            yield from self.compose_prompt()
        yield self.pane
        yield SidePanel(id="side")

    def on_mount(self) -> None:
        if redraws_per_second() > 1:
            self._stream = self.set_interval(_STREAM_SECONDS, self._take, pause=True)

    def on_screen_resume(self) -> None:
        self._choose()

    def on_unmount(self) -> None:
        self.generator.close()
        self.pane.close()

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    # The model

    def open(self, checkpoint: Path) -> None:
        """Load `checkpoint` when the screen is shown, replacing the current model."""
        self.choice.open(checkpoint)
        if self._side_by_side is not None:
            self._side_by_side.close_when_shown()
        if self.is_mounted and self.is_current:
            # It is shown already, and will not be told so again.
            self._choose()

    def _choose(self) -> None:
        """Load the checkpoint passed by another screen; at first the live or newest run's best."""
        training = self.slm.workshop.current_training()
        path = self.choice.next(self.slm.opened_run, training.run if training else None)
        if path is not None:
            self.load(path)

    def load(self, path: Path) -> None:
        """Load a checkpoint, or the best of a run directory."""
        self.choice.load(path)
        self._queue.clear()
        self._end_entry("stopped")
        if self.is_inspecting:
            self.leave_inspect()
        self._show_conversation(path)
        self.generator.load(path)
        self._take()

    def _look_for_newer(self) -> None:
        if not self.choice.is_due:
            return
        path = self.choice.look(self.generation.facts)
        if path is not None:
            self.load(path)
        elif self.choice.target is None:
            self._choose()

    def action_model(self) -> None:
        loaded = self.generation.facts.checkpoint if self.generation.facts else None
        self.app.push_screen(ModelPicker(loaded), self._picked)

    def _picked(self, path: str | None) -> None:
        if path is not None:
            self.load(Path(path))

    def action_newest(self) -> None:
        if self.generation.facts is not None:
            self.choice.look_beside(self.generation.facts)
        if self.choice.newer is not None:
            self.load(self.choice.newer.path)

    def run_name(self) -> str:
        """The name of the run that is loaded or will be."""
        return self.choice.name(self.generation.facts)

    def _model_title(self) -> str:
        facts = self.generator.poll().facts
        return f"{self.run_name()} @ {facts.step:,}" if facts else self.run_name()

    def _loaded(self) -> LoadedModel | None:
        """The model; shows a notice if none is loaded."""
        loaded = self.generator.loaded()
        if loaded is None:
            show_error_notice(
                self.app, GenerationError("no model is loaded", "", "press F7 to choose one")
            )
        return loaded

    # The conversation

    def _show_conversation(self, path: Path) -> None:
        """Switch to the conversation with the run of `path`, unless it is shown already."""
        run = run_of(path)
        before = self.conversation
        if run is not None and run == before.run:
            return
        self.conversation = Conversation(run)
        if run is not None and self._follows_preset:
            self._use_sampling(run)
        earlier = self.conversation.entries()
        if before.run is not None or earlier:
            self._clear_transcript()
        self.query_one(PromptInput).recall(self.conversation.prompts())
        if earlier:
            self.transcript.add_all(earlier)

    def _use_sampling(self, run: Path) -> None:
        """Begin with the sampling of the run's preset."""
        try:
            self.settings = ChatSettings.of(Run(run).preset().sampling)
        except SlmTuiError:
            return  # the error is reported when the model is loaded
        self.settings_changed()

    def change(self, settings: ChatSettings) -> None:
        """See `PromptScreen.change`: from now on other runs do not change them."""
        self._follows_preset = False
        super().change(settings)

    def _clear_transcript(self) -> None:
        self.transcript.clear()
        self.writer.entry = None

    def _keep(self, entry: Entry, ending: str) -> None:
        """Save a finished completion with its run; report a failure once."""
        if self.conversation.run is None or not (entry.text or ending == "end of text"):
            return
        sampling = entry.drawn_with or self.settings.sampling
        counted = self.writer.figures(self.generation)
        exchange = exchange_of(entry, self.generation, sampling, counted, ending)
        problem = self.conversation.keep(entry, exchange)
        if problem:
            self.show_message("note", f"! {problem}")

    def _history(self, argument: str) -> str:
        """`/history`: describe what is saved, or ask whether to delete it. Returns the message.

        Raises:
            GenerationError: there is no run.
        """
        if argument not in ("", "clear"):
            raise GenerationError(
                f"/history {argument} is invalid", "", "use /history, or /history clear"
            )
        many = self.conversation.count()
        if not argument or not many:
            return self.conversation.describe()
        question = Question(
            f"Delete the conversation with {self.conversation.name}?",
            f"This moves {many} to the trash; the run and its checkpoints are kept.",
            [Choice("keep", "Keep"), Choice("clear", "Delete", "move it to the trash")],
            "keep",
        )
        self.app.push_screen(question, self._forget)
        return ""

    def _forget(self, answer: str | None) -> None:
        if answer != "clear":
            return
        try:
            trash = self.conversation.forget()
        except SlmTuiError as error:
            show_error_notice(self.app, error)
            return
        self._clear_transcript()
        self.query_one(PromptInput).recall([])
        self.show_message("note", f"conversation moved to {trash}")

    # Generating

    def action_continue(self) -> None:
        """Continue the last completion from where it stopped; start one if there is none."""
        last = self.writer.entry
        if self.is_inspecting:
            self.write_from_cursor(self.pane.choices.token)
        elif last is None or last.ending.endswith("end of text"):
            self.begin("")
        elif self._ready() and self.generation.facts is not None:
            self._end_entry("stopped")
            # With the same seed the result is the same as in a single pass.
            sampling = self.settings.sampling
            seed = last.seed if last.settings_seed == sampling.seed else sampling.seed
            self.writer.continue_entry(last, self.generation, sampling, seed)
            self._request_sent()

    def _ready(self) -> bool:
        """Whether a model is loaded or loading; if not, show what to do."""
        generation = self.generator.poll()
        if generation.facts is not None or generation.state == "loading":
            return True
        none = GenerationError("no model is loaded", "", "press F7 to choose one")
        show_error_notice(self.app, generation.error or none)
        return False

    def begin(self, prompt: str) -> None:
        """Generate the completions of a new prompt, one after another."""
        if not self._ready():
            return
        self._end_entry("stopped")
        seed = self.settings.sampling.seed
        self._queue = [
            (Entry(prompt=prompt), (seed + number) % 2**63)
            for number in range(self.settings.samples)
        ]
        self._next()

    def _next(self) -> None:
        """Start the next queued completion, once the model is loaded."""
        if not self._queue or self.generator.poll().facts is None:
            self.paint()
            return
        entry, seed = self._queue.pop(0)
        sampling = replace(
            self.settings, sampling=self.settings.sampling.model_copy(update={"seed": seed})
        )
        facts = self.generator.poll().facts
        step = f" @ {facts.step:,}" if facts else ""
        entry.drawn_with = sampling.sampling
        entry.heading = " · ".join([f"{self.run_name()}{step}", *sampling.short()])
        entry.settings_seed = self.settings.sampling.seed
        self.transcript.add(entry)
        self.writer.begin(entry, self.settings.sampling, seed)
        self._request_sent()

    def _request_sent(self) -> None:
        """The generator has a new request: poll for its output."""
        if self._stream is not None:
            self._stream.resume()
        self._take()

    def action_stop(self) -> None:
        """Stop immediately; with nothing to stop, go back."""
        if self.is_writing:
            self.stop_writing()
        else:
            self.step_out()

    @property
    def is_writing(self) -> bool:
        """Whether a completion is being generated or queued."""
        return self.generation.state == "generating" or bool(self._queue)

    def stop_writing(self) -> None:
        self._queue.clear()
        self.generator.stop()
        self._take()

    def step_out(self) -> bool:
        if super().step_out():
            return True
        if self.is_inspecting:
            self.leave_inspect()
            return True
        if self.is_typing:
            self.transcript.focus()
            return True
        return False

    # Output

    def refresh_room(self) -> None:
        self._look_for_newer()
        self._take()

    def _take(self) -> None:
        """Show new output of the generator."""
        before, self.generation = self.generation, self.generator.poll()
        generation = self.generation
        if generation.facts is not None and generation.facts is not before.facts:
            self.choice.look_beside(generation.facts)
        self._grow()
        idle = generation.state in ("ready", "failed")
        if idle and before.state == "generating":
            self._end_entry(generation.ended or "failed")
            if self.writer.entry is not None:
                self._completed(self.writer.entry)
        if generation.state == "failed" and before.error is not generation.error:
            self._queue.clear()
            self.transcript.add(Entry("error", text=f"✗ {generation.error}"))
        if generation.notice and not before.notice:
            self.app.notify(generation.notice, severity="warning", markup=False)
        if self._stream is not None:
            self._stream.pause() if idle else self._stream.resume()
        if idle and self._queue:
            self._next()
        self.pane.take()
        self.paint()

    def _grow(self) -> None:
        if self.writer.grow(self.generation) and self.writer.entry is not None:
            self.transcript.grown(self.writer.entry)

    def _end_entry(self, ending: str) -> None:
        """Show below the last completion how it ended."""
        if self.writer.end(self.generation, ending) and self.writer.entry is not None:
            self.transcript.grown(self.writer.entry)
            self._keep(self.writer.entry, ending)

    def paint(self) -> None:
        """Update title, status, settings and facts, if they changed."""
        newer = self.choice.newer
        state = (replace(self.generation, text=""), self.settings, newer, len(self._queue))
        visible = (*state, self.choice.target, self.transcript.size, self.is_typing)
        if visible == self._drawn:
            return
        self._drawn = visible
        generation, name = self.generation, self.run_name()
        self.query_one("#talk").set_class(self.choice.target is None, "-empty")
        if self.choice.target is None:
            words = _NOT_YET if self.slm.workshop.is_training else _NOTHING
            self.query_one("#nothing", Static).update(Content(words))
        transcript = self.transcript
        kind = f" {newer.loaded}" if newer and newer.loaded else ""
        transcript.border_title = panels.title(
            generation, name, kind, (transcript.size.width or self.size.width) - 2
        )
        line = panels.status(generation, name, bool(self._queue))
        self.query_one("#status", FixedStatic).show(line)
        self.query_one(NewerNote).show(newer, "F8" if self.is_typing else "b")
        ask, side = self.query_one("#ask"), self.query_one(SidePanel)
        short = panels.fitting(self.settings.short(), max(20, ask.size.width - 4))
        ask.border_title = Content(" prompt " if side.display else f" {short} ")
        if side.display:
            side.show(self.settings, generation, name)
        self.refresh_footer()

    def on_resize(self) -> None:
        self._drawn = None
        self.call_after_refresh(self.paint)

    def watch_focused(self) -> None:
        super().watch_focused()
        if self.is_mounted and self.query("#status"):
            self.paint()

    def footer_actions(self) -> list[Action]:
        if self.is_inspecting:
            pane = self.pane
            return footer.while_inspecting(
                makes_chunks=pane.makes_chunks, shows_chunks=pane.shows_chunks
            )
        newer = self.choice.newer
        return footer.in_chat(
            writing=self.generation.state == "generating",
            typing=self.is_typing,
            newer=newer is not None and newer.is_newer,
        )

    # Commands and keys

    def show_message(self, kind: Kind, text: str) -> None:
        self.transcript.add(Entry(kind, text=text))

    def do(self, verb: str, argument: str) -> str:
        if verb == "save":
            lines = argument.lower().endswith(".jsonl")
            text = self.transcript.as_json_lines() if lines else self.transcript.as_text()
            return f"saved to {save_text(argument, text)}"
        if verb == "history":
            return self._history(argument)
        if verb == "side" and argument:
            self.show_side_by_side(tuple(map(str, checkpoints(argument))))
        elif verb == "side":
            self.action_side()
        elif argument:
            self.load(store.find_checkpoint(argument))
        else:
            self.action_model()
        return ""

    def action_copy(self) -> None:
        last = self.transcript.last_text
        if last is not None and last.text:
            copy(self.app, last.text)

    def action_side(self) -> None:
        """Choose two to four checkpoints and show them side by side."""
        facts = self.generation.facts
        picker = SeveralPicker(facts.checkpoint if facts else None)
        self.app.push_screen(picker, self.show_side_by_side)

    def show_side_by_side(self, chosen: tuple[str, ...] | None) -> None:
        """Show the checkpoints with these paths side by side."""
        from slm_tui.tui.screens.side_by_side.screen import SideBySide

        if chosen:
            self.stop_writing()
            paths = [Path(one) for one in chosen]
            self._side_by_side = SideBySide(paths, self.settings, self._side_by_side_left)
            self.app.push_screen(self._side_by_side)

    def _side_by_side_left(self, settings: ChatSettings) -> None:
        self._side_by_side = None
        self.change(settings)

    def action_sidebar_right(self) -> None:
        self.toggle_class("-no-side")
        self._drawn = None
        self.call_after_refresh(self.paint)

    # Inspect mode

    @property
    def is_inspecting(self) -> bool:
        return self.pane.is_open

    def action_inspect(self) -> None:
        """Inspect the typed text, else the last completion; or go back to the chat."""
        if self.is_inspecting:
            self.leave_inspect()
            return
        typed = self.typed()
        entry = Entry(prompt=typed) if typed else self.transcript.last_text
        if entry is None:
            self.notify("Nothing to inspect yet. Type some text, then press ctrl+s.")
            return
        if self.is_writing:
            self.stop_writing()
        self.inspect(entry)

    def inspect(self, entry: Entry, place: int | None = None) -> None:
        """Inspect an entry, starting at the first generated token."""
        loaded = self._loaded()
        if loaded is None:
            return
        self.add_class("-inspecting")
        focus_now(self.pane.heat)
        title = self._model_title()
        self.pane.open(entry, loaded, self.transcript.texts, self.settings, title, place)
        self.refresh_footer()

    def leave_inspect(self) -> None:
        """Go back to the chat."""
        self.pane.leave()
        self.remove_class("-inspecting")
        self.action_type()
        self.refresh_footer()

    def action_chunks(self) -> None:
        """Show the chunks of the inspected text, or surprisal again."""
        if self._can_show_chunks():
            self.pane.toggle_chunks()
            self.refresh_footer()

    def action_replay(self) -> None:
        """Show the chunks of the run's checkpoints, one after another."""
        if self._can_show_chunks():
            self.pane.toggle_replay()
            self.refresh_footer()

    def _can_show_chunks(self) -> bool:
        if not self.is_inspecting:
            self.notify("First inspect a text (ctrl+s); then v shows its chunks.")
        elif not self.pane.makes_chunks:
            self.notify("Only an H-Net splits text into chunks: try the preset bytes-hnet-tiny.")
        return self.pane.makes_chunks

    def on_inspect_pane_other_text(self, message: InspectPane.OtherText) -> None:
        self.inspect(message.entry)

    def settings_changed(self) -> None:
        self.pane.use(self.settings)

    def help_lines(self, width: int) -> list[Content]:
        """What the help screen shows above the keys: how to read inspect mode."""
        return explained_lines(width) if self.is_inspecting else []

    def action_resample(self) -> None:
        """Regenerate from the token under the cursor, or the last completion, with the next
        seed."""
        self.action_next_seed()
        if self.is_inspecting:
            self.write_from_cursor()
            return
        entry, loaded = self.transcript.last_text, self.generator.loaded()
        if entry is None:
            self.notify("There is no completion to regenerate yet.")
        elif loaded is not None:
            tokens = tokens_of(entry, loaded)
            self._write_tokens(PromptedTokens(tokens.ids[: tokens.prompt], tokens.prompt), "again")

    def write_from_cursor(self, first: int | None = None) -> None:
        """Continue from the token under the cursor, with token `first` there if given."""
        place = self.pane.place
        try:
            tokens = self.pane.beginning(first)
        except GenerationError as error:
            self.notify(f"{error.what}: {error.remedy}.", markup=False)
            return
        self.leave_inspect()
        self._back_to = place
        self._write_tokens(tokens, f"from token {place}")

    def _write_tokens(self, tokens: PromptedTokens, what: str) -> None:
        """Continue exactly these tokens in a new entry; `what` describes it in the heading."""
        loaded, facts = self.generator.loaded(), self.generator.poll().facts
        if loaded is None or facts is None:
            return
        self._queue.clear()
        self._end_entry("stopped")
        prompt = loaded.tokenizer.decode_bytes(tokens.ids[: tokens.prompt])
        entry = Entry(prompt=prompt.decode("utf-8", "replace"))
        sampling = self.settings.sampling
        entry.heading = " · ".join([self._model_title(), what, *self.settings.short()])
        entry.settings_seed, entry.drawn_with = sampling.seed, sampling
        self.transcript.add(entry)
        self.writer.begin(entry, sampling, entry.settings_seed, tokens)
        self._request_sent()

    def _completed(self, entry: Entry) -> None:
        """A completion from a chosen token is done: inspect it from that token."""
        place, self._back_to = self._back_to, None
        if place is not None:
            self.inspect(entry, place)

    def typed(self) -> str:
        """The text in the prompt line, if it is not a command."""
        value = self.query_one(PromptInput).value
        return "" if value.startswith("/") else value.replace("\\n", "\n")
