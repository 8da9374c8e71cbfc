"""`slm-tui serve`: the app in a browser, at an address with a secret token."""

import argparse
import os
import sys

from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED
from slm_tui.errors import SlmTuiError

_PORT = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui serve`."""
    parser.add_argument("--run", default="", metavar="RUN", help="open the app with this run")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen at (default: 127.0.0.1, this machine only)",
    )
    parser.add_argument(
        "--port", type=_port, default=_PORT, help=f"default: {_PORT}; 0: any free port"
    )
    parser.set_defaults(command=serve)


def serve(options: argparse.Namespace) -> int:
    """Serve until ctrl+c or SIGTERM; runs that are training then continue in the background."""
    try:
        from slm_tui.tui.web import access, server
    except ImportError as error:
        raise SlmTuiError(
            "the app cannot be served", str(error), "pip install 'slm-tui[serve]'"
        ) from error
    if options.run:
        from slm_tui.runs import store

        store.find(options.run)
    listener = server.listen(options.host, options.port)
    command = [sys.executable, "-m", "slm_tui.commands.served_app", options.run]
    web = server.WebServer(command, listener, options.host)
    if not access.is_loopback(options.host):
        output.say_stderr(
            "warning: other machines can connect. Whoever has the address can do what you can do "
            "here, and the connection is not encrypted. Safer: leave out --host and use "
            f"ssh -L {_PORT}:127.0.0.1:{_PORT} from the other machine"
        )
    output.say(f"slm-tui is open at {web.url}")
    output.say("Keep the address secret. ctrl+c ends the server; runs continue.")
    server.run(
        web,
        closing=lambda: output.say_stderr("closing the pages …; ctrl+c again does not wait"),
        again=lambda: os._exit(INTERRUPTED),
    )
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)
