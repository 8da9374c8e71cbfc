"""`slm-tui export`: writes a checkpoint in another format."""

import argparse
import shlex
from pathlib import Path

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.formatting import size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui export`."""
    parser.add_argument("checkpoint", help="RUN, RUN@best, RUN@last, RUN@500, or a path")
    parser.add_argument("path", type=Path, help="the directory to create")
    parser.add_argument(
        "--format",
        choices=("ternary",),
        required=True,
        help="ternary: weights of -1, 0 and 1 in two bits each; of hgrn and hnet models",
    )
    shared.add_json(parser)
    parser.set_defaults(command=export)


def export(options: argparse.Namespace) -> int:
    """Write the checkpoint, and say how large it is and how to use it."""
    from slm_tui.export import ternary
    from slm_tui.runs import store

    source = store.find_checkpoint(options.checkpoint)
    result = ternary.export(source, options.path.expanduser())
    if options.json:
        output.say_json(
            {
                "path": str(result.path),
                "bytes_before": result.before,
                "bytes_after": result.after,
                "ternary_weights": result.ternary,
                "parameters": result.parameters,
            }
        )
        return 0
    output.say(
        f"saved {result.path}: {size(result.after)} instead of {size(result.before)}, "
        f"{result.before / result.after:.1f} times smaller; {result.ternary:,} of "
        f"{result.parameters:,} weights take two bits each"
    )
    path = shlex.quote(str(result.path))
    output.say(f"generate text: slm-tui generate {path}")
    output.say(f"chat with it: slm-tui chat {path}, or in the app: slm-tui --run {path}")
    return 0
