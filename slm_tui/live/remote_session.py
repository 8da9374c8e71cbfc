"""A run that another process trains, watched and steered as if it were trained here."""

import threading
from collections import deque
from dataclasses import replace
from typing import Any

from slm_tui import records
from slm_tui.config.preset import Preset
from slm_tui.errors import RunError
from slm_tui.live import steering
from slm_tui.live.status import Status
from slm_tui.runs.store import Run, RunInfo
from slm_tui.training.control import Control, Request

_LOOK_SECONDS = 0.3
_SCAN_SECONDS = 0.7
_WORDS = {
    "pause": "pause",
    "continue": "resume",
    "stop": "stop",
    "save": "save",
    "evaluate": "evaluate",
    "sample": "generate a sample",
    "rate": "change its learning rate",
    "extend": "add steps",
}


class RemoteSession:
    """The same interface as a `Session`: all methods return immediately, a thread communicates.

    Requests through `control` are sent to the process that trains the run; the result appears
    in `status`, and failures in `problem`. If the process does not respond, `status` comes
    from `run.json`.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.control = Control()
        self.status = Status(run=run.id, stage="looking")
        self._problems: deque[str] = deque(maxlen=8)
        self._closed = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._main, name="following", daemon=True)
        self._thread.start()

    @property
    def preset(self) -> Preset:
        """The preset of the run.

        Raises:
            PresetError: its file cannot be read.
        """
        return self.run.preset()

    @property
    def is_live(self) -> bool:
        """Whether the other process is still training it."""
        return self.status.is_live

    def stop(self) -> None:
        """Make the other process save and stop the run, even while it is still preparing."""
        self.control.stop()

    def problem(self) -> str:
        """Why a request failed; each failure is returned once, then the result is empty."""
        return self._problems.popleft() if self._problems else ""

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the run to end; return whether it has."""
        self._thread.join(seconds)
        return not self.is_live

    def close(self) -> None:
        """Stop watching the run."""
        self._closed.set()

    def _main(self) -> None:
        while not self._closed.is_set() and self.is_live:
            self.control.wait(_LOOK_SECONDS)
            while (request := self.control.take()) is not None:
                self._send(request)
            self.look(ask=True)

    def _send(self, request: Request) -> None:
        try:
            steering.ask(self.run.path, request.verb, request.value)
        except RunError as error:
            self._problems.append(f"Could not {_WORDS[request.verb]}: {error}")

    def look(self, *, ask: bool = False) -> None:
        """Update `status`; with `ask` from the process itself, which may take a while."""
        try:
            answer = steering.ask(self.run.path, "status") if ask else {}
        except RunError:
            answer = {}
        self.status = _status(answer.get("status")) or self._from_file()

    def _from_file(self) -> Status:
        try:
            info = self.run.info()
        except RunError as error:
            # A run that could not start leaves no files.
            status = self.status
            state = status.state if not status.is_live else "interrupted"
            return replace(status, state=state, stage="", error=status.error or str(error))
        return status_of(self.run, info)


def status_of(run: Run, info: RunInfo) -> Status:
    """The status of the training according to `run.json`."""
    per_step = float(info.facts.get("tokens_per_step") or 0)
    left = max(0, info.max_steps - info.step)
    speed = info.tokens_per_second
    eta = left * per_step / speed if info.state == "running" and per_step and speed else None
    return Status(
        run=run.id,
        state=info.state,
        stage="preparing" if info.state == "preparing" else "",
        step=info.step,
        max_steps=info.max_steps,
        loss=info.train_loss,
        val_loss=info.val_loss,
        val_bpb=info.val_bpb,
        tokens_per_second=speed,
        eta_seconds=eta,
        error=info.error,
    )


def _status(answer: Any) -> Status | None:
    """The status in an answer; another version of the program may send more or fewer fields."""
    if not isinstance(answer, dict) or not isinstance(answer.get("state"), str):
        return None
    try:
        return records.record(Status, answer, "the answer")
    except ValueError:
        return None
