"""Trains the app's runs, one at a time in this process, and follows others."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from slm_tui.config.preset import Preset
from slm_tui.errors import RunError
from slm_tui.live.workshop import LiveStatus, QuitChoice
from slm_tui.runs.headline import headline

# The app shows its first frame before it imports any of these.
if TYPE_CHECKING:
    from slm_tui.live.other_process_runs import OtherProcessRuns
    from slm_tui.live.remote_session import RemoteSession
    from slm_tui.live.session import Session
    from slm_tui.runs.store import Run

_SHOWN = {"running": "training", "stopped early": "done"}
# How long the app waits for the results of an ended run when it exits.
_ENDING_SECONDS = 20.0


class TrainingWorkshop:
    """Starts sessions, follows runs of other processes, and reports their status."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._ending: list[Session] = []
        self.on_start: Callable[[Path], None] | None = None
        self.leaving: QuitChoice | None = None
        # The Train screen's verdict for a run, repeated in the status line.
        self.verdicts: dict[Path, str] = {}
        self._others: OtherProcessRuns | None = None
        self._followed: dict[Path, RemoteSession] = {}
        self._current: Session | RemoteSession | None = None

    def start(self) -> None:
        """Start looking for runs of other processes, unless already started."""
        self._started()

    def _started(self) -> "OtherProcessRuns":
        if self._others is None:
            from slm_tui.live.other_process_runs import OtherProcessRuns

            self._others = OtherProcessRuns()
            self._others.start()
        return self._others

    @property
    def is_training(self) -> bool:
        """Whether a run is training in this process; a paused run counts."""
        return self.session is not None and self.session.is_live

    def training_of(self, run: "Run") -> "Session | RemoteSession | None":
        """The session that trains `run`, or did while the app was open, in any process."""
        others = self._started()
        own = self.session if self.session is not None and self.session.run == run else None
        if own is not None and own.is_live:
            return own
        followed = self._followed.get(run.path)
        if (followed is None or not followed.is_live) and run in others.runs:
            from slm_tui.live.remote_session import RemoteSession

            followed = self._followed[run.path] = RemoteSession(run)
        if followed is None or (own is not None and not followed.is_live):
            return own
        return followed

    def current_training(self) -> "Session | RemoteSession | None":
        """The training for the status line: the app's own, else the newest that is live
        elsewhere (once `start` was called), else the last one."""
        elsewhere = self._others.runs if self._others is not None else ()
        if self.is_training:
            self._current = self.session
        elif elsewhere and (self._current is None or not self._current.is_live):
            self._current = self.training_of(elsewhere[0])
        elif self._current is None:
            self._current = self.session
        return self._current

    def look_at(self, path: Path) -> None:
        """A run was opened: it may be outside the runs directory, and live."""
        self._started().include(path)

    def live_status(self) -> LiveStatus | None:
        """The run for the status line."""
        training = self.current_training()
        if training is None:
            return None
        status = training.status
        state = _SHOWN.get(status.state, status.state)
        if status.state == "preparing" and status.stage:
            state = f"{status.stage} {status.progress:.0%}" if status.progress else status.stage
        return LiveStatus(
            run=training.run.id,
            state=state,
            step=status.step,
            max_steps=status.max_steps,
            eta_seconds=status.eta_seconds,
            tokens_per_second=status.tokens_per_second or None,
            verdict=self._verdict_on(training),
            live=training.is_live,
            waiting_for=status.waiting_for,
        )

    def _verdict_on(self, training: "Session | RemoteSession") -> str:
        """The Train screen's; of an ended run, whose end it may not have seen, the final one."""
        path = training.run.path
        shown = self.verdicts.get(path, "")
        return shown if training.is_live else headline(path) or shown

    def close(self) -> None:
        """The app has exited: stop watching runs, and let ended ones write their results."""
        for session in self._ending:
            session.wait(_ENDING_SECONDS)
        if self._others is not None:
            self._others.close()
        for one in self._followed.values():
            one.close()

    def train(self, preset: Preset, *, before: str = "", remedy: str = "") -> None:
        """Start a run of `preset`, which may answer the verdict on the run `before`.

        Raises:
            SlmTuiError: it cannot start.
        """
        from slm_tui.live.session import Session

        self._check_free()
        self._use(Session.start(preset, before=before, remedy=remedy))

    def resume(
        self,
        run: "Run",
        more_steps: int = 0,
        preset: Preset | None = None,
        *,
        rewarm: bool = False,
    ) -> None:
        """Resume `run`, with the changes in `preset` if given.

        With `rewarm` its learning rate warms up again for the additional steps.

        Raises:
            SlmTuiError: it is finished, damaged, or another run is training.
        """
        from slm_tui.live.session import Session

        self._check_free()
        self._use(Session.resume(run, more_steps=more_steps, rewarm=rewarm, preset=preset))

    def fork(self, checkpoint: Path, preset: Preset) -> None:
        """Start a run of `preset` with the weights of `checkpoint`.

        Raises:
            SlmTuiError: it cannot start.
        """
        from slm_tui.live.session import Session

        self._check_free()
        self._use(Session.start(preset, initial=checkpoint))

    def _use(self, session: "Session") -> None:
        self.session = self._current = session
        if self.on_start is not None:
            self.on_start(session.run.path)

    def request_quit(self, choice: QuitChoice) -> None:
        """The app is quitting: the run continues in the background, or is saved and stopped."""
        if self.leaving != "save":  # a terminal that closes meanwhile has no effect
            self.leaving = choice
        if choice == "save" and self.session is not None and self.session.is_live:
            self.session.stop()

    def _check_free(self) -> None:
        if self.session is not None and self.session.is_live and not self.session.status.is_live:
            # It has trained its last step and writes its results: that takes seconds.
            self._ending.append(self.session)
            self.session = None
        if self.is_training and self.session is not None:
            raise RunError(
                f"{self.session.run.id} is training",
                "only one run can train at a time",
                "stop it on the Train screen (2, then x), or wait until it finishes",
            )
