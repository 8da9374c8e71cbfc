"""Steps of the program's own `Trainer` that save, and steps that do not.

    python -m tests.benchmarks.saving_loop SIZE CORPUS_DIRECTORY STEPS EVERY

Prints the median seconds of a step that saves (including the hand-over of its checkpoint), of a
step that neither saves nor follows a save, and of the step right after one.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from slm_tui.training.allocator import keep_big_blocks
from tests.benchmarks.sizes import preset


def steps(size: str, corpus: Path, number: int, every: int) -> tuple[float, float, float]:
    """Median seconds: saving, plain, right after a save."""
    keep_big_blocks()
    from slm_tui.config import overrides
    from slm_tui.corpus.prepare import load
    from slm_tui.training.events import Event, Failed
    from slm_tui.training.trainer import Trainer

    changes = [f"training.max_steps={number}", f"training.checkpoint_every={every}"]
    chosen = overrides.apply(preset(size), changes)

    def follow(event: Event) -> None:
        if isinstance(event, Failed):
            raise RuntimeError(event.error)

    with tempfile.TemporaryDirectory() as directory:
        trainer = Trainer(chosen, load(corpus), Path(directory), follow)
        marks: list[float] = []
        look = trainer._look

        def marked(step: int) -> bool:
            # Called once per step, after its save.
            marks.append(time.perf_counter())
            return look(step)

        trainer._look = marked  # type: ignore[method-assign]
        trainer.run()
    times = {step: marks[step] - marks[step - 1] for step in range(1, len(marks))}
    warm = {step: seconds for step, seconds in times.items() if step > every}
    saving = [seconds for step, seconds in warm.items() if step % every == 0]
    after = [seconds for step, seconds in warm.items() if step % every == 1]
    plain = [seconds for step, seconds in warm.items() if step % every not in (0, 1)]
    return statistics.median(saving), statistics.median(plain), statistics.median(after)


if __name__ == "__main__":
    print(*steps(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
