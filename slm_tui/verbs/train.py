"""`slm-tui train`: train in this terminal, with a progress line or JSON."""

import argparse
import json
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from slm_tui.config import library, overrides, pointing
from slm_tui.config.preset import Preset
from slm_tui.errors import PresetError
from slm_tui.figures import clock, count, size
from slm_tui.runs import store
from slm_tui.runs.results import finite
from slm_tui.runs.session import Session, Status
from slm_tui.text import one_line
from slm_tui.training.events import (
    Changed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Sampled,
    Saved,
    Started,
    Warned,
)

_REFRESH_SECONDS = 0.2
_INTERRUPTED = 130


def train(options: argparse.Namespace) -> int:
    """Train as asked; 0 when the run ended in order, 1 when it failed, 130 when interrupted."""
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    session = _session(options, events)
    show: Json | Lines = Json() if options.json else Lines(sys.stdout)
    show.begin(session)
    return follow(session, events, show)


def _session(options: argparse.Namespace, events: "queue.SimpleQueue[Event]") -> Session:
    sinks = (events.put,)
    if options.resume:
        if _settings_given(options):
            raise PresetError(
                "a resumed run keeps its preset",
                "--resume goes with --steps alone",
                "to change settings, begin a new run with --from",
            )
        if options.steps < 0:
            raise PresetError("--steps must be at least 1")
        return Session.resume(store.find(options.resume), more_steps=options.steps, sinks=sinks)
    if options.steps:
        raise PresetError(
            "--steps goes with --resume", "", "for a new run: --set training.max_steps=N"
        )
    initial = store.find_checkpoint(options.initial) if options.initial else None
    if options.preset:
        preset = _named(options.preset)
    elif initial is not None:
        from slm_tui.training.checkpoint import read

        preset = read(initial).preset
    else:
        raise PresetError("nothing to train", "", f"name a preset, such as {library.DEFAULT}")
    return Session.start(_changed(preset, options), options.name, initial=initial, sinks=sinks)


def _named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        PresetError: there is none; what is a text instead is called so.
    """
    is_text = not name.endswith(".toml") and Path(name).expanduser().exists()
    if is_text and library.find(name) is None:
        remedy = f"slm-tui train {library.DEFAULT} --text {name}"
        raise PresetError(f"{name} is a text, not a preset", "", remedy)
    return library.get(name)


def _settings_given(options: argparse.Namespace) -> bool:
    named = (options.preset, options.assignments, options.initial, options.name, options.device)
    return any(named) or bool(options.text) or options.seed is not None


def _changed(preset: Preset, options: argparse.Namespace) -> Preset:
    if options.text:
        preset = pointing.reading(preset, options.text)
    assignments = list(options.assignments)
    if options.seed is not None:
        assignments.append(f"training.seed={options.seed}")
    if options.device:
        assignments.append(f"training.device={options.device}")
    return overrides.apply(preset, assignments)


def follow(session: Session, events: "queue.SimpleQueue[Event]", show: "Json | Lines") -> int:
    """Show a session until it ends. Ctrl+C, a closed terminal or a kill saves and stops it."""
    interrupted = threading.Event()
    failed = False
    with _saving_on_signals(session, interrupted):
        try:
            while True:
                live = session.is_live
                failed |= _drain(events, show)
                show.tick(session.status)
                if not live:
                    session.wait()
                    break
                session.wait(_REFRESH_SECONDS)
            show.end(session, interrupted.is_set())
        except OSError:
            # Nobody reads any more: the terminal or the pipe is closed. What was trained is saved.
            session.stop()
            session.wait()
            if not interrupted.is_set():
                raise
    if failed:
        print(f"slm-tui: {session.status.error}", file=sys.stderr)
    return _INTERRUPTED if interrupted.is_set() else int(failed)


def _drain(events: "queue.SimpleQueue[Event]", show: "Json | Lines") -> bool:
    failed = False
    while True:
        try:
            event = events.get_nowait()
        except queue.Empty:
            return failed
        failed |= isinstance(event, Failed)
        show.event(event)


@contextmanager
def _saving_on_signals(session: Session, interrupted: threading.Event) -> Iterator[None]:
    """Turn signals into an orderly stop. A second ctrl+C ends the program at once."""

    def stop(number: int, _frame: Any) -> None:
        if interrupted.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        interrupted.set()
        session.stop()

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Json:
    """One JSON object per event, and nothing else on stdout."""

    def begin(self, session: Session) -> None:
        self._write({"event": "run", "run": session.run.id, "path": str(session.run.path)})

    def event(self, event: Event) -> None:
        self._write({"event": type(event).__name__.lower(), **asdict(event)})

    def tick(self, status: Status) -> None:
        return

    def end(self, session: Session, interrupted: bool) -> None:
        return

    def _write(self, values: dict[str, Any]) -> None:
        # NaN and infinity are not JSON: a diverged loss is null.
        print(json.dumps(finite(values), ensure_ascii=False), flush=True)


class Lines:
    """Lines for what happens, and below them, on a terminal, a line that moves."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._moving = out.isatty()
        self._drawn = ""
        self._bytes_per_token = 1.0
        self._last = 0.0

    def begin(self, session: Session) -> None:
        self._print(f"run {session.run.id}")

    def event(self, event: Event) -> None:
        text = self._worded(event)
        if text:
            self._print(text)

    def tick(self, status: Status) -> None:
        if self._moving:
            import shutil

            self._draw(progress_line(status, shutil.get_terminal_size().columns - 1))
        elif status.state == "running" and time.monotonic() - self._last > 30:
            self._last = time.monotonic()
            self._print(progress_line(status, 120))

    def end(self, session: Session, interrupted: bool) -> None:
        self._draw("")
        status = session.status
        if interrupted:
            self._print(f"stopped at step {status.step:,} and saved")
        if status.state != "done" and not status.error:
            self._print(f"go on with: slm-tui train --resume {session.run.id}")
        elif status.state == "done":
            self._print(f"write with it: slm-tui generate {session.run.id} --prompt 'Once'")

    def _worded(self, event: Event) -> str:
        if isinstance(event, Started):
            facts = event.facts
            return (
                f"{count(float(facts['parameters']))} parameters, vocabulary {facts['n_vocab']:,}, "
                f"{count(float(facts['train_tokens']))} training tokens, {facts['device']}, "
                f"{facts['threads']} threads"
            )
        if isinstance(event, Evaluated):
            star = " ★" if event.is_best else ""
            return (
                f"step {event.step:,}: validation {event.loss:.4f} nats, "
                f"{event.bits_per_byte:.4f} bits per byte{star}"
            )
        if isinstance(event, Sampled):
            return f"step {event.step:,}: {one_line(event.prompt + event.text, 200)}"
        if isinstance(event, Saved) and event.kind != "best":
            return f"step {event.step:,}: saved {event.name} ({size(event.bytes)})"
        if isinstance(event, Warned):
            return f"step {event.step:,}: note: {event.message}"
        if isinstance(event, Changed):
            return f"step {event.step:,}: {event.what} is now {event.value:g}"
        if isinstance(event, Finished):
            return f"step {event.step:,}: {event.reason}"
        return ""

    def _print(self, text: str) -> None:
        drawn, self._drawn = self._drawn, ""
        wipe = f"\r{' ' * len(drawn)}\r" if drawn else ""
        self._out.write(f"{wipe}{text}\n")
        self._out.flush()

    def _draw(self, text: str) -> None:
        if not self._moving or text == self._drawn:
            return
        padding = " " * max(0, len(self._drawn) - len(text))
        self._out.write(f"\r{text}{padding}" + ("" if text else "\r"))
        self._out.flush()
        self._drawn = text


def progress_line(status: Status, width: int) -> str:
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
    bar = "█" * round(room * part) + "░" * (room - round(room * part)) if room >= 5 else ""
    return (left + bar + right)[:width]
