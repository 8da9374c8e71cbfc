"""A run that another process trains: watched and steered as if it were trained here."""

import threading
from collections import deque
from dataclasses import replace
from typing import Any

from slm_tui import records
from slm_tui.config.preset import Preset
from slm_tui.errors import RunError
from slm_tui.live import steering
from slm_tui.live.session import Status
from slm_tui.runs.store import Run, RunInfo
from slm_tui.training.control import Control, Request

_LOOK_SECONDS = 0.3
_SCAN_SECONDS = 0.7
_WORDS = {
    "pause": "pause",
    "continue": "go on",
    "stop": "stop",
    "save": "save",
    "evaluate": "evaluate",
    "sample": "write a sample",
    "rate": "change its learning rate",
    "extend": "make more steps",
}


class RemoteSession:
    """The same face as a `Session`: all methods return at once, a thread does the asking.

    What is asked through `control` is sent to the process that trains the run; what came of it
    stands in `status`, and what could not be done in `problem`. Where the process cannot be
    asked, `status` comes from `run.json`.
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
        """What the run trains.

        Raises:
            PresetError: its file cannot be read.
        """
        return self.run.preset()

    @property
    def is_live(self) -> bool:
        """Whether the other process still trains it."""
        return self.status.is_live

    def stop(self) -> None:
        """Let the other process save and end the run; also while it is still preparing."""
        self.control.stop()

    def problem(self) -> str:
        """Why something that was asked could not be done; each is told once, then empty."""
        return self._problems.popleft() if self._problems else ""

    def wait(self, seconds: float) -> bool:
        """Wait until the run has ended, at most so long; returns whether it has."""
        self._thread.join(seconds)
        return not self.is_live

    def close(self) -> None:
        """Look no more."""
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
            self._problems.append(f"It could not be asked to {_WORDS[request.verb]}: {error}")

    def look(self, *, ask: bool = False) -> None:
        """Bring `status` up to date; with `ask` from the process itself, which may take time."""
        try:
            told = steering.ask(self.run.path, "status") if ask else {}
        except RunError:
            told = {}
        self.status = _status(told.get("status")) or self._from_file()

    def _from_file(self) -> Status:
        try:
            info = self.run.info()
        except RunError as error:
            # A run that could not begin leaves nothing behind.
            known = self.status
            state = known.state if not known.is_live else "interrupted"
            return replace(known, state=state, stage="", error=known.error or str(error))
        return status_of(self.run, info)


def status_of(run: Run, info: RunInfo) -> Status:
    """What `run.json` tells of where the training stands."""
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


def _status(told: Any) -> Status | None:
    """The status in an answer; another version of the program may tell more or less."""
    if not isinstance(told, dict) or not isinstance(told.get("state"), str):
        return None
    try:
        return records.record(Status, told, "the answer")
    except ValueError:
        return None
