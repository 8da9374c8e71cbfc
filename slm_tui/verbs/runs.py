"""`slm-tui runs`: what was trained, on the command line."""

import argparse
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from slm_tui.errors import RunError
from slm_tui.figures import clock, count
from slm_tui.runs import store
from slm_tui.runs.store import Run, RunInfo
from slm_tui.text import visible


def runs(options: argparse.Namespace) -> int:
    """Do what was asked of the runs."""
    if options.what == "list":
        _list(as_json=options.json)
    elif options.what == "restore":
        print(f"restored {store.restore(options.run).id}")
    else:
        run = store.find(options.run)
        if options.what == "show":
            _show(run, as_json=options.json)
        elif options.what == "rename":
            store.rename(run, options.name)
            print(f"{run.id} is now called {options.name}")
        else:
            store.delete(run)
            print(f"moved {run.id} to the trash; bring it back: slm-tui runs restore {run.id}")
    return 0


def _list(*, as_json: bool) -> None:
    found = store.all_runs()
    if not found and not as_json:
        print("no runs yet; start one: slm-tui train stories-tiny")
    for run in found:
        try:
            info = run.info()
        except RunError as error:
            print(json.dumps({"run": run.id, "error": str(error)}) if as_json else str(error))
            continue
        if as_json:
            print(json.dumps(_values(run, info)))
        else:
            best = f"{info.best_bpb:.3f}" if info.best_bpb is not None else "-"
            steps = f"{info.step:,}/{info.max_steps:,}"
            print(f"{run.id:44} {info.state:12} {steps:>15} steps  best {best:>6} bits per byte")


def _values(run: Run, info: RunInfo) -> dict[str, Any]:
    return {"run": run.id, "path": str(run.path), **asdict(info)}


def _show(run: Run, *, as_json: bool) -> None:
    from slm_tui.runs import evidence
    from slm_tui.training import checkpoint

    info = run.info()
    saved = checkpoint.all_in(run.checkpoints)
    marks = {name: checkpoint.linked(run.checkpoints, name) for name in ("best", "last")}
    if as_json:
        links = {name: path.name if path else None for name, path in marks.items()}
        names = [path.name for path in saved]
        verdicts = [one.to_dict() for one in evidence.of_run(run)]
        told = {**_values(run, info), "checkpoints": names, **links, "diagnosis": verdicts}
        print(json.dumps(told))
        return
    created = datetime.fromtimestamp(info.created).strftime("%Y-%m-%d %H:%M")
    lines = [
        ("run", f"{run.id} ({info.name})"),
        ("where", str(run.path)),
        ("state", info.state + (f": {visible(info.error, keep='')}" if info.error else "")),
        ("preset", info.preset),
        ("made", created + (f", from {info.parent}" if info.parent else "")),
        ("steps", f"{info.step:,} of {info.max_steps:,}, {clock(info.elapsed_seconds)}"),
        ("tokens seen", count(info.tokens_seen)),
    ]
    if info.val_loss is not None and info.best_loss is not None:
        lines += [
            ("validation loss", f"{info.val_loss:.4f} nats, {info.val_bpb or 0:.4f} bits per byte"),
            ("best", f"{info.best_loss:.4f} nats at step {info.best_step:,}"),
        ]
    for label, value in lines:
        print(f"{label:16} {value}")
    for path in saved:
        names = [name for name, target in marks.items() if target == path]
        names += ["kept"] if checkpoint.is_kept(path) else []
        print(f"{'checkpoint':16} {path.name} {' '.join(names)}".rstrip())
    for number, verdict in enumerate(evidence.of_run(run)):
        print(f"{'' if number else 'diagnosis':16} {evidence.told(verdict)}")
