"""The Chat screen: a checkpoint continues what is typed, also while a run trains."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError
from slm_tui.runs.info import is_run
from slm_tui.runs.inspector import Inspector
from slm_tui.runs.speaker import Speaker, Spoken
from slm_tui.runs.store import Run
from slm_tui.runs.turns import Turns
from slm_tui.tui import actions
from slm_tui.tui.actions import Action, Room
from slm_tui.tui.base import RoomScreen, redraws_per_second
from slm_tui.tui.dialogs import complain
from slm_tui.tui.screens import chat_panels
from slm_tui.tui.screens.chat_commands import ChatSettings
from slm_tui.tui.screens.chat_heat import InspectPane
from slm_tui.tui.screens.chat_history import ChatHistory
from slm_tui.tui.screens.chat_input import PromptInput
from slm_tui.tui.screens.chat_inspect import ChatInspect
from slm_tui.tui.screens.chat_models import Newer, first_model, has_checkpoint, newer_than
from slm_tui.tui.screens.chat_paint import ChatPaint
from slm_tui.tui.screens.chat_picker import ModelPicker
from slm_tui.tui.screens.chat_talk import Talk
from slm_tui.tui.screens.chat_transcript import Entry, Transcript
from slm_tui.tui.screens.chat_verbs import ChatVerbs

_STREAM_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_NOTHING = "No checkpoint to talk to yet. Press 1, choose a preset, press t."
_NOT_YET = "The run has saved no checkpoint yet. Press 2, then s saves one."


class ChatScreen(ChatInspect, ChatHistory, ChatPaint, ChatVerbs, RoomScreen):
    """The room `chat`."""

    ROOM: ClassVar[Room] = "chat"
    CSS_PATH = Path(__file__).with_suffix(".tcss")
    AUTO_FOCUS = "#prompt"

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.speaker, self.inspector = Speaker(self.turns), Inspector(self.turns)
        self.settings = ChatSettings(Sampling(max_tokens=200))
        self._spoken = Spoken()
        self.talk = Talk(self.speaker)
        self._waiting: list[tuple[Entry, int]] = []  # to be written: entry, seed
        self._wanted: Path | None = None
        self._lacked = False  # the wanted run had no checkpoint yet: look again
        self._seen_run: Path | None = None
        self._newer: Newer | None = None
        self._looked = 0.0
        self._stream: Timer | None = None
        self._drawn: object = None
        self._put_there: dict[str, Content] = {}

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="talk"):
            yield Transcript(id="transcript", classes="pane")
            yield Static("", id="nothing", classes="empty-state", markup=False)
            with Horizontal(id="under"):
                yield Static("", id="status", markup=False)
                yield Static("", id="newer", markup=False)
            with Horizontal(id="ask", classes="pane"):
                yield Static("❯ ", id="sign", markup=False)
                yield PromptInput()
        yield InspectPane(id="inspect")
        with Vertical(id="side"):
            yield Static("", id="sampling", classes="pane", markup=False)
            yield Static("", id="facts", classes="pane", markup=False)

    def on_mount(self) -> None:
        self.query_one("#sampling").border_title = Content(" sampling ")
        self.query_one("#facts").border_title = Content(" model ")
        if redraws_per_second() > 1:
            self._stream = self.set_interval(_STREAM_SECONDS, self._take, pause=True)

    def on_screen_resume(self) -> None:
        self._named = (None, "")
        self._choose()

    def on_unmount(self) -> None:
        self.speaker.close()
        self.inspector.close()

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    # The model

    def _choose(self) -> None:
        """Load what another screen handed over; at first, the live or newest run's best."""
        state = self.slm.state
        if state.checkpoint is not None:
            self.load(state.checkpoint)
            state.checkpoint, self._seen_run = None, state.run
        elif state.run is not None and state.run != self._seen_run:
            self._seen_run = state.run
            self.load(state.run)
        elif self._wanted is None:
            session = getattr(self.slm.workshop, "session", None)
            found = first_model(session.run if session is not None else None)
            if found is not None:
                self.load(found)

    def load(self, path: Path) -> None:
        """Load a checkpoint, or the best of a run directory."""
        self._wanted, self._newer, self._looked = path, None, time.monotonic()
        self._lacked = is_run(path) and not has_checkpoint(Run(path))
        self._waiting.clear()
        self._end_entry("stopped")
        if self.is_inspecting:
            self.leave_inspect()
        self.show_history(path)
        self.speaker.load(path)
        self._take()

    def _look_for_newer(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        wanted = self._wanted
        if wanted is None:
            self._choose()
        elif self._lacked:
            if has_checkpoint(Run(wanted)):
                self.load(wanted)
        elif self._spoken.facts is not None:
            self._newer = newer_than(self._spoken.facts.checkpoint)

    def action_model(self) -> None:
        loaded = self._spoken.facts.checkpoint if self._spoken.facts else None
        self.app.push_screen(ModelPicker(loaded), self._picked)

    def _picked(self, path: str | None) -> None:
        if path is not None:
            self.load(Path(path))

    def action_newest(self) -> None:
        if self._spoken.facts is not None:
            self._newer = newer_than(self._spoken.facts.checkpoint)
        if self._newer is not None:
            self.load(self._newer.path)

    # Writing

    def on_input_submitted(self, event: Input.Submitted) -> None:
        line = event.value
        self.query_one(PromptInput).remember(line)
        if line.startswith("/"):
            self.command(line)
        elif line:
            # A line break cannot be typed on one line: \n stands for it.
            self._begin(line.replace("\\n", "\n"))
        else:
            self.action_continue()

    def action_continue(self) -> None:
        """Go on with the last text from where it stopped; begin one if there is none."""
        last = self.talk.entry
        if self.is_inspecting:
            self.take_candidate()
        elif last is None or last.ending.endswith("end of text"):
            self._begin("")
        elif self._ready() and self._spoken.facts is not None:
            self._end_entry("stopped")
            # With the same seed it becomes what it would have become in one go.
            sampling = self.settings.sampling
            seed = last.seed if last.asked == sampling.seed else sampling.seed
            self.talk.go_on(last, self._spoken, sampling, seed)
            self.asked()

    def _ready(self) -> bool:
        """Whether there is a model, or will be; says what to do if not."""
        spoken = self.speaker.poll()
        if spoken.facts is not None or spoken.state == "loading":
            return True
        none = GenerationError("no model is loaded", "", "F7 chooses one")
        complain(self.app, spoken.error or none)
        return False

    def _begin(self, prompt: str) -> None:
        """Write the samples of a new prompt, one after another."""
        if not self._ready():
            return
        self._end_entry("stopped")
        seed = self.settings.sampling.seed
        self._waiting = [
            (Entry(prompt=prompt), (seed + number) % 2**63)
            for number in range(self.settings.samples)
        ]
        self._next()

    def _next(self) -> None:
        """Ask for the next text that waits, once the model is there."""
        if not self._waiting or self.speaker.poll().facts is None:
            self.paint()
            return
        entry, seed = self._waiting.pop(0)
        drawn = replace(
            self.settings, sampling=self.settings.sampling.model_copy(update={"seed": seed})
        )
        facts = self.speaker.poll().facts
        step = f" @ {facts.step:,}" if facts else ""
        entry.drawn_with = drawn.sampling
        entry.heading = " · ".join([f"{self.run_name()}{step}", *drawn.short()])
        entry.asked = self.settings.sampling.seed
        self.transcript.add(entry)
        self.talk.begin(entry, self.settings.sampling, seed)
        self.asked()

    def asked(self) -> None:
        """Something was asked of the speaker: look for what comes."""
        if self._stream is not None:
            self._stream.resume()
        self._take()

    def action_stop(self) -> None:
        """Stop at once; with nothing to stop, step out."""
        if self.is_writing:
            self.stop_writing()
        else:
            self.step_out()

    @property
    def is_writing(self) -> bool:
        """Whether a text is being written, or waits."""
        return self._spoken.state == "speaking" or bool(self._waiting)

    def stop_writing(self) -> None:
        self._waiting.clear()
        self.speaker.stop()
        self._take()

    def step_out(self) -> bool:
        if super().step_out():
            return True
        if self.is_inspecting:
            self.leave_inspect()
            return True
        if isinstance(self.focused, Input):
            self.transcript.focus()
            return True
        return False

    # What was written

    def refresh_room(self) -> None:
        self._look_for_newer()
        self._take()

    def _take(self) -> None:
        """Show what the speaker has written since."""
        before, self._spoken = self._spoken, self.speaker.poll()
        spoken = self._spoken
        if spoken.facts is not None and spoken.facts is not before.facts:
            self._newer = newer_than(spoken.facts.checkpoint)
        self._grow()
        idle = spoken.state in ("ready", "failed")
        if idle and before.state == "speaking":
            self._end_entry(spoken.ended or "failed")
            if self.talk.entry is not None:
                self.text_is_there(self.talk.entry)
        if spoken.state == "failed" and before.error is not spoken.error:
            self._waiting.clear()
            self.transcript.add(Entry("error", text=f"✗ {spoken.error}"))
        if self._stream is not None:
            self._stream.pause() if idle else self._stream.resume()
        if idle and self._waiting:
            self._next()
        self.refresh_inspect()
        self.paint()

    def _grow(self) -> None:
        if self.talk.grow(self._spoken) and self.talk.entry is not None:
            self.transcript.grown(self.talk.entry)

    def _end_entry(self, ending: str) -> None:
        """Write under the last text how it ended."""
        if self.talk.end(self._spoken, ending) and self.talk.entry is not None:
            self.transcript.grown(self.talk.entry)
            self.keep(self.talk.entry, ending)

    def paint(self) -> None:
        """Bring title, status, settings and facts up to date, if anything of them changed."""
        state = (replace(self._spoken, text=""), self.settings, self._newer, len(self._waiting))
        drawn = (*state, self._wanted, self.transcript.size, isinstance(self.focused, Input))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        spoken, name = self._spoken, self.run_name()
        self.query_one("#talk").set_class(self._wanted is None, "-empty")
        if self._wanted is None:
            words = _NOT_YET if self.slm.workshop.is_training else _NOTHING
            self.query_one("#nothing", Static).update(Content(words))
        transcript = self.transcript
        kind = f" {self._newer.loaded}" if self._newer and self._newer.loaded else ""
        transcript.border_title = chat_panels.title(
            spoken, name, kind, (transcript.size.width or self.size.width) - 2
        )
        self.put("status", chat_panels.status(spoken, name, bool(self._waiting)))
        self.paint_newer()
        self.paint_settings(spoken, name)
        self.refresh_footer()

    def on_resize(self) -> None:
        self._drawn = None
        self.call_after_refresh(self.paint)

    def watch_focused(self) -> None:
        super().watch_focused()
        if self.is_mounted and self.query("#status"):
            self.paint()

    def footer_actions(self) -> list[Action]:
        known = actions.BY_ID
        if self.is_inspecting:
            names = ("continue", "resample", "inspect", "cooler", "warmer", "fewer", "more")
            labels = {"continue": "Write on", "inspect": "Back"}
            shown = [known[f"chat.{name}"] for name in names]
            shown = [replace(one, label=labels.get(one.name, one.label)) for one in shown]
            return [*shown, known["app.help"]]
        stop, speaking = known["chat.stop"], self._spoken.state == "speaking"
        typing = isinstance(self.focused, Input)
        ranked = [known["chat.continue"]]
        if speaking:
            ranked.insert(0, stop)
        elif typing:
            ranked.append(replace(stop, label="Keys"))
        else:
            ranked.append(known["chat.type"])
        if self._newer is not None and self._newer.is_newer:
            ranked.append(known["chat.newest"])
        ranked += [known["chat.model"], known["chat.inspect"], known["chat.side"]]
        if not typing:
            ranked += [known["chat.cooler"], known["chat.warmer"], known["app.copy"]]
        return [*ranked, known["app.help"]]

    # Keys

    def action_type(self) -> None:
        self.query_one(PromptInput).focus()

    def action_sidebar_right(self) -> None:
        self.toggle_class("-no-side")
        self._drawn = None
        self.call_after_refresh(self.paint)
