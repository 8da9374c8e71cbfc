"""`slm-tui train`: trains in this terminal, with a progress line or JSON."""

import argparse
import contextlib
import errno
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED
from slm_tui.errors import PresetError, cause_of
from slm_tui.live import detach
from slm_tui.live.detach import ParentPipe

if TYPE_CHECKING:
    from slm_tui.commands.progress import JsonReport, TextReport
    from slm_tui.config.preset import Preset
    from slm_tui.live.session import Session
    from slm_tui.training.events import Event, Sink
    from slm_tui.training.ranks import Position

_REFRESH_SECONDS = 0.2
# Preparation that the shell waits for: processor time, and at most time on the clock.
_BEGIN_SECONDS = 5.0
_IDLE_SECONDS = 30.0
# The terminal also sends ctrl+C to the parent, which passes it on.
_ONE_PRESS_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui train`."""
    parser.add_argument("preset", nargs="?", default="", help="preset name or .toml file")
    shared.add_set(parser)
    shared.add_text(parser)
    shared.add_seed(parser, "short for --set training.seed=N")
    parser.add_argument("--name", default="", help="name of the run (default: the preset's)")
    shared.add_device(parser)
    parser.add_argument(
        "--resume",
        default="",
        metavar="RUN",
        help="resume this run exactly; --set accepts only settings that cannot change its losses",
    )
    parser.add_argument(
        "--steps",
        type=shared.whole,
        default=0,
        help="with --resume: train this many more steps; the learning rate does not jump up",
    )
    parser.add_argument(
        "--rewarm",
        action="store_true",
        help="with --steps: warm the learning rate up to its peak again, then let it decay",
    )
    parser.add_argument(
        "--from",
        default="",
        metavar="CHECKPOINT",
        dest="initial",
        help="start a new run from these weights; without a preset, also with its settings",
    )
    parser.add_argument(
        "--detach",
        action="store_true",
        help="train in the background and return to the shell",
    )
    parser.add_argument(detach.ENDS_WITH_STDIN, action="store_true", help=argparse.SUPPRESS)
    shared.add_json(parser, "print one JSON object per event, one per line")
    parser.set_defaults(command=train)


def train(options: argparse.Namespace) -> int:
    """Run the command; returns 0 if the run finished, 1 if it failed, 130 if interrupted."""
    position = _position(options)
    if position is not None and position.rank:
        from slm_tui.commands.follower import follow_run

        return follow_run(position, ends_with_stdin=options.ends_with_stdin)
    if options.detach and not detach.can_fork():
        raise PresetError("--detach does not work on this system", "", "omit it")
    # Before anything else: a process with threads cannot be forked safely.
    # `torchrun` knows only the process that it started, and ends all of them with a terminal.
    forks = position is None and (options.detach or sys.stdout.isatty())
    parent = detach.fork() if forks else ParentPipe()
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    from slm_tui.commands.progress import JsonReport, TextReport

    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    if options.detach:
        return _train_detached(options, events, parent)
    session = _session(options, events, position)
    show: JsonReport | TextReport = JsonReport() if options.json else TextReport(sys.stdout)
    with contextlib.suppress(OSError):  # the next line gets the same error, and handles it
        show.begin(session)
    return follow(session, events, show, parent, hangup_stops=position is not None)


def _position(options: argparse.Namespace) -> "Position | None":
    """The rank of this process if `torchrun` started it with others."""
    if "RANK" not in os.environ:
        return None
    from slm_tui.training import ranks

    position = ranks.position(os.environ)
    if position is not None and options.detach:
        raise PresetError(
            "--detach does not work under torchrun",
            "torchrun waits for the processes that it started",
            "omit it and start torchrun in the background, or set training.devices instead",
        )
    return position


def _train_detached(
    options: argparse.Namespace, events: "queue.SimpleQueue[Event]", parent: ParentPipe
) -> int:
    """Return to the shell once the run has started, or after a few seconds of preparation."""
    # First, so that a closed terminal or its ctrl+C no longer reach this process directly.
    os.setsid()
    detach.ignore_hangups()
    session = _session(options, events)
    worked, waited = time.process_time(), time.monotonic()
    with _Signals(session) as signals:
        while session.is_live and session.status.state == "preparing":
            # In time that this process really had: on a busy machine, a run that cannot begin
            # takes longer to fail.
            is_late = time.process_time() - worked > _BEGIN_SECONDS
            if is_late or time.monotonic() - waited > _IDLE_SECONDS or session.wait(0.05):
                break
    if signals.interrupted.is_set():
        session.wait()
        return INTERRUPTED
    if session.status.state == "failed":
        session.wait()
        output.say_stderr(f"slm-tui: {session.status.error}")
        return 1
    return train_alone(session, events, parent, _detached_notice(session, as_json=options.json))


def _detached_notice(session: "Session", *, as_json: bool) -> str:
    run = session.run
    if as_json:
        values = {"run": run.id, "path": str(run.path), "pid": os.getpid()}
        return json.dumps({"event": "run", **values, "state": session.status.state})
    return (
        f"run {run.id} is training in the background (process {os.getpid()})\n"
        f"follow it: slm-tui --run {run.id}   or: slm-tui runs follow {run.id}"
    )


def train_alone(
    session: "Session",
    events: "queue.SimpleQueue[Event]",
    parent: ParentPipe,
    out: str = "",
    *,
    code: int = 0,
) -> int:
    """Print `out`, leave the terminal and train to the end; output goes to the run's log."""
    from slm_tui.commands.progress import TextReport

    leave_terminal(session, parent, out, code)
    return follow(session, events, TextReport(sys.stdout), ParentPipe())


def leave_terminal(session: "Session", parent: ParentPipe, out: str, code: int = 0) -> None:
    """Detach the run from the terminal; the parent prints `out` and exits with `code`."""
    session.unattended = True
    detach.leave_terminal(session.run.path / "console.log")
    parent.release_parent(code, out)


def background_notice(session: "Session") -> str:
    """The notice that a run continues after its terminal closes."""
    run = session.run.id
    return f"{run} keeps training in the background.\nReopen with: slm-tui --run {run}"


def _session(
    options: argparse.Namespace,
    events: "queue.SimpleQueue[Event]",
    position: "Position | None" = None,
) -> "Session":
    from slm_tui.config import library
    from slm_tui.live.session import Session
    from slm_tui.runs import store

    sinks = (events.put,)
    if options.resume:
        return _resumed(options, sinks, position)
    if options.steps:
        raise PresetError(
            "--steps requires --resume", "", "for a new run: --set training.max_steps=N"
        )
    if options.rewarm:
        raise PresetError("--rewarm requires --resume and --steps", "a new run warms up anyway")
    initial = store.find_checkpoint(options.initial) if options.initial else None
    if options.preset:
        preset = _named(options.preset)
    elif initial is not None:
        from slm_tui.training.checkpoint import read

        preset = read(initial).preset
    else:
        raise PresetError("nothing to train", "", f"name a preset, such as {library.DEFAULT}")
    changed = _changed(preset, options)
    return Session.start(changed, options.name, initial=initial, sinks=sinks, position=position)


def _named(name: str) -> "Preset":
    """The preset called `name`.

    Raises:
        PresetError: there is none, or `name` is a text, as the message then says.
    """
    from slm_tui.config import library, text_location

    if library.find(name) is None and text_location.is_text(name):
        text_location.source_of(name)
        remedy = f"slm-tui train {library.DEFAULT} --text {name}"
        raise PresetError(f"{name} is text, not a preset", "", remedy)
    return library.get(name)


def _resumed(
    options: argparse.Namespace, sinks: "tuple[Sink, ...]", position: "Position | None"
) -> "Session":
    """Resume a run, with changes to settings that do not affect its losses."""
    from slm_tui.live import resuming
    from slm_tui.live.session import Session
    from slm_tui.live.steering import MOST_STEPS
    from slm_tui.runs import store

    for word, value in (("a preset", options.preset), ("--from", options.initial)):
        if value:
            raise PresetError(
                f"--resume cannot be combined with {word}", "a run keeps its own preset", "omit it"
            )
    if options.name:
        raise PresetError(
            "--name is only for a new run",
            "",
            f"rename with: slm-tui runs rename {options.resume} {options.name}",
        )
    if not 0 <= options.steps <= MOST_STEPS:
        raise PresetError(f"--steps must be at least 1 and at most {MOST_STEPS:,}")
    if options.rewarm and not options.steps:
        raise PresetError("--rewarm requires --steps", "", "say how many steps to add: --steps N")
    run = store.find(options.resume)
    preset = resuming.changed(run, _assignments(options), options.text)
    return Session.resume(
        run,
        more_steps=options.steps,
        rewarm=options.rewarm,
        preset=preset,
        sinks=sinks,
        position=position,
    )


def _changed(preset: "Preset", options: argparse.Namespace) -> "Preset":
    from slm_tui.config import overrides, text_location

    if options.text:
        preset = text_location.reading(preset, options.text)
    return overrides.apply(preset, _assignments(options))


def _assignments(options: argparse.Namespace) -> list[str]:
    assignments = list(options.assignments)
    if options.seed is not None:
        assignments.append(f"training.seed={options.seed}")
    if options.device:
        assignments.append(f"training.device={options.device}")
    return assignments


def follow(
    session: "Session",
    events: "queue.SimpleQueue[Event]",
    show: "JsonReport | TextReport",
    parent: ParentPipe,
    *,
    hangup_stops: bool = False,
) -> int:
    """Show a session until it ends. Ctrl+C or SIGTERM saves and stops it.

    A closed terminal does not: the run continues without one, unless `hangup_stops`.

    Raises:
        OSError: the output pipe was closed; the run was saved and stopped.
    """
    from slm_tui.commands.progress import TextReport

    alone = False
    with _Signals(session, hangup_stops=hangup_stops) as signals:
        parent.watch(signals.hung_up.set)
        while True:
            live = session.is_live
            if signals.hung_up.is_set() and not alone and live:
                alone = True
                leave_terminal(session, parent, background_notice(session))
                show = TextReport(sys.stdout)
            try:
                _show(session, events, show, signals, live)
            except BrokenPipeError as error:
                if not alone and not signals.lost_terminal(error):
                    # The reader is gone: save and stop.
                    session.stop()
                    session.wait()
                    if not signals.interrupted.is_set():
                        step, run = f"{session.status.step:,}", session.run.id
                        output.say_stderr(
                            f"slm-tui: the output pipe was closed; saved and stopped at step "
                            f"{step}; resume with: slm-tui train --resume {run}"
                        )
                        raise
            except OSError as error:
                # Neither an unwritable log nor a lost terminal is a reason to stop.
                if not alone and not signals.lost_terminal(error):
                    reason = cause_of(error)
                    output.say_stderr(f"slm-tui: {reason}: output is lost, training continues")
                    output.silence(sys.stdout)
            if not live:
                break
            session.wait(_REFRESH_SECONDS)
    failed = session.status.state == "failed"
    if failed:
        output.say_stderr(f"slm-tui: {session.status.error}")
    return INTERRUPTED if signals.interrupted.is_set() else int(failed)


def _show(
    session: "Session",
    events: "queue.SimpleQueue[Event]",
    show: "JsonReport | TextReport",
    signals: "_Signals",
    live: bool,
) -> None:
    if not live:
        session.wait()
    while True:
        try:
            show.event(events.get_nowait())
        except queue.Empty:
            break
    show.tick(session.status)
    if not live:
        failed = session.status.state == "failed"
        show.end(session, signals.interrupted.is_set() and not failed)


class _Signals:
    """Turns signals into a clean stop. A second ctrl+C ends the program at once.

    A hangup does not stop the run; it only sets `hung_up`, unless `hangup_stops`.
    """

    def __init__(self, session: "Session", *, hangup_stops: bool = False) -> None:
        self._session = session
        self._hangup_stops = hangup_stops
        self._before: dict[int, Any] = {}
        self._first = 0.0
        self.interrupted = threading.Event()
        self.hung_up = threading.Event()

    def __enter__(self) -> Self:
        self._take("SIGINT", self._stop)
        self._take("SIGTERM", self._stop)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            stop = self._stop if self._hangup_stops else lambda *_: self.hung_up.set()
            self._take("SIGHUP", stop)
        return self

    def _take(self, name: str, handler: Any) -> None:
        number = getattr(signal, name)
        self._before[number] = signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: Any) -> None:
        now = time.monotonic()
        if not self.interrupted.is_set():
            self._first = now
        elif number == signal.SIGINT and now - self._first > _ONE_PRESS_SECONDS:
            raise KeyboardInterrupt
        self.interrupted.set()
        self._session.stop()

    def lost_terminal(self, error: OSError) -> bool:
        """Whether a failed print means that the terminal is gone, not just a reader."""
        if error.errno == errno.EIO:
            self.hung_up.set()
        # With a pipe, `tee` may have died first from the same hangup.
        return self.hung_up.wait(_ONE_PRESS_SECONDS)
