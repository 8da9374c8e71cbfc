"""`python -m slm_tui.commands.served_app`: the app of one page of `slm-tui serve`."""

import sys

from slm_tui.commands import output
from slm_tui.commands.app import open_app
from slm_tui.errors import SlmTuiError


def main(run: str = "") -> int:
    """Draw the app to standard output in the web server's format, until the page closes."""
    output.prepare()
    try:
        open_app(run, in_page=True)
    except SlmTuiError as error:
        output.say_stderr(f"slm-tui: {error}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:2]))
