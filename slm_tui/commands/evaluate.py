"""`slm-tui evaluate`: evaluates checkpoints, alone or side by side."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from slm_tui import safe_files
from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED, stop_event
from slm_tui.commands.progress_line import CorpusProgress
from slm_tui.errors import RunError, cause_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui evaluate`."""
    add, whole = parser.add_argument, shared.whole
    add("checkpoints", nargs="+", metavar="CHECKPOINT", help="RUN, RUN@best, RUN@500 or a path")
    shared.add_split(parser, "validation")
    shared.add_text(parser, "score this file, directory or dataset instead")
    add("--documents", type=whole, metavar="N", help="score only the first N documents")
    add("--context-bytes", type=whole, metavar="N", help="use at most N bytes of context")
    add("--stride", type=whole, metavar="N", help="tokens between windows (default: half a window)")
    add(
        "--samples",
        type=whole,
        default=10,
        metavar="N",
        help="completions to generate (default: 10)",
    )
    add(
        "--max-tokens",
        type=whole,
        default=100,
        metavar="N",
        help="their maximum length (default: 100)",
    )
    add("--no-generations", action="store_true", help="generate no completions")
    shared.add_device(parser, "auto")
    shared.add_threads(parser)
    add(
        "--output",
        default="",
        metavar="DIR",
        help="directory for the results (default: the run of a single checkpoint)",
    )
    add(
        "--json",
        nargs="?",
        const="-",
        default="",
        metavar="FILE",
        help="write one JSON object to FILE, or to stdout if FILE is - or missing",
    )
    parser.set_defaults(command=evaluate)


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate and print; returns 130 if interrupted. Progress goes to stderr."""
    from slm_tui.corpus.progress import Cancelled
    from slm_tui.runs import evaluate as evaluating
    from slm_tui.runs import evaluation_results, store
    from slm_tui.training.threads import Threads

    checkpoints = [store.find_checkpoint(spec) for spec in options.checkpoints]
    settings = evaluation_results.EvaluationSettings(
        split=options.split,
        text=options.text,
        documents=options.documents,
        context_bytes=options.context_bytes,
        stride=options.stride,
        samples=0 if options.no_generations else options.samples,
        max_tokens=options.max_tokens,
        device=options.device,
    )
    settings.check()
    Threads(options.threads)
    line = CorpusProgress(sys.stderr)
    try:
        with stop_event() as cancel:
            report, generations = evaluating.evaluate(
                checkpoints, settings, progress=line, cancel=cancel
            )
    except Cancelled:
        line.clear()
        output.say_stderr("stopped; nothing was written")
        return INTERRUPTED
    finally:
        line.clear()
    directory = _directory(options, checkpoints)
    problem: RunError | None = None
    if directory is not None:
        try:
            evaluation_results.write(report, directory, generations)
        except RunError as error:
            # Still show results that took minutes to compute.
            directory, problem = None, error
    _show(report, options.json, directory)
    if problem is not None:
        raise problem
    return 0


def _directory(options: argparse.Namespace, checkpoints: list[Path]) -> Path | None:
    """Where the results go: the given directory, else the run of a single checkpoint."""
    from slm_tui.runs.info import run_of

    if options.output:
        return Path(options.output).expanduser()
    return run_of(checkpoints[0].resolve()) if len(checkpoints) == 1 else None


def _show(report: dict[str, Any], target: str, directory: Path | None) -> None:
    from slm_tui.runs.evaluation_report import lines

    if target == "-":
        output.say_json(report)
        return
    width = shutil.get_terminal_size((100, 24)).columns
    for one in lines(report, min(width, 160)):
        output.say(one.text)
    if target:
        path = Path(target).expanduser()
        text = json.dumps(report, ensure_ascii=False, allow_nan=False)
        try:
            safe_files.write_atomically(path, (text + "\n").encode("utf-8", "replace"))
        except OSError as error:
            raise RunError(f"{path} cannot be written", cause_of(error)) from None
    if directory is not None:
        output.say(f"\nresults written to {directory}")
