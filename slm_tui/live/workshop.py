"""The interface between the screens and training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from slm_tui.errors import RunError

if TYPE_CHECKING:
    from slm_tui.config.preset import Preset
    from slm_tui.live.remote_session import RemoteSession
    from slm_tui.live.session import Session
    from slm_tui.runs.store import Run

    Training = Session | RemoteSession

QuitChoice = Literal["keep", "save"]


@dataclass(frozen=True)
class LiveStatus:
    """What the status line shows of a run.

    `verdict` is one or two words, with its sign; `live` means that it is training, here or in
    another process; `waiting_for` why a paused run cannot continue.
    """

    run: str
    state: str
    step: int
    max_steps: int
    eta_seconds: float | None = None
    tokens_per_second: float | None = None
    verdict: str = ""
    live: bool = False
    waiting_for: str = ""


class Workshop(Protocol):
    """Where runs are trained: the interface that the screens use."""

    # Called with the directory of each run that starts or resumes here.
    on_start: Callable[[Path], None] | None
    # The Train screen's verdict for a run, by its directory; repeated in the status line.
    verdicts: dict[Path, str]

    def start(self) -> None:
        """Start looking for runs of other processes; called after the first frame."""
        ...

    @property
    def is_training(self) -> bool:
        """Whether a run is training in this process; a paused run counts."""
        ...

    def training_of(self, run: "Run") -> "Training | None":
        """The session that trains `run`, or did while the app was open, in any process."""
        ...

    def current_training(self) -> "Training | None":
        """The training for the status line: the app's own, else the newest that is live
        in another process, else the last one."""
        ...

    def look_at(self, path: Path) -> None:
        """A run was opened: it may be outside the runs directory, and live."""
        ...

    def live_status(self) -> LiveStatus | None:
        """The run for the status line, or `None`. Called often, so it must be fast."""
        ...

    def train(self, preset: "Preset", *, before: str = "", remedy: str = "") -> None:
        """Start a run of `preset`.

        Args:
            before: the run for which `remedy` was proposed, if this run tries a remedy.

        Raises:
            SlmTuiError: it cannot start, with what to do.
        """
        ...

    def resume(
        self,
        run: "Run",
        more_steps: int = 0,
        preset: "Preset | None" = None,
        *,
        rewarm: bool = False,
    ) -> None:
        """Resume `run`, with the changes in `preset` if given.

        With `rewarm` its learning rate warms up again for the additional steps.

        Raises:
            SlmTuiError: it is finished, damaged, or another run is training.
        """
        ...

    def fork(self, checkpoint: Path, preset: "Preset") -> None:
        """Start a run of `preset` with the weights of `checkpoint`.

        Raises:
            SlmTuiError: it cannot start.
        """
        ...

    def request_quit(self, choice: QuitChoice) -> None:
        """The app is quitting: let the run continue in the background, or save and stop it."""
        ...


class NoWorkshop:
    """Used if the app has no workshop: nothing can be trained."""

    def __init__(self) -> None:
        self.on_start: Callable[[Path], None] | None = None
        self.verdicts: dict[Path, str] = {}

    def start(self) -> None:
        return

    @property
    def is_training(self) -> bool:
        return False

    def training_of(self, run: "Run") -> None:
        return None

    def current_training(self) -> None:
        return None

    def look_at(self, path: Path) -> None:
        return

    def live_status(self) -> LiveStatus | None:
        return None

    def train(self, preset: "Preset", *, before: str = "", remedy: str = "") -> None:
        raise _nothing_trains()

    def resume(
        self,
        run: "Run",
        more_steps: int = 0,
        preset: "Preset | None" = None,
        *,
        rewarm: bool = False,
    ) -> None:
        raise _nothing_trains()

    def fork(self, checkpoint: Path, preset: "Preset") -> None:
        raise _nothing_trains()

    def request_quit(self, choice: QuitChoice) -> None:
        return


def _nothing_trains() -> RunError:
    return RunError("nothing can be trained here", "the app was started without a workshop")
