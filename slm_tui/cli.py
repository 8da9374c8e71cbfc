"""The `slm-tui` command: its argument parser, and how a command ends."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from slm_tui import __version__
from slm_tui.commands import output
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.text import visible

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

# Name, module in `slm_tui.commands`, and help. A module declares the options of its command in
# `add_arguments(parser)`, which also sets `command`, the function that runs it. The module is
# imported only when its command is given, and imports what the command needs only when it runs.
COMMANDS = (
    ("train", "train", "train a preset or resume a run"),
    ("presets", "presets", "list, show, check and copy presets"),
    ("data", "data", "prepare, measure and sample the text of a preset, or any text"),
    ("runs", "runs", "list, show, follow, steer, rename and delete runs"),
    ("checkpoints", "checkpoints", "list, keep, label, promote and delete checkpoints"),
    ("suite", "suite", "run suites of experiments and compare their runs"),
    ("queue", "queue", "list, add, reorder and train queued runs"),
    ("compare", "compare", "compare runs: ranking, settings that differ, pictures"),
    ("evaluate", "evaluate", "evaluate checkpoints, alone or side by side"),
    ("generate", "generate", "generate text with a checkpoint"),
    ("chat", "chat", "chat with a checkpoint line by line, also through pipes"),
    ("export", "export", "write a checkpoint in another format"),
    ("import", "import_model", "make a run of a transformers model"),
    ("race", "race", "time the fastest known way to a loss beside the plain one"),
    ("serve", "serve", "open the app in a browser"),
    ("bench", "bench", "measure training speed and find the fastest settings"),
    ("doctor", "doctor", "check the device, versions, paths and terminal"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0 is success, 1 a reported error, 2 wrong usage, 130 an interruption.
    """
    output.prepare()
    # Looking for them among all installed packages takes longer than reading the presets.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    if options.debug:
        _trace_failures()
    try:
        return command(options)
    except SlmTuiError as error:
        return _explain(str(error), options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        output.silence(sys.stdout)
        return 0
    except Exception as error:  # noqa: BLE001 - users see one line, not a traceback
        return _explain(in_words(error), options)


def _trace_failures() -> None:
    """Show the tracebacks that threads log: training runs in its own thread."""
    import logging

    logging.basicConfig(stream=sys.stderr)
    logging.getLogger("slm_tui").setLevel(logging.DEBUG)


def _explain(text: str, options: argparse.Namespace) -> int:
    if options.debug:
        traceback.print_exc()
    output.say_stderr(f"slm-tui: {text}")
    return 1


class _Formatter(argparse.HelpFormatter):
    """Keeps each command on one line: argparse forgets the indent of the longest one."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for name in action.choices or () if isinstance(action.choices, dict) else ():
            length = len(name) + 2 * self._indent_increment
            self._action_max_length = max(self._action_max_length, length)


class _Parser(argparse.ArgumentParser):
    """Takes the options of a command from its module once the command is given."""

    module = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.module:
            module, self.module = self.module, ""
            import_module(f"slm_tui.commands.{module}").add_arguments(self)
        return super().parse_known_args(args, namespace)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        # It may quote command line arguments: names of files that others chose.
        super()._print_message(visible(message), file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="slm-tui",
        description="Train, watch and talk to small language models. No command: open the app.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"slm-tui {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--run", default="", metavar="RUN", help="open the app with this run")
    parser.set_defaults(command=_app)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, module, line in COMMANDS:
        commands.add_parser(name, help=line).module = module
    return parser


def _app(options: argparse.Namespace) -> int:
    from slm_tui.commands.app import open_app

    open_app(options.run)
