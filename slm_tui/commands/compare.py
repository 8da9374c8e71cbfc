"""`slm-tui compare`: ranks runs, and shows what differs between them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.errors import RunError, SlmTuiError, cause_of

if TYPE_CHECKING:
    from slm_tui.experiments.report import RunsReport
    from slm_tui.runs.store import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui compare`."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="runs, or a filter such as 'group:vocab val<1.5 model.n_layer>=6'",
    )
    parser.add_argument(
        "--reference", default="", metavar="NAME", help="compare with this one, not with the best"
    )
    parser.add_argument("--csv", default="", metavar="FILE", help="write the table")
    parser.add_argument("--png", default="", metavar="FILE", help="write the charts")
    parser.add_argument("--svg", default="", metavar="FILE", help="write the charts")
    parser.add_argument(
        "--markdown", default="", metavar="FILE", help="write a report with its picture"
    )
    shared.add_json(parser)
    parser.set_defaults(command=compare)


def compare(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        SlmTuiError: a run does not exist, or a file cannot be written.
    """
    from slm_tui.commands.suite_report import say_comparison
    from slm_tui.experiments import report as reports

    report = reports.of_runs(_found(options.runs), options.reference)
    written = False
    for name, write in (
        (options.csv, _write_csv),
        (options.png, _write_picture),
        (options.svg, _write_picture),
        (options.markdown, _write_markdown),
    ):
        if name:
            path = Path(name).expanduser()
            try:
                write(report, path)
            except OSError as error:
                raise SlmTuiError(f"{name} cannot be written", cause_of(error)) from None
            except ImportError:
                raise SlmTuiError(
                    f"{name} cannot be drawn",
                    "matplotlib is not installed",
                    "install it: pip install 'slm-tui[plots]'",
                ) from None
            output.say(f"wrote {name}")
            written = True
    if options.json:
        output.say_json(report.to_dict())
    elif not written:
        say_comparison(report)
    return 0


def _found(words: list[str]) -> "list[Run]":
    """The runs that the command line names, or that match its filter.

    Raises:
        SlmTuiError: a name matches no run, or the filter is wrong or matches none.
    """
    from slm_tui.runs import store

    try:
        return [store.find(word) for word in words]
    except RunError as error:
        if len(words) > 1 and not any(set(word) & set(":<>=") for word in words):
            raise
        first = error
    from slm_tui.runs import catalog

    found = catalog.matching(" ".join(words))
    if not found:
        if not any(set(word) & set(":<>=") for word in words):
            raise first
        raise RunError(f"no run matches {' '.join(words)!r}", "", "see `slm-tui runs list`")
    return found


def _write_csv(report: "RunsReport", path: Path) -> None:
    from slm_tui.experiments.table import csv_of

    path.write_text(csv_of(report), encoding="utf-8")


def _write_picture(report: "RunsReport", path: Path) -> None:
    from slm_tui.experiments.picture import comparison

    is_svg = path.suffix.lower() == ".svg"
    path.write_bytes(comparison(report, "svg" if is_svg else "png"))


def _write_markdown(report: "RunsReport", path: Path) -> None:
    from slm_tui.experiments.markdown import write_report

    write_report(report, path)
