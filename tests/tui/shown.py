"""A home with a library and finished runs with fixed figures, for the snapshots."""

import json
import math
from collections.abc import Callable
from pathlib import Path

from slm_tui.config import library
from slm_tui.live.training_workshop import TrainingWorkshop
from slm_tui.live.workshop import LiveStatus
from slm_tui.runs import store
from slm_tui.runs.recorder import EVALUATION_COLUMNS, TRAINING_COLUMNS
from slm_tui.runs.store import Run, RunInfo

MADE = 1_790_000_000.0  # a moment in 2026
FLOOR = 0.1224
BYTES_PER_TOKEN = 3.2
STORY = (
    ", there was a sweet fox named Bibi, and she lived under an old tree.\n\nOne sunny day, the "
    'fox played with a ball in the house, and the cup fell and broke. "Oh!" she cried.\n\nThe end.'
)


class ShownWorkshop(TrainingWorkshop):
    """A workshop whose status line never changes."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    @property
    def is_training(self) -> bool:
        return True

    def live_status(self) -> LiveStatus:
        return LiveStatus(self._run, "training", 1840, 3000, 49.0, 52_300.0, "● learning")


def make_run(
    preset: str,
    number: int,
    *,
    steps: int,
    rate: float,
    state: str = "done",
    metrics: dict[str, Callable[[int], float]] | None = None,
) -> Run:
    """A run of `preset` with a smooth curve; `rate` is how fast its loss falls, and `metrics`
    are more columns, each with its value at a step."""
    created = store.create(library.get(preset))
    target = created.path.with_name(f"{preset}-2026092{number}-120000")
    created.path.rename(target)
    run = Run(target)
    _write_logs(run, steps, rate, metrics or {})
    best = _val(steps, rate)
    run.write_info(
        RunInfo(
            name=preset,
            preset=preset,
            state=state,
            created=MADE + number * 86_400,
            heartbeat=MADE,
            step=steps,
            max_steps=3000,
            tokens_seen=steps * 1024,
            elapsed_seconds=steps * 0.02,
            tokens_per_second=52_300.0,
            train_loss=_train(steps, rate),
            val_loss=best,
            val_bpb=_bits(best),
            best_loss=best,
            best_step=steps,
            best_bpb=_bits(best),
            facts={
                "parameters": 321_024,
                "n_vocab": 1024,
                "device": "x86_64 CPU",
                "threads": 2,
                "torch": "2.13.0",
                "tokens_per_step": 1024,
                "train_tokens": 1_520_000,
                "val_tokens": 31_000,
                "train_bytes_per_token": BYTES_PER_TOKEN,
                "val_bytes_per_token": BYTES_PER_TOKEN,
                "floor_bits_per_byte": FLOOR,
                "windows_per_epoch": 11_875,
                "corpus": "0" * 24,
            },
        )
    )
    return run


def _train(step: int, rate: float) -> float:
    wave = 0.06 * math.sin(step * 12.9898) * math.cos(step * 4.1414)
    return 0.36 + 6.5 * math.exp(-rate * step / 60) + 0.9 * math.exp(-rate * step / 500) + wave


def _val(step: int, rate: float) -> float:
    return 0.40 + 6.5 * math.exp(-rate * step / 60) + 0.9 * math.exp(-rate * step / 480)


def _bits(nats: float) -> float:
    return nats / math.log(2) / BYTES_PER_TOKEN


def _write_logs(
    run: Run, steps: int, rate: float, metrics: dict[str, Callable[[int], float]]
) -> None:
    rows, evaluations = [], []
    columns = [*TRAINING_COLUMNS, *metrics]
    for step in range(steps + 1):
        loss = _train(step, rate)
        row: dict[str, object] = dict.fromkeys(columns, "")
        row |= {"step": step, "timestamp": MADE + step * 0.02, "elapsed_seconds": step * 0.02}
        row |= {"tokens_seen": step * 1024}
        if step:
            row |= {"learning_rate": 0.005 * min(1, step / 60) * (1 - step / 3100)}
            row |= {"train_loss": loss, "train_bpb": _bits(loss)}
            row |= {"grad_norm": 0.4 + 2 * math.exp(-step / 80) + 0.1 * math.sin(step)}
            row |= {"tokens_per_second": 52_300 + 900 * math.sin(step / 40)}
            row |= {name: value(step) for name, value in metrics.items()}
        if step % 100 == 0:
            val = _val(step, rate)
            row |= {"val_loss": val, "val_bpb": _bits(val)}
            evaluations.append([step, MADE, step * 0.02, val, math.exp(val), _bits(val), 0.05, 1])
        rows.append(",".join(str(row[name]) for name in columns))
    _write(run.path / "training_log.csv", [",".join(columns), *rows])
    lines = [",".join(map(str, values)) for values in evaluations]
    _write(run.path / "eval_log.csv", [",".join(EVALUATION_COLUMNS), *lines])
    samples = [
        {
            "timestamp": MADE,
            "step": step,
            "prompt": "Once upon a time",
            "text": STORY,
            "seconds": 1,
        }
        for step in range(400, steps + 1, 400)
    ]
    _write(run.path / "samples.jsonl", [json.dumps(one) for one in samples])
    events = [{"timestamp": MADE, "event": "started", "step": 0, "max_steps": 3000}]
    events += [
        {
            "timestamp": MADE + step * 0.02,
            "event": "saved",
            "step": step,
            "kind": "best",
            "name": f"step-{step:06}",
            "bytes": 3_860_000,
            "seconds": 0.03,
        }
        for step in range(100, steps + 1, 100)
    ]
    _write(run.path / "events.jsonl", [json.dumps(one) for one in events])


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
