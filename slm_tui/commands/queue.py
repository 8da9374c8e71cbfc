"""`slm-tui queue`: what trains next."""

import argparse

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.errors import SlmTuiError
from slm_tui.text import one_line, pad


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui queue`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for what, line, function in (
        ("list", "list the queued runs in order", _list),
        ("add", "add a run of a preset at the end", _add),
        ("move", "move a waiting run up or down", _move),
        ("remove", "remove waiting runs from the queue", _remove),
        ("run", "train all queued runs", _run),
        ("stop", "save and stop what the queue trains; `queue run` continues it", _stop),
    ):
        commands.add_parser(what, help=line).set_defaults(command=function, what=what)
    several = commands.choices
    shared.add_json(several["list"], "print one JSON object per line")
    several["add"].add_argument("preset", help="preset name or .toml file")
    shared.add_set(several["add"])
    shared.add_text(several["add"])
    several["add"].add_argument("--name", default="", help="name of the run")
    several["move"].add_argument("number", type=shared.whole, help="as `queue list` shows it")
    several["move"].add_argument("by", type=_places, help="places: -1 is earlier, 1 later")
    several["remove"].add_argument("numbers", type=shared.whole, nargs="+", metavar="NUMBER")
    several["run"].add_argument("--detach", action="store_true", help="train in the background")
    shared.add_json(several["run"], "print one JSON object per event, one per line")


def _places(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _list(options: argparse.Namespace) -> int:
    from slm_tui.experiments import queue

    runs = queue.runs()
    if not runs and not options.json:
        output.say("the queue is empty; add a run: slm-tui queue add stories-tiny")
    for item in runs:
        state = "training" if item.running else "waiting"
        if options.json:
            values = {"id": item.id, "name": item.name, "state": state, "suite": item.suite}
            output.say_json({**values, "seed": item.seed, "run": item.run})
            continue
        of = f"  {item.suite}" if item.suite else ""
        output.say(f"{item.id:5}  {state:8}  {pad(one_line(item.name), 32)}{of}".rstrip())
    if any(not item.running for item in runs) and not options.json and not queue.has_worker():
        output.say("they are not training yet; start with: slm-tui queue run")
    return 0


def _add(options: argparse.Namespace) -> int:
    from slm_tui.config import library, overrides, text_location
    from slm_tui.experiments import queue
    from slm_tui.paths import check_name

    preset = library.get(options.preset)
    if options.text:
        preset = text_location.reading(preset, options.text)
    preset = overrides.apply(preset, options.assignments)
    name = check_name(options.name, "run name") if options.name else ""
    (added,) = queue.add([queue.queued(preset, name)])
    output.say(f"{added.name} is number {added.id} of the queue")
    if not queue.has_worker():
        output.say("the queue is not running; start with: slm-tui queue run")
    return 0


def _move(options: argparse.Namespace) -> int:
    from slm_tui.experiments import queue

    queue.move(options.number, options.by)
    return 0


def _remove(options: argparse.Namespace) -> int:
    from slm_tui.experiments import queue
    from slm_tui.experiments.started_suite import StartedSuite
    from slm_tui.paths import suites_dir

    wanted = set(options.numbers)
    gone = queue.remove(wanted)
    for item in gone:
        if item.suite:
            StartedSuite(suites_dir() / item.suite).set(item.index, state="stopped")
        output.say(f"{item.name} was removed from the queue")
    missing = sorted(wanted - {item.id for item in gone})
    if missing:
        running = {item.id for item in queue.runs() if item.running}
        what = "trains already" if missing[0] in running else "is not in the queue"
        raise SlmTuiError(f"run {missing[0]} {what}", "", "see `slm-tui queue list`")
    return 0


def _stop(options: argparse.Namespace) -> int:
    from slm_tui.experiments import queue

    if not queue.ask_to_stop():
        raise SlmTuiError("no process trains the queue", "", "start one with `slm-tui queue run`")
    output.say("the queue stops: its runs are saved and stay in the queue")
    output.say("continue with: slm-tui queue run")
    return 0


def _run(options: argparse.Namespace) -> int:
    from slm_tui.commands.work import work_on_queue

    return work_on_queue(options)
