"""`slm-tui export`: writes a checkpoint in another format."""

import argparse
import sys
from pathlib import Path

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.progress_line import ProgressLine
from slm_tui.errors import SlmTuiError
from slm_tui.export.catalog import FORMATS, WEIGHT_TYPES, families_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui export`."""
    parser.add_argument("checkpoint", help="RUN, RUN@best, RUN@last, RUN@500, or a path")
    parser.add_argument("path", type=Path, help="the directory or file to create")
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        required=True,
        help="; ".join(
            f"{one.name}: {one.help} ({families_text(one)})" for one in FORMATS.values()
        ),
    )
    parser.add_argument(
        "--type",
        choices=WEIGHT_TYPES,
        help="how gguf stores matrices (default: f32, exact; q8_0 takes about a quarter)",
    )
    shared.add_json(parser)
    parser.set_defaults(command=export)


def export(options: argparse.Namespace) -> int:
    """Write the checkpoint, and say how large it is and how to use it."""
    from slm_tui.export import formats
    from slm_tui.runs import store

    if options.type and options.format != "gguf":
        raise SlmTuiError("--type is for gguf files", "", f"omit it with {options.format}")
    source = store.find_checkpoint(options.checkpoint)
    line = ProgressLine(sys.stderr)
    try:
        result = formats.export(
            options.format,
            source,
            options.path.expanduser(),
            lambda stage: _show(line, stage),
            options.type or WEIGHT_TYPES[0],
        )
    finally:
        line.clear()
    if options.json:
        usage = {one.purpose: one.command for one in result.usage}
        output.say_json({"path": str(result.path), **result.details, "usage": usage})
        return 0
    output.say(result.summary)
    for note in result.notes:
        output.say(note)
    for one in result.usage:
        output.say(f"{one.purpose}: {one.command}")
    return 0


def _show(line: ProgressLine, stage: str) -> None:
    if sys.stderr.isatty():
        line.show(lambda _: f"{stage}…", stage)
