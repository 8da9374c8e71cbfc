"""Evaluates checkpoints for the screen, in a thread that leaves a training its cores."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slm_tui.errors import SlmTuiError
from slm_tui.live.background import Background
from slm_tui.runs import evaluate, evaluation_results, store
from slm_tui.runs.evaluation_report import lines
from slm_tui.runs.evaluation_results import EvaluationSettings
from slm_tui.runs.info import is_run, run_of
from slm_tui.runs.store import Run

if TYPE_CHECKING:
    from slm_tui.corpus.progress import Progress

_ANY_WIDTH = 80
State = Literal["working", "ready", "failed", "cancelled"]


@dataclass(frozen=True)
class EvaluationSnapshot:
    """The current state. `is_saved` means that the report was saved earlier."""

    state: State = "working"
    progress: "Progress | None" = None
    report: dict[str, Any] | None = None
    is_saved: bool = False
    error: SlmTuiError | None = None
    note: str = ""


class EvaluationWorker:
    """One evaluation.

    Args:
        where: checkpoints, or runs whose best checkpoint is evaluated.
        is_training: whether this process is also training; then one CPU thread is used.
        again: ignore a saved report.
    """

    def __init__(
        self,
        where: Sequence[Path],
        settings: EvaluationSettings,
        *,
        is_training: bool,
        again: bool = False,
    ) -> None:
        self._background = Background("evaluation", EvaluationSnapshot())
        self._where, self._settings = tuple(where), settings
        self._is_training, self._again = is_training, again

    @property
    def snapshot(self) -> EvaluationSnapshot:
        """The current state."""
        return self._background.snapshot

    def start(self) -> None:
        """Start."""
        self._background.start(
            self._work,
            lambda error: EvaluationSnapshot("failed", error=error),
            "the evaluation failed",
        )

    def cancel(self) -> None:
        """Stop as soon as possible, without writing a report."""
        self._background.cancel()

    def wait(self, seconds: float) -> None:
        """Wait at most `seconds` until it is done."""
        self._background.wait(seconds)

    def _work(self, cancel: threading.Event) -> EvaluationSnapshot:
        from slm_tui.corpus.progress import Cancelled

        try:
            return self._result(cancel)
        except Cancelled:
            return EvaluationSnapshot("cancelled")

    def _result(self, cancel: threading.Event) -> EvaluationSnapshot:
        checkpoints = [
            store.checkpoint_of(Run(path)) if is_run(path) else path for path in self._where
        ]
        if not self._again:
            saved = evaluation_results.saved_report(checkpoints, self._settings)
            if saved is not None and _can_be_read(saved):
                return EvaluationSnapshot("ready", report=saved, is_saved=True)
        report, generations = self._evaluate(checkpoints, cancel)
        run = run_of(checkpoints[0].resolve())
        note = ""
        if run is not None:
            try:
                evaluation_results.write(report, run, generations)
            except SlmTuiError as error:
                note = str(error)
        return EvaluationSnapshot("ready", report=report, note=note)

    def _evaluate(
        self, checkpoints: list[Path], cancel: threading.Event
    ) -> tuple[dict[str, Any], str]:
        import torch

        from slm_tui.corpus.parallel import cores
        from slm_tui.training.threads import sharing

        torch.set_num_threads(1 if self._is_training else cores())
        with sharing() if self._is_training else contextlib.nullcontext():
            return evaluate.evaluate(
                checkpoints,
                self._settings,
                progress=lambda one: self._background.publish(
                    EvaluationSnapshot(progress=one), cancel
                ),
                cancel=cancel,
            )


def _can_be_read(report: dict[str, Any]) -> bool:
    """Whether a saved report has everything that is shown; if not, evaluate again."""
    try:
        lines(report, _ANY_WIDTH)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return False
    return isinstance(report.get("timestamp"), str)
