"""How the command line shows training: lines and a progress line, or JSON."""

import shlex
from dataclasses import asdict
from typing import Any, TextIO

from slm_tui.commands import output
from slm_tui.commands.progress_line import ProgressLine, bar
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import clock, count, duration, finite, ratio_text, size
from slm_tui.live.remote_session import RemoteSession
from slm_tui.live.session import Session
from slm_tui.live.status import Status
from slm_tui.runs import evidence
from slm_tui.text import one_line
from slm_tui.training.event_json import kind_of
from slm_tui.training.events import (
    Changed,
    Evaluated,
    Event,
    Finished,
    Note,
    Paused,
    Sampled,
    Saved,
    Started,
    TrainingEvaluated,
)


def plan_text(preset: Preset) -> str:
    """What training `preset` takes, in one line, before it starts."""
    from slm_tui.corpus.known import cost_of
    from slm_tui.training.calibrate import stored

    cost = cost_of(preset, stored())
    parts = [f"{count(cost.parameters)} parameters", f"{preset.training.max_steps:,} steps"]
    if cost.epochs is not None:
        parts.append(f"about {ratio_text(cost.epochs)} epochs")
    parts.append(f"about {size(cost.memory_bytes)} of memory")
    if cost.seconds is not None:
        parts.append(f"about {duration(cost.seconds)}")
    return f"plan: {', '.join(parts)}"


class JsonReport:
    """One JSON object per event, and nothing else on stdout."""

    def begin(self, session: Session) -> None:
        self._write({"event": "run", "run": session.run.id, "path": str(session.run.path)})

    def event(self, event: Event) -> None:
        self._write({"event": kind_of(event), **asdict(event)})

    def tick(self, status: Status) -> None:
        return

    def end(self, session: Session, interrupted: bool) -> None:
        return

    def _write(self, values: dict[str, Any]) -> None:
        # NaN and infinity are not JSON: a diverged loss is null.
        output.say_json(finite(values))


class TextReport:
    """Lines for events, with the progress line below."""

    def __init__(self, out: TextIO) -> None:
        self._line = ProgressLine(out)
        self._planned = ""

    def begin(self, session: Session) -> None:
        self.show_line(f"run {session.run.id}")
        self.show_line(plan_text(session.preset))
        self._planned = session.preset.data.split_note()
        if self._planned:
            self.show_line(f"text: {one_line(self._planned, 300)}")

    def event(self, event: Event) -> None:
        if isinstance(event, Started):
            self._show_notes(str(event.facts.get("text_notes") or ""))
        text = self._worded(event)
        if text:
            self.show_line(text)

    def _show_notes(self, notes: str) -> None:
        """How the text was read, unless the plan said it."""
        for note in notes.split(" · "):
            if note and note != self._planned:
                self.show_line(f"text: {one_line(note, 300)}")

    def tick(self, status: Status) -> None:
        self._line.show(lambda width: status_text(status, width))

    def end(self, session: Session | RemoteSession, interrupted: bool) -> None:
        self._line.clear()
        status = session.status
        self._show_verdict(session)
        if interrupted:
            self.show_line(f"stopped at step {status.step:,} and saved")
        if status.state != "done" and not status.error:
            self.show_line(f"resume with: slm-tui train --resume {session.run.id}")
        elif status.state == "done":
            prompt = shlex.quote(one_line(session.preset.sampling.prompts[0], 60))
            self.show_line(f"generate text: slm-tui generate {session.run.id} --prompt {prompt}")
            self.show_line(f"chat with it: slm-tui chat {session.run.id}")

    def _show_verdict(self, session: Session | RemoteSession) -> None:
        try:
            verdict = evidence.of_run(session.run, copied=False)[0]
        except (SlmTuiError, OSError):
            return  # a run that did not start has no verdict
        if verdict.word:
            self.show_line(evidence.summary(verdict))

    def _worded(self, event: Event) -> str:
        if isinstance(event, Started):
            facts = event.facts
            return (
                f"{count(float(facts['parameters']))} parameters, vocabulary {facts['n_vocab']:,}, "
                f"{count(float(facts['train_tokens']))} training tokens, {facts['device']}, "
                f"{facts['threads']} CPU thread{'s' * (facts['threads'] != 1)}"
                + (f", {facts['processes']} processes" if "processes" in facts else "")
            )
        if isinstance(event, Evaluated):
            star = " ★" if event.is_best else ""
            return (
                f"step {event.step:,}: validation {event.loss:.4f} nats, "
                f"{event.bits_per_byte:.4f} bits per byte{star}"
            )
        if isinstance(event, TrainingEvaluated):
            return (
                f"step {event.step:,}: training text {event.loss:.4f} nats, "
                f"{event.bits_per_byte:.4f} bits per byte"
            )
        if isinstance(event, Sampled):
            return f"step {event.step:,}: {one_line(event.prompt + event.text, 200)}"
        if isinstance(event, Saved) and event.kind != "best":
            return f"step {event.step:,}: saved {event.name} ({size(event.bytes)})"
        if isinstance(event, Note):
            return f"step {event.step:,}: note: {event.message}"
        if isinstance(event, Paused) and event.reason:
            return f"step {event.step:,}: waiting: {event.reason}"
        if isinstance(event, Changed):
            return f"step {event.step:,}: {event.what} is now {event.value:g}"
        if isinstance(event, Finished):
            ending = "finished" if event.reason == "done" else event.reason
            return f"step {event.step:,}: {ending}"
        return ""

    def show_line(self, text: str) -> None:
        """Print a permanent line."""
        self._line.say(text)


def status_text(status: Status, width: int) -> str:
    """State, steps, a bar, ETA, loss and speed in at most `width` characters."""
    if status.state == "preparing":
        share = f" {status.progress:.0%}" if status.progress else "…"
        return f"{status.stage}{share}  {status.pace}".rstrip()[:width]
    part = status.step / status.max_steps if status.max_steps else 0.0
    left = f"{status.step:,}/{status.max_steps:,} "
    eta = clock(status.eta_seconds) if status.eta_seconds is not None else "--:--"
    loss = f" loss {status.loss:.3f}" if status.loss is not None else ""
    val = f" val {status.val_loss:.3f}" if status.val_loss is not None else ""
    speed = f" {count(status.tokens_per_second)} tok/s" if status.tokens_per_second else ""
    state = " paused" if status.state == "paused" else ""
    right = f" {part:4.0%} ETA {eta}{loss}{val}{speed}{state}"
    room = min(30, width - len(left) - len(right))
    return (left + (bar(part, room) if room >= 5 else "") + right)[:width]
