"""`slm-tui import`: a transformers model becomes a run."""

import argparse
import shlex
import sys

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.progress_line import ProgressLine
from slm_tui.formatting import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui import`."""
    parser.add_argument(
        "model", help="a directory of transformers (GPT2, Llama, Arcee, Qwen3), or OWNER/NAME"
    )
    parser.add_argument("--name", default="", help="the name of the run (default: the model's)")
    parser.add_argument(
        "--context",
        type=shared.whole,
        metavar="TOKENS",
        help="use a shorter context than the model's own",
    )
    shared.add_json(parser)
    parser.set_defaults(command=import_model)


def import_model(options: argparse.Namespace) -> int:
    """Import the model and say what can be done with it."""
    from slm_tui.export import importing

    line = ProgressLine(sys.stderr)
    try:
        result = importing.import_model(
            options.model,
            options.name,
            options.context,
            lambda stage: line.show(lambda _: f"{stage}…", stage.partition(":")[0]),
        )
    finally:
        line.clear()
    run = result.run
    if options.json:
        values = {"run": run.id, "class": result.class_name, "parameters": result.parameters}
        output.say_json({**values, "path": str(run.path), "notes": list(result.notes)})
        return 0
    output.say(f"imported {result.class_name} as {run.id}: {count(result.parameters)} parameters")
    for note in result.notes:
        output.say(note)
    name = shlex.quote(run.id)
    output.say(f"chat with it: slm-tui chat {name}, or in the app: slm-tui --run {name}")
    output.say(f"evaluate it: slm-tui evaluate {name} --text FILE")
    output.say(f"fine-tune it: slm-tui train --from {name} --text FILE")
    return 0
