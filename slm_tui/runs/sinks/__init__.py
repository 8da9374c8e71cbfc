"""Where else a run is logged: TensorBoard and Weights & Biases, as the preset asks.

The files of the run (`recorder.py`) stay the truth; what is here is a view of them for other
tools, and never stops or slows training.
"""

from collections.abc import Callable

from slm_tui.config.preset import Preset
from slm_tui.runs.sinks.contract import Destination
from slm_tui.runs.sinks.feed import SinkFeed
from slm_tui.runs.store import Run
from slm_tui.training.events import Event, Sink, Started, Warned

_CLOSE_SECONDS = 30.0


class Sinks:
    """All that `training.log_to` names, as one sink. Does nothing where it names none."""

    def __init__(self, feeds: list[SinkFeed]) -> None:
        self._feeds = feeds

    def __call__(self, event: Event) -> None:
        for feed in self._feeds:
            feed(event)

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what waits and end; what takes longer than `seconds` is left and reported."""
        for feed in self._feeds:
            feed.close(seconds)


def open_sinks(
    run: Run, preset: Preset, emit: Sink, stop: Callable[[], None] = lambda: None
) -> Sinks:
    """The sinks of `run`. Nothing is imported or written before training has started.

    Args:
        emit: receives a `Warned` when one of them fails, from a thread of theirs.
        stop: ends the training in order; Weights & Biases has a button for it.
    """
    return Sinks([_feed(name, run, preset, emit, stop) for name in preset.training.log_to])


def _feed(name: str, run: Run, preset: Preset, emit: Sink, stop: Callable[[], None]) -> SinkFeed:
    def warn(text: str) -> None:
        emit(Warned(feed.step, text))

    def begin(started: Started) -> Destination:
        # Imported in the feed's thread: training has begun, and does not wait for it.
        if name == "tensorboard":
            from slm_tui.runs.sinks.tensorboard import TensorBoard

            return TensorBoard(run, preset, started)
        from slm_tui.runs.sinks.wandb import WeightsAndBiases

        return WeightsAndBiases(run, preset, started, warn, stop)

    feed = SinkFeed(name, run.path / name, begin, warn)
    return feed
