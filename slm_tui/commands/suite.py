"""`slm-tui suite`: lists, runs, resumes, stops and reports suites of experiments."""

import argparse
from typing import TYPE_CHECKING

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.work import fork_if_detached, work
from slm_tui.formatting import runs_text

if TYPE_CHECKING:
    from slm_tui.experiments.plan import Plan
    from slm_tui.experiments.suite import Suite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui suite`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for what, line, function in (
        ("list", "list all suites and their progress", _list),
        ("show", "show the runs of a suite and what they cost", _show),
        ("check", "check a suite without training", _check),
        ("run", "train the runs of a suite one after another", _run),
        ("resume", "resume a stopped suite and retry failed runs", _resume),
        (
            "stop",
            "save and stop the current run; remove the others from the queue",
            _stop,
        ),
        ("report", "compare the runs of a suite: table, verdict, lesson", _report),
    ):
        commands.add_parser(what, help=line).set_defaults(command=function, what=what)
    several = commands.choices
    for what in ("show", "check", "run", "report"):
        several[what].add_argument("suite", help="name of a suite, or a .toml file")
    for what in ("resume", "stop"):
        several[what].add_argument("suite", help="name of a suite that was started")
    for what in ("show", "check", "run"):
        shared.add_set(several[what])
        shared.add_text(several[what], "train on this file, directory or dataset instead")
        several[what].add_argument(
            "--seeds", default="", metavar="SEEDS", help="seeds of each variation, e.g. 1,2,3"
        )
    several["run"].add_argument(
        "--again", action="store_true", help="repeat runs that were done before"
    )
    for what in ("run", "resume"):
        several[what].add_argument("--detach", action="store_true", help="train in the background")
    several["report"].add_argument(
        "--markdown", default="", metavar="FILE", help="write the report with its pictures"
    )
    several["report"].add_argument("--csv", default="", metavar="FILE", help="write the table")
    for name in ("list", "show", "run", "resume", "report"):
        shared.add_json(several[name], "print JSON, one object per line")


def _list(options: argparse.Namespace) -> int:
    from slm_tui.commands import suite_report
    from slm_tui.experiments import shelf

    suite_report.say_list(shelf.entries(), as_json=options.json)
    return 0


def _show(options: argparse.Namespace) -> int:
    from slm_tui.commands import suite_report

    suite_report.say_suite(*_planned(options), as_json=options.json)
    return 0


def _check(options: argparse.Namespace) -> int:
    from slm_tui.experiments import shelf
    from slm_tui.experiments.suite import SuiteError

    shelf.get(options.suite)
    try:
        _, planned = _planned(options)
    except SuiteError as error:
        # One line for each problem: a suite may have many.
        for line in error.problems or (str(error),):
            output.say_stderr(f"slm-tui: {line}")
        return 1
    output.say(f"{options.suite}: {runs_text(len(planned.runs))}, all valid")
    return 0


def _planned(options: argparse.Namespace) -> "tuple[Suite, Plan]":
    """The suite of the command line and its runs.

    Raises:
        SlmTuiError: it is not valid.
    """
    from slm_tui.experiments import shelf
    from slm_tui.experiments.plan import plan

    suite = shelf.get(options.suite)
    if options.seeds:
        suite = suite.model_copy(update={"seeds": _seeds(options.seeds)})
    return suite, plan(suite, text=options.text, assignments=options.assignments)


def _seeds(text: str) -> tuple[int, ...]:
    from slm_tui.experiments.suite import SuiteError

    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and int(word) < 2**31 for word in words):
        raise SuiteError(f"{text!r} is not a list of seeds", [], "try --seeds 1,2,3")
    return tuple(dict.fromkeys(int(word) for word in words))


def _run(options: argparse.Namespace) -> int:
    parent = fork_if_detached(options)
    from slm_tui.experiments import started_suite, worker

    _, planned = _planned(options)
    started = started_suite.create(planned, text=options.text, again=options.again)
    worker.start(started)
    return work(options, parent, started)


def _resume(options: argparse.Namespace) -> int:
    parent = fork_if_detached(options)
    from slm_tui.experiments import queue, started_suite, worker

    found = started_suite.find(options.suite)
    if not worker.start(found) and not any(item.suite == found.id for item in queue.runs()):
        text = f"every run of {found.id} is done; see: slm-tui suite report {found.id}"
        parent.release_parent(0, text) if parent.is_held else output.say(text)
        return 0
    return work(options, parent, found)


def _stop(options: argparse.Namespace) -> int:
    from slm_tui.experiments import started_suite
    from slm_tui.experiments.control import stop

    found = started_suite.find(options.suite)
    waiting, running = stop(found)
    if not waiting and not running:
        output.say(f"no run of {found.id} is waiting or training")
        return 0
    parts = []
    if running:
        parts.append(f"saved and stopped {running}")
    if waiting:
        parts.append(f"removed {runs_text(waiting)} from the queue")
    output.say(f"{'; '.join(parts)}\nresume with: slm-tui suite resume {found.id}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from slm_tui.commands import suite_report

    suite_report.say_report(options)
    return 0
