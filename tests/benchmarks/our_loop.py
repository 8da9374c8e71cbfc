"""The program's own `Trainer` on the same shape, timed like the plain loop.

python -m tests.benchmarks.our_loop SIZE CORPUS WARMUP_SECONDS SECONDS [PRECISION [THREADS]]
"""

import sys
import tempfile
import time
from pathlib import Path

from slm_tui.training.allocator import keep_big_blocks
from tests.benchmarks.figures import rate_of
from tests.benchmarks.sizes import THREADS, preset


def train(
    size: str, corpus: Path, warmup: float, seconds: float, precision: str, threads: str
) -> float:
    """Train for `warmup` and then `seconds` seconds; return the `rate_of` the latter's steps."""
    keep_big_blocks()
    from slm_tui.config import overrides
    from slm_tui.corpus.prepare import load
    from slm_tui.training.control import Control
    from slm_tui.training.events import Event, Failed, Stepped
    from slm_tui.training.trainer import Trainer

    changes = [f"training.precision={precision}", f"training.threads={threads}"]
    chosen = overrides.apply(preset(size), changes)
    control = Control()
    began = time.monotonic()
    marks: list[float] = []

    def follow(event: Event) -> None:
        if isinstance(event, Failed):
            raise RuntimeError(event.error)
        if isinstance(event, Stepped):
            marks.append(time.monotonic())
            if marks[-1] - began >= warmup + seconds:
                control.stop()

    with tempfile.TemporaryDirectory() as directory:
        trainer = Trainer(chosen, load(corpus), Path(directory), follow, control)
        began = time.monotonic()
        trainer.run()
    return rate_of([mark for mark in marks if mark - began >= warmup], chosen.tokens_per_step)


if __name__ == "__main__":
    arguments = sys.argv[5:]
    chosen = (
        arguments[0] if arguments else "auto",
        arguments[1] if len(arguments) > 1 else str(THREADS),
    )
    print(train(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), *chosen))
