"""Where the app's runs are made: one training at a time, in this process."""

from pathlib import Path

from slm_tui.config.preset import Preset
from slm_tui.errors import RunError
from slm_tui.runs.session import Session
from slm_tui.runs.store import Run
from slm_tui.tui.base import QuitChoice
from slm_tui.tui.widgets.status_line import LiveStatus

_SHOWN = {"running": "training", "stopped early": "done"}


class TrainingWorkshop:
    """Starts sessions and tells the screens how the newest one stands."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.leaving: QuitChoice | None = None
        self.verdict = ""

    @property
    def is_training(self) -> bool:
        """Whether a run is going now, paused ones included."""
        return self.session is not None and self.session.is_live

    def live_status(self) -> LiveStatus | None:
        """The newest run of this app for the status line."""
        if self.session is None:
            return None
        status = self.session.status
        state = _SHOWN.get(status.state, status.state)
        if status.state == "preparing" and status.stage:
            state = f"{status.stage} {status.progress:.0%}" if status.progress else status.stage
        return LiveStatus(
            run=self.session.run.id,
            state=state,
            step=status.step,
            max_steps=status.max_steps,
            eta_seconds=status.eta_seconds,
            tokens_per_second=status.tokens_per_second or None,
            verdict=self.verdict,
        )

    def train(self, preset: Preset) -> None:
        """Start a run of `preset`.

        Raises:
            SlmTuiError: it cannot start.
        """
        self._check_free()
        self.session = Session.start(preset)
        self.verdict = ""

    def resume(self, run: Run, more_steps: int = 0) -> None:
        """Go on with `run`.

        Raises:
            SlmTuiError: it is finished, damaged, or something is training already.
        """
        self._check_free()
        self.session = Session.resume(run, more_steps=more_steps)
        self.verdict = ""

    def fork(self, checkpoint: Path, preset: Preset) -> None:
        """Start a run of `preset` with the weights of `checkpoint`.

        Raises:
            SlmTuiError: it cannot start.
        """
        self._check_free()
        self.session = Session.start(preset, initial=checkpoint)
        self.verdict = ""

    def request_quit(self, choice: QuitChoice) -> None:
        """The app is leaving: the run goes on without a screen, or is saved and stopped."""
        self.leaving = choice
        if choice == "save" and self.session is not None and self.session.is_live:
            self.session.stop()

    def _check_free(self) -> None:
        if self.is_training and self.session is not None:
            raise RunError(
                f"{self.session.run.id} is training",
                "one run trains at a time",
                "stop it on the Train screen (2, then x), or wait until it ends",
            )
