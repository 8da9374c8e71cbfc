"""Everything that a command prints goes through here.

A terminal obeys what is written to it, and names of runs, files and presets may come from
somebody else: control characters are shown as symbols. Output may also go to a pipe that ends, a
closed descriptor, or a locale without the characters that we use: nothing of that ends a command.
"""

import codecs
import json
import os
import re
import shutil
import sys
from contextlib import suppress
from typing import Any, TextIO

from slm_tui.text import visible

# What stands for our own symbols where they cannot be written.
_PLAIN = {
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "→": "->",
    "←": "<-",
    "↵": "|",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "×": "x",
    "±": "+-",
    "·": ".",
    "★": "*",
    "✓": "+",
    "✗": "x",
    "▲": "!",
    "●": "o",
    "■": "#",
    "█": "#",
    "░": ".",
    "▏": ".",
    "▎": ".",
    "▍": ".",
    "▌": ".",
    "▋": "#",
    "▊": "#",
    "▉": "#",
    "─": "-",
    "␣": "_",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\u00a0": " ",
}
# JSON leaves these as they are; a terminal may obey them, and others cannot show them.
_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")
_HANDLER = "slm_tui_plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: by something like it, or by a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    found = [_alike(char) for char in error.object[error.start : error.end]]
    return "".join(found), error.end


def _alike(char: str) -> str:
    if 0x2400 <= ord(char) < 0x2420:  # the picture of a control character
        return f"^{chr(ord(char) - 0x2400 + 0x40)}"
    return _PLAIN.get(char, "?")


codecs.register_error(_HANDLER, _plain)


def prepare() -> None:
    """Make standard input, output and error usable, whatever this process was started with."""
    # A closed descriptor would be given to the next file that is opened, and written to.
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 - for as long as the process lives
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors=_HANDLER)


def silence(stream: TextIO) -> None:
    """Let what is still written to a pipe that has ended go nowhere."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def say(text: str = "") -> None:
    """Print to standard output, safely, and at once.

    Raises:
        OSError: nobody reads it any more, or the disk is full.
    """
    print(visible(text), flush=True)


def tell(text: str) -> None:
    """Print to standard error, safely. What cannot be written there is lost."""
    with suppress(OSError, ValueError):
        print(visible(text), file=sys.stderr, flush=True)


def say_json(values: Any) -> None:
    """Print one JSON object on a line of standard output.

    Raises:
        OSError: nobody reads it any more, or the disk is full.
    """
    print(json_line(values, sys.stdout), flush=True)


def json_line(values: Any, out: TextIO) -> str:
    """`values` as JSON that `out` can hold: other characters are written as escapes."""
    text = json.dumps(values, ensure_ascii=False)
    text = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode(out.encoding or "utf-8")
    except (UnicodeError, LookupError):
        return json.dumps(values, ensure_ascii=True)
    return text


def say_text(text: str) -> None:
    """Print a text at once, without a line end: safely on a terminal, elsewhere as it is.

    Raises:
        OSError: nobody reads it any more, or the disk is full.
    """
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def columns() -> int:
    """The width of the terminal, less the last column."""
    return max(20, shutil.get_terminal_size().columns - 1)
