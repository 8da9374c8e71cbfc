"""Run directories for tests: files from the real recorder, checkpoints of a tiny model."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from textual.pilot import Pilot

from slm_tui.config.preset import Preset
from slm_tui.runs import store
from slm_tui.runs.recorder import Recorder
from slm_tui.runs.store import Run
from slm_tui.training.events import Evaluated, Failed, Finished, Started, Stepped
from tests.conftest import make_tiny

STEPS = 100
_FACTS = {
    "parameters": 9_000,
    "n_vocab": 256,
    "device": "a CPU",
    "threads": 1,
    "torch": "2.13.0",
    "tokens_per_step": 64,
    "train_tokens": 5_000,
    "val_tokens": 500,
    "train_bytes_per_token": 1.0,
    "val_bytes_per_token": 1.0,
    "floor_bits_per_byte": 0.5,
    "windows_per_epoch": 312,
    "corpus": "0" * 24,
}


def add_run(
    name: str,
    *,
    preset: Preset | None = None,
    reached: int = STEPS,
    reason: Any = "done",
    error: str = "",
    floor: float = 1.0,
    created: float | None = None,
    checkpoints: Sequence[int] = (),
    best: int | None = None,
) -> Run:
    """A run that reached step `reached` of 100, evaluated every 10 steps."""
    preset = preset or make_tiny()
    run = store.create(preset, name)
    recorder = Recorder(run)
    recorder(Started(0, STEPS, dict(_FACTS)))
    lowest = math.inf
    for step in range(0, reached + 1, 10):
        loss = floor + 4 * math.exp(-step / 20)
        if step:
            recorder(Stepped(step, step * 0.1, step * 64, 0.01, loss, 0.5, 1000.0))
        recorder(Evaluated(step, step * 0.1, loss, loss / math.log(2), loss < lowest, 0.1))
        lowest = min(lowest, loss)
    if error:
        recorder(Failed(reached, error))
    elif reason:
        recorder(Finished(reached, reason))
    recorder.close()
    if created is not None:
        info = run.info()
        info.created = created
        run.write_info(info)
    add_checkpoints(run, preset, checkpoints, best)
    return run


def add_checkpoints(
    run: Run, preset: Preset, steps: Sequence[int], best: int | None = None
) -> None:
    """Real checkpoints at `steps`, initialized with the step as seed; `last` is the highest."""
    if not steps:
        return
    import torch

    from slm_tui.corpus.tokenizers import byte_tokenizer
    from slm_tui.models.build import build
    from slm_tui.training import checkpoint

    tokenizer = byte_tokenizer()
    for step in steps:
        model = build(preset.model, tokenizer.n_vocab, torch.device("cpu"), step)
        weights = {name: value.detach().clone() for name, value in model.named_parameters()}
        state = checkpoint.TrainingState(
            step=step, max_steps=STEPS, n_vocab=tokenizer.n_vocab, preset=preset.to_dict()
        )
        moments = {"exp_avg": torch.zeros(1)}
        snapshot = checkpoint.CheckpointSnapshot(weights, moments, state, tokenizer.to_json())
        checkpoint.write(run.checkpoints, snapshot)
    checkpoint.link(run.checkpoints, "best", checkpoint.name_of(best or steps[-1]))
    checkpoint.link(run.checkpoints, "last", checkpoint.name_of(steps[-1]))


async def until(pilot: Pilot[Any], holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `holds()` is true; fail on a timeout."""
    for _ in range(int(seconds / 0.05)):
        if holds():
            return
        await pilot.pause(0.05)
    assert holds()
