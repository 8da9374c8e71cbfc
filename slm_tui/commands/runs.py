"""`slm-tui runs`: lists, shows and manages runs."""

import argparse
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.errors import RunError
from slm_tui.formatting import clock, count
from slm_tui.text import one_line, pad

if TYPE_CHECKING:
    from slm_tui.runs.store import Run, RunInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui runs`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for what, line in (
        ("list", "list all runs, newest first"),
        ("show", "show a run and its checkpoints"),
        ("rename", "rename a run"),
        ("pin", "keep a run at the top of lists"),
        ("unpin", "no longer keep a run at the top"),
        ("delete", "move a run to the trash"),
        ("restore", "restore a deleted run"),
        ("follow", "watch a run that another process is training"),
        ("steer", "send a request to the process that trains a run"),
    ):
        one = commands.add_parser(what, help=line)
        one.set_defaults(command=runs, what=what)
    several = commands.choices
    shared.add_json(several["list"], "print one JSON object per line")
    several["list"].add_argument(
        "filter", nargs="*", help="show only matching runs, e.g. group:vocab val<1.5 state:done"
    )
    shared.add_json(several["show"])
    shared.add_json(several["follow"], "print the status as one JSON object per change")
    for what in ("show", "rename", "pin", "unpin", "delete", "restore", "follow", "steer"):
        several[what].add_argument("run", help="name, unique prefix, last, or a path")
    several["rename"].add_argument("name", help="the new name")
    several["steer"].add_argument(
        "request",
        choices=("pause", "continue", "stop", "save", "evaluate", "sample", "rate", "extend"),
        help="rate takes a FACTOR, extend a number of STEPS",
    )
    several["steer"].add_argument("value", nargs="?", help="FACTOR or STEPS")
    shared.add_json(several["steer"])
    several["follow"].set_defaults(command=_follow)
    several["steer"].set_defaults(command=_steer)


def _follow(options: argparse.Namespace) -> int:
    from slm_tui.commands.steer import follow

    return follow(options)


def _steer(options: argparse.Namespace) -> int:
    from slm_tui.commands.steer import steer

    return steer(options)


def runs(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    from slm_tui.runs import store

    if options.what == "list":
        _list(" ".join(options.filter), as_json=options.json)
    elif options.what == "restore":
        output.say(f"restored {store.restore(options.run).id}")
    else:
        run = store.find(options.run)
        if options.what == "show":
            _show(run, as_json=options.json)
        elif options.what in ("pin", "unpin"):
            _pin(run, on=options.what == "pin")
        elif options.what == "rename":
            store.rename(run, options.name)
            output.say(f"{run.id} is now called {options.name}")
        else:
            store.delete(run)
            output.say(
                f"moved {run.id} to the trash; restore it with: slm-tui runs restore {run.id}"
            )
    return 0


def _pin(run: "Run", *, on: bool) -> None:
    from slm_tui.runs import catalog

    catalog.pin(run, on=on)
    output.say(f"{run.id} is {'pinned' if on else 'no longer pinned'}")


def _list(text: str, *, as_json: bool) -> None:
    from slm_tui.runs import catalog

    runs = catalog.matching(text)
    if not runs and not as_json:
        nothing = "no runs yet; start one with: slm-tui train stories-tiny"
        output.say(nothing if not text else f"no run matches {text!r}")
    for run in runs:
        try:
            info = run.info()
        except RunError as error:
            if as_json:
                output.say_json({"run": run.id, "state": "damaged", "error": str(error)})
            else:
                output.say(f"{pad(one_line(run.id), 44)} {'damaged':12} {one_line(error.why)}")
            continue
        if as_json:
            output.say_json(_values(run, info))
        else:
            best = f"{info.best_bpb:.3f}" if info.best_bpb is not None else "-"
            steps = f"{info.step:,}/{info.max_steps:,}"
            output.say(
                f"{pad(one_line(run.id), 44)} {info.state:12} {steps:>15} steps  "
                f"best {best:>6} bits per byte"
            )
    _write_missing_results(runs)


def _write_missing_results(runs: list["Run"]) -> None:
    """Write summaries of runs whose process was killed right after the last step."""
    from slm_tui.runs import results

    if any(results.is_missing(run) for run in runs):
        results.catch_up(runs)


def _values(run: "Run", info: "RunInfo") -> dict[str, Any]:
    from slm_tui.formatting import finite

    values = {"run": run.id, "path": str(run.path), **asdict(info)}
    return dict(finite(values))


def _show(run: "Run", *, as_json: bool) -> None:
    from slm_tui.formatting import finite
    from slm_tui.runs import evidence
    from slm_tui.training import checkpoint_dir

    info = run.info()
    _write_missing_results([run])
    saved = checkpoint_dir.all_in(run.checkpoints)
    problems = checkpoint_dir.invalid_in(run.checkpoints)
    marks = {name: checkpoint_dir.linked(run.checkpoints, name) for name in checkpoint_dir.LINKS}
    if as_json:
        links = {name: path.name if path else None for name, path in marks.items()}
        names = [path.name for path in saved]
        verdicts = [one.to_dict() for one in evidence.of_run(run)]
        shown = {**_values(run, info), "checkpoints": names, **links, "diagnosis": verdicts}
        output.say_json(finite({**shown, "problems": problems}))
        return
    created = datetime.fromtimestamp(info.created).strftime("%Y-%m-%d %H:%M")
    lines = [
        ("run", f"{run.id} ({info.name})"),
        ("path", str(run.path)),
        ("state", info.state + (f": {one_line(info.error)}" if info.error else "")),
        ("preset", info.preset),
        ("created", created + (f", from {info.parent}" if info.parent else "")),
        ("steps", f"{info.step:,} of {info.max_steps:,}, {clock(info.elapsed_seconds)}"),
        ("tokens seen", count(info.tokens_seen)),
    ]
    if info.val_loss is not None and info.best_loss is not None:
        lines += [
            ("validation loss", f"{info.val_loss:.4f} nats, {info.val_bpb or 0:.4f} bits per byte"),
            ("best", f"{info.best_loss:.4f} nats at step {info.best_step:,}"),
        ]
    if notes := info.facts.get("text_notes"):
        lines.append(("text", str(notes)))
    for label, value in lines:
        output.say(f"{label:16} {one_line(value)}")
    for path in saved:
        names = [name for name, target in marks.items() if target == path]
        names += ["kept"] if checkpoint_dir.is_kept(path) else []
        output.say(f"{'checkpoint':16} {path.name} {' '.join(names)}".rstrip())
    for text in problems:
        output.say(f"{'':16} {one_line(text)}")
    for number, verdict in enumerate(evidence.of_run(run)):
        output.say(f"{'' if number else 'diagnosis':16} {one_line(evidence.summary(verdict))}")
