"""What `slm-tui suite list`, `show` and `report` print."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui.commands import output
from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.experiments import costs, summary
from slm_tui.experiments import started_suite as started_suites
from slm_tui.experiments.association import differing
from slm_tui.experiments.plan import Plan
from slm_tui.experiments.report import RunsReport, of_suite
from slm_tui.experiments.shelf import ShelfEntry
from slm_tui.experiments.suite import Suite
from slm_tui.formatting import count, duration, runs_text, size
from slm_tui.text import one_line, pad

if TYPE_CHECKING:
    from slm_tui.experiments.started_suite import StartedSuite


def say_list(entries: list[ShelfEntry], *, as_json: bool) -> None:
    """Every suite, with how far its newest start is."""
    newest: dict[str, StartedSuite] = {}
    for one in reversed(started_suites.all_started()):
        try:
            newest[one.suite().name] = one
        except SlmTuiError as error:
            if not as_json:
                output.say_stderr(f"slm-tui: {error}")
    for entry in entries:
        suite = entry.suite
        started = newest.get(entry.name)
        progress = _progress(started) if started is not None else ""
        if as_json:
            values = suite.to_dict() if suite is not None else {"error": entry.error}
            output.say_json({"suite": entry.name, "builtin": entry.builtin, **values})
        elif suite is None:
            output.say(f"{pad(one_line(entry.name), 16)} damaged: {one_line(entry.error)}")
        else:
            time = duration(60 * suite.minutes) if suite.minutes else ""
            line = f"{pad(entry.name, 16)} {pad(suite.title, 46)} {time:>8}  {progress}"
            output.say(line.rstrip())
    if not as_json:
        output.say("times are for two CPU cores; details: slm-tui suite show NAME")


def _progress(started: "StartedSuite") -> str:
    runs = started.runs()
    ended = sum(run.state in started_suites.GOOD for run in runs)
    failed = sum(run.state == "failed" for run in runs)
    return f"{ended} of {len(runs)} done" + (f", {failed} failed" if failed else "")


def say_suite(suite: Suite, plan: Plan, *, as_json: bool) -> None:
    """What a suite is for, its runs, and what they cost."""
    cost = costs.cost(plan, _calibration())
    if as_json:
        runs = [
            {"variation": run.variation, "seed": run.seed, "preset": run.preset.to_dict()}
            for run in plan.runs
        ]
        output.say_json({**suite.to_dict(), "cost": asdict(cost), "runs": runs})
        return
    output.say(f"{suite.name}: {suite.title}")
    for text in (suite.description, suite.expect and f"Expect: {suite.expect}"):
        if text:
            output.say(text)
    time = f", about {duration(cost.seconds)} on this machine" if cost.seconds else ""
    if not time and suite.minutes:
        time = f", about {duration(60 * suite.minutes)} on two CPU cores"
    disk = f"{size(cost.disk_bytes)} of checkpoints"
    output.say(f"{runs_text(cost.runs)}, {cost.steps:,} steps{time}, {disk}")
    output.say()
    firsts = {run.variation: run for run in reversed(plan.runs)}
    names = plan.variations
    changes = differing([firsts[name].preset for name in names])
    shown = _short_paths(list(changes))
    for at, name in enumerate(names):
        settings = "  ".join(
            f"{shown[path]}={_short(values[at])}" for path, values in changes.items()
        )
        mark = " (reference)" if name == plan.reference else ""
        output.say(f"  {pad(name + mark, 28)} {one_line(settings, 160)}".rstrip())
    seeds = sorted({run.seed for run in plan.runs})
    if len(seeds) > 1:
        output.say(f"seeds {', '.join(map(str, seeds))}")


def _short_paths(paths: list[str]) -> dict[str, str]:
    """The last part of each path; the whole path where two end alike."""
    lasts = [path.rsplit(".", 1)[-1] for path in paths]
    return {
        path: last if lasts.count(last) == 1 else path
        for path, last in zip(paths, lasts, strict=True)
    }


def _short(value: Any) -> str:
    return "unset" if value is None else one_line(str(value), 40)


def _calibration() -> Any:
    """The speed of this machine."""
    from slm_tui.training.calibrate import calibration

    return calibration()


def say_report(options: argparse.Namespace) -> None:
    """Compare the runs of a started suite.

    Raises:
        SlmTuiError: it has not been started, or a file cannot be written.
    """
    started = started_suites.find(options.suite)
    report = of_suite(started)
    if options.csv:
        _write(options.csv, summary.table(summary.results(started)))
    if options.markdown:
        from slm_tui.experiments.markdown import write_report

        write_report(report, Path(options.markdown).expanduser())
        output.say(f"wrote {options.markdown}")
    if options.json:
        output.say_json(report.to_dict())
    elif not options.markdown and not options.csv:
        say_comparison(report)


def _write(name: str, text: str) -> None:
    try:
        Path(name).expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        raise SlmTuiError(f"{name} cannot be written", cause_of(error)) from None
    output.say(f"wrote {name}")


def say_comparison(report: RunsReport) -> None:
    """The ranking, what varied, and the lesson."""
    output.say(f"{report.title}: {report.state}")
    for name, error in report.failures:
        output.say(f"  ✗ {name}: {one_line(error, 300)}")
    if report.ranking is None:
        output.say("no run has a validation loss yet")
        return
    width = max(len(row.name) for row in report.rows)
    output.say(f"{pad('', width)}  seeds   bpb (mean ± spread)  parameters    time")
    for row in report.rows:
        spread = f"± {row.spread:.4f}" if row.spread is not None else ""
        parameters = count(row.parameters) if row.parameters else "–"
        seconds = duration(row.seconds) if row.seconds else "–"
        output.say(
            f"{pad(row.name, width)}  {row.seeds:5}  {row.mean:9.4f} {spread:9}  "
            f"{parameters:>10}  {seconds:>6}"
        )
        if len(report.rows) > 1:
            output.say(f"{pad('', width)}         {row.verdict}")
    for note in report.notes:
        output.say(f"note: {note}")
    if report.associations:
        output.say()
        output.say("settings that vary, and the change in bits per byte associated with them:")
        for line in report.associations:
            output.say(f"  {line}")
    if report.lesson is not None:
        output.say()
        for heading, text in report.lesson:
            output.say(f"{heading}: {text}")
