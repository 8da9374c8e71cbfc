"""`slm-tui runs follow` and `runs steer`, for a run that another process is training."""

import argparse
import sys
from dataclasses import asdict
from typing import cast, get_args

from slm_tui.commands import output
from slm_tui.commands.progress import TextReport
from slm_tui.errors import RunError
from slm_tui.formatting import finite, whole_number
from slm_tui.live import steering
from slm_tui.live.remote_session import RemoteSession
from slm_tui.live.status import Status
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training.control import Request, Verb
from slm_tui.training.events import Changed, Evaluated, Event, Finished, Note, Sampled, Saved

_VALUES = {"rate": "a factor, such as 0.5", "extend": "a number of steps, such as 500"}
_REFRESH_SECONDS = 0.2
_PRINTED = (*get_args(Note), Changed, Saved, Finished)


def steer(options: argparse.Namespace) -> int:
    """Send a request to the process that trains the run, and wait for its answer.

    Raises:
        RunError: no process trains it, it cannot be reached, or it refuses the request.
    """
    run = store.find(options.run)
    request = _request(options.request, options.value)
    if run.info().state not in store.LIVE_STATES:
        raise RunError(f"run {run.id} is not being trained", "", f"slm-tui train --resume {run.id}")
    steering.ask(run.path, request.verb, request.value, seconds=5.0)
    if options.json:
        output.say_json({"run": run.id, "asked": request.verb, "value": request.value})
    else:
        value = f" {options.value}" if options.value else ""
        output.say(f"{request.verb}{value} requested for {run.id}")
    return 0


def _request(verb: str, value: str | None) -> Request:
    if (value is not None) != (verb in _VALUES):
        needs = f"needs {_VALUES[verb]}" if verb in _VALUES else "takes no value"
        raise RunError(f"{verb} {needs}")
    try:
        number = (whole_number if verb == "extend" else float)(value) if value is not None else 0.0
    except ValueError:
        wrong = f"{value!r} is not a {'whole ' if verb == 'extend' else ''}number"
        raise RunError(f"{verb} needs {_VALUES[verb]}", wrong) from None
    return steering.checked(Request(cast(Verb, verb), number))


def follow(options: argparse.Namespace) -> int:
    """Show a run until it ends; quitting does not affect it. Returns 1 if the run failed.

    Raises:
        RunError: no process trains it.
    """
    run = store.find(options.run)
    if run.info().state not in store.LIVE_STATES:
        raise RunError(f"run {run.id} is not being trained", "", f"slm-tui runs show {run.id}")
    followed = RemoteSession(run)
    show = _Objects() if options.json else _Progress(run)
    try:
        while True:
            live = followed.is_live
            show.tick(followed)
            if not live:
                break
            followed.wait(_REFRESH_SECONDS)
        show.end(followed)
    except KeyboardInterrupt:
        show.leave(followed)
        return 0
    finally:
        followed.close()
    if followed.status.state == "failed":
        output.say_stderr(f"slm-tui: {followed.status.error}")
        return 1
    return 0


class _Objects:
    """The status as one JSON object per change."""

    def __init__(self) -> None:
        self._last: Status | None = None

    def tick(self, followed: RemoteSession) -> None:
        status = followed.status
        if status != self._last:
            self._last = status
            output.say_json(finite(asdict(status)))

    def end(self, followed: RemoteSession) -> None:
        return

    def leave(self, followed: RemoteSession) -> None:
        return


class _Progress:
    """Lines for new entries in the run's files, and the progress line."""

    def __init__(self, run: Run) -> None:
        self._lines = TextReport(sys.stdout)
        self._curves = Curves(run)
        self._curves.read()
        self._seen = self._counts()
        self._lines.show_line(f"run {run.id}; ctrl+c stops following, the run continues")

    def _counts(self) -> tuple[int, float, float]:
        """The number of evaluations, and the times of the newest sample and event."""
        samples, events = self._curves.samples, self._curves.events
        sampled = samples[-1].timestamp if samples else 0.0
        changed = events[-1].timestamp if events else 0.0
        return len(self._curves.evaluations.step), sampled, changed

    def tick(self, followed: RemoteSession) -> None:
        if self._curves.read():
            for event in self._news():
                self._lines.event(event)
        self._lines.tick(followed.status)

    def end(self, followed: RemoteSession) -> None:
        self.tick(followed)
        self._lines.end(followed, interrupted=False)

    def leave(self, followed: RemoteSession) -> None:
        self._lines.show_line(f"{followed.run.id} keeps training")

    def _news(self) -> list[Event]:
        seen, sampled, changed = self._seen
        self._seen = self._counts()
        every, curves = self._curves.evaluations, self._curves
        best = every.best()
        events: list[Event] = [
            Evaluated(every.step[at], 0.0, every.loss[at], every.bits_per_byte[at], at == best, 0.0)
            for at in range(min(seen, len(every.step)), len(every.step))
        ]
        events += [
            Sampled(one.step, one.prompt, one.text, one.seconds)
            for one in curves.samples
            if one.timestamp > sampled
        ]
        events += [
            one.event
            for one in curves.events
            if one.timestamp > changed and isinstance(one.event, _PRINTED)
        ]
        return sorted(events, key=lambda event: event.step)
