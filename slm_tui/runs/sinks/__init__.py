"""Additional logging to TensorBoard, Weights & Biases and MLflow, if the preset enables it.

The run's own files (`recorder.py`) remain the source of truth; these sinks are a view for other
tools and never stop or slow training.
"""

import os
from collections.abc import Callable

from slm_tui.config.preset import Preset
from slm_tui.runs.sinks.contract import Destination
from slm_tui.runs.sinks.feed import SinkFeed
from slm_tui.runs.store import Run
from slm_tui.training.events import Event, Sink, Started, Warned

_CLOSE_SECONDS = 30.0


class Sinks:
    """All destinations in `training.log_to` as one sink. Does nothing if there are none."""

    def __init__(self, feeds: list[SinkFeed]) -> None:
        self._feeds = feeds

    def __call__(self, event: Event) -> None:
        for feed in self._feeds:
            feed(event)

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what is queued and end; after `seconds`, give up and report it."""
        for feed in self._feeds:
            feed.close(seconds)


def open_sinks(
    run: Run, preset: Preset, emit: Sink, stop: Callable[[], None] = lambda: None
) -> Sinks:
    """The sinks of `run`. Nothing is imported or written before training starts.

    Args:
        emit: receives a `Warned` when a sink fails, from that sink's thread.
        stop: stops training gracefully; Weights & Biases has a button for it.
    """
    return Sinks([_feed(name, run, preset, emit, stop) for name in preset.training.log_to])


def _feed(name: str, run: Run, preset: Preset, emit: Sink, stop: Callable[[], None]) -> SinkFeed:
    def warn(text: str) -> None:
        emit(Warned(feed.step, text))

    def begin(started: Started) -> Destination:
        # Imported in the feed's thread, so that training does not wait for it.
        if name == "tensorboard":
            from slm_tui.runs.sinks.tensorboard import TensorBoard

            return TensorBoard(run, preset, started)
        if name == "mlflow":
            # Reports of its use are sent from its import on.
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            from slm_tui.runs.sinks.mlflow import MLflow

            return MLflow(run, preset, started)
        from slm_tui.runs.sinks.wandb import WeightsAndBiases

        return WeightsAndBiases(run, preset, started, warn, stop)

    feed = SinkFeed(name, run.path / name, begin, warn)
    return feed
