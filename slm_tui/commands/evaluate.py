"""`slm-tui evaluate`: how good checkpoints are, alone or side by side."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from threading import Event
from typing import Any

from slm_tui import safe_files
from slm_tui.commands import output
from slm_tui.commands.data import ProgressLine, cancelling
from slm_tui.corpus.progress import Cancelled
from slm_tui.errors import RunError, cause_of
from slm_tui.runs import evaluate as evaluating
from slm_tui.runs import evaluation_results, store
from slm_tui.runs.evaluation_report import lines
from slm_tui.runs.info import run_of

_INTERRUPTED = 130


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate and print; 130 when it was interrupted. Progress goes to stderr."""
    found = [store.find_checkpoint(spec) for spec in options.checkpoints]
    settings = evaluation_results.Settings(
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
    cancel, line = Event(), ProgressLine(sys.stderr)
    try:
        with cancelling(cancel):
            report, generations = evaluating.evaluate(found, settings, progress=line, cancel=cancel)
    except Cancelled:
        line.clear()
        output.tell("stopped; nothing was written")
        return _INTERRUPTED
    finally:
        line.clear()
    directory = _directory(options, found)
    problem: RunError | None = None
    if directory is not None:
        try:
            evaluation_results.write(report, directory, generations)
        except RunError as error:
            # What took minutes is shown all the same.
            directory, problem = None, error
    _show(report, options.json, directory)
    if problem is not None:
        raise problem
    return 0


def _directory(options: argparse.Namespace, found: list[Path]) -> Path | None:
    """Where the results go: as named, else the run of a single checkpoint."""
    if options.output:
        return Path(options.output).expanduser()
    return run_of(found[0].resolve()) if len(found) == 1 else None


def _show(report: dict[str, Any], target: str, directory: Path | None) -> None:
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
        output.say(f"\nwritten to {directory}")
