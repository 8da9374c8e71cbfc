"""Records the curves that the diagnosis is tested on: real runs of the real trainer.

    python -m tests.evaluation.record_curves [NAME]…

Each run is `slm-tui train recorded.toml` with `COMMON` and its own settings below, on a CPU: a
preset of its own, so that changes of the shipped ones change no curve. What is kept of a run, in
`curves/NAME.json`: its command, `run.json`, its warnings, and its log, of which every evaluation
and a mean of every few steps between stay.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from slm_tui.runs import store
from slm_tui.runs.recorder import EVALUATION_COLUMNS, TRAINING_COLUMNS

CURVES = Path(__file__).parent / "curves"
_PRESET = "tests/evaluation/recorded.toml"  # from the root of the repository
COMMON = (
    "model.n_layer=2 model.n_head=2 model.n_embd=64 model.block_size=64 data.documents=3000 "
    "tokenizer.vocab_size=512 training.threads=1 training.sample_every=100000 "
    "training.checkpoint_every=100000 data.split.validation=0.1 training.evaluate_every=20 "
)
RUNS = {
    "healthy": COMMON + "training.max_steps=300",
    "overfitting": COMMON + "training.max_steps=400 data.limit.tokens=4000",
    "underfitting": COMMON
    + "training.max_steps=1500 training.evaluate_every=50 model.n_embd=8 model.n_layer=1 "
    "optimizer.learning_rate=1e-2",
    "rate-too-high": COMMON
    + "training.max_steps=300 optimizer.learning_rate=0.1 schedule.kind=constant",
    "rate-too-low": COMMON + "training.max_steps=300 optimizer.learning_rate=2e-5",
    "rate-modest": COMMON + "training.max_steps=300 optimizer.learning_rate=1e-3",
    "too-hot": COMMON
    + "training.max_steps=400 optimizer.learning_rate=1 optimizer.gradient_clip=0 "
    "schedule.kind=constant schedule.warmup_fraction=0.5 optimizer.weight_decay=0",
    "diverging": COMMON
    + "training.max_steps=400 optimizer.learning_rate=0.5 optimizer.gradient_clip=0 "
    "schedule.kind=constant schedule.warmup_fraction=0.8 optimizer.weight_decay=0 "
    "model.norm=layernorm optimizer.beta2=0.5",
    "non-finite": COMMON
    + "training.max_steps=300 optimizer.learning_rate=1 optimizer.gradient_clip=0 "
    "optimizer.weight_decay=0 model.norm=layernorm optimizer.beta2=0.5 optimizer.eps=1e-12",
    "towards-the-floor": "training.max_steps=8000 data.documents=50000 data.split.validation=0.01 "
    "training.evaluate_every=200 training.sample_every=100000",
}
_KEPT = ("step", "elapsed_seconds", "tokens_seen", "learning_rate", "train_loss", "val_loss")
_KEPT += ("val_bpb", "grad_norm")
_MOST_ROWS = 300


def record(name: str) -> None:
    """Train the run `name` and record its curve."""
    settings = RUNS[name].split()
    command = ["slm-tui", "train", _PRESET, "--device", "cpu", "--json"]
    command += [word for one in settings for word in ("--set", one)]
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "SLM_TUI_HOME": home}
        words = [sys.executable, "-m", "slm_tui", *command[1:]]
        root = Path(__file__).parents[2]
        subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=False, cwd=root)
        path = next((Path(home) / "data" / "runs").glob("*/run.json")).parent
        keep(store.Run(path), name, " ".join(command))


def keep(run: store.Run, name: str, command: str) -> None:
    """Write `curves/NAME.json` from a run's files."""
    with (run.path / "training_log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    every = max(1, -(-len(rows) // _MOST_ROWS))
    rows_to_keep = [row for at, row in enumerate(rows) if at % every == 0 or row["val_loss"]]
    info = json.loads((run.path / "run.json").read_text())
    events = (run.path / "events.jsonl").read_text().splitlines()
    warned = [one for one in map(json.loads, events) if one["event"] == "warned"]
    values = {
        "command": command,
        "run": {key: info[key] for key in ("state", "step", "max_steps", "error", "facts")},
        "preset": run.preset().to_toml(),
        "events": warned[:20],
        "columns": _KEPT,
        "rows": [[_short(row[column]) for column in _KEPT] for row in rows_to_keep],
    }
    CURVES.mkdir(exist_ok=True)
    (CURVES / f"{name}.json").write_text(json.dumps(values, separators=(",", ":")) + "\n")


def replay(name: str, upto: int | None = None) -> store.Run:
    """A run directory with the recorded files, as of step `upto` or the end."""
    values = json.loads((CURVES / f"{name}.json").read_text())
    from slm_tui.config.preset import from_toml

    run = store.create(from_toml(values["preset"]), name)
    rows = [dict(zip(values["columns"], row, strict=True)) for row in values["rows"]]
    if upto is not None:
        rows = [row for row in rows if row["step"] <= upto]
    lines = [",".join(TRAINING_COLUMNS)]
    for row in rows:
        full_row: dict[str, Any] = {"timestamp": 0, "tokens_per_second": 1, **row}
        lines.append(",".join(str(full_row.get(name, "")) for name in TRAINING_COLUMNS))
    (run.path / "training_log.csv").write_text("\n".join(lines) + "\n")
    evaluated = [row for row in rows if row.get("val_loss") not in (None, "")]
    lines = [",".join(EVALUATION_COLUMNS)]
    lines += [",".join(str(row.get(name, "")) for name in EVALUATION_COLUMNS) for row in evaluated]
    (run.path / "eval_log.csv").write_text("\n".join(lines) + "\n")
    events = [one for one in values["events"] if upto is None or one["step"] <= upto]
    (run.path / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    info = run.info()
    for key, value in values["run"].items():
        setattr(info, key, value)
    if upto is not None:
        info.state, info.step, info.error = "stopped", upto, ""
    run.write_info(info)
    return run


def _short(cell: str) -> object:
    return "" if cell == "" else int(cell) if cell.isdigit() else float(f"{float(cell):.5g}")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or RUNS:
        record(wanted)
