"""Training while generators in the same process generate without end.

    python -m tests.benchmarks.chat_loop SIZE CORPUS WARMUP_SECONDS SECONDS SPEAKERS

Prints the training's tokens per second, as the mean over all steps because the generators' share of
the time is what is measured, and the tokens per second of all generators together.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slm_tui.config.preset import Preset
from slm_tui.training.allocator import keep_big_blocks
from tests.benchmarks.sizes import preset

_LOOK_SECONDS = 0.02


class _Talk:
    """Generators that share a lock and start over whenever a text ends."""

    def __init__(self, checkpoint: Path, many: int) -> None:
        from slm_tui.live.fair_lock import FairLock
        from slm_tui.live.generation_thread import GenerationThread

        lock = FairLock()
        self.generators = [GenerationThread(lock) for _ in range(many)]
        self._ended = threading.Event()
        self._written = 0
        for generator in self.generators:
            generator.load(checkpoint)
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Tokens generated so far."""
        return self._written + sum(generator.poll().tokens for generator in self.generators)

    def _main(self) -> None:
        from slm_tui.generation.sampling import SamplingSettings

        seed = 0
        while not self._ended.wait(_LOOK_SECONDS):
            for generator in self.generators:
                generation = generator.poll()
                if generation.error is not None:
                    raise generation.error
                if generation.state == "ready":
                    seed += 1
                    self._written += generation.tokens
                    generator.complete("Once", SamplingSettings(seed=seed, max_tokens=100_000))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for generator in self.generators:
            generator.close()


def measure(
    size: str, corpus: Path, warmup: float, seconds: float, many: int
) -> tuple[float, float]:
    """Tokens per second: trained, generated."""
    keep_big_blocks()
    from slm_tui.config import overrides
    from slm_tui.corpus.prepare import load
    from slm_tui.training import checkpoint
    from slm_tui.training.control import Control
    from slm_tui.training.events import Event, Failed, Stepped
    from slm_tui.training.trainer import Trainer

    chosen = overrides.apply(preset(size), ["training.threads=0"])
    data, control = load(corpus), Control()
    marks: list[tuple[float, int]] = []

    def follow(event: Event) -> None:
        if isinstance(event, Failed):
            raise RuntimeError(event.error)
        if isinstance(event, Stepped):
            marks.append((time.monotonic(), talk.written))
            if marks[-1][0] - marks[0][0] >= warmup + seconds:
                control.stop()

    with tempfile.TemporaryDirectory() as directory:
        first = Path(directory) / "first"
        Trainer(_short(chosen), data, first, lambda event: None).run()
        with _talking(checkpoint.all_in(first)[-1], many) as talk:
            Trainer(chosen, data, Path(directory) / "run", follow, control).run()
    warm = [mark for mark in marks if mark[0] - marks[0][0] >= warmup]
    (start, had), (end, has) = warm[0], warm[-1]
    trained = (len(warm) - 1) * chosen.tokens_per_step
    return trained / (end - start), (has - had) / (end - start)


def _short(chosen: Preset) -> Preset:
    """A training of a few steps, for a checkpoint to generate with."""
    from slm_tui.config import overrides

    return overrides.apply(chosen, ["training.max_steps=3"])


@contextmanager
def _talking(saved: Path, many: int) -> Iterator[_Talk]:
    talk = _Talk(saved, many)
    try:
        while any(not generator.poll().tokens for generator in talk.generators):
            time.sleep(_LOOK_SECONDS)
        yield talk
    finally:
        talk.close()


if __name__ == "__main__":
    arguments = sys.argv
    print(
        *measure(
            arguments[1],
            Path(arguments[2]),
            float(arguments[3]),
            float(arguments[4]),
            int(arguments[5]),
        )
    )
