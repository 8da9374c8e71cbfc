"""All output of the commands goes through here.

Terminals interpret control characters, and names of runs, files and presets may come from
somebody else: control characters are shown as symbols. Output may also go to a closed pipe, a
closed descriptor, or an encoding that lacks our characters: none of these ends a command.
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

# ASCII replacements of our symbols, for encodings that lack them.
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
# JSON does not escape these; terminals may interpret them or fail to show them.
_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")
_HANDLER = "slm_tui_plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks with similar ones or a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    replacements = [_similar(char) for char in error.object[error.start : error.end]]
    return "".join(replacements), error.end


def _similar(char: str) -> str:
    if 0x2400 <= ord(char) < 0x2420:  # the symbol of a control character
        return f"^{chr(ord(char) - 0x2400 + 0x40)}"
    return _PLAIN.get(char, "?")


codecs.register_error(_HANDLER, _plain)


def prepare() -> None:
    """Make standard input, output and error usable, however the process was started."""
    # A closed descriptor would be reused by the next opened file, and output would go there.
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
    """Discard further output to a closed pipe."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def say(text: str = "") -> None:
    """Print to standard output, escaped and flushed.

    Raises:
        OSError: the reader closed the pipe, or the disk is full.
    """
    print(visible(text), flush=True)


def say_stderr(text: str) -> None:
    """Print to standard error, escaped. Output that cannot be written is dropped."""
    with suppress(OSError, ValueError):
        print(visible(text), file=sys.stderr, flush=True)


def say_json(values: Any) -> None:
    """Print one JSON object on a line of standard output.

    Raises:
        OSError: the reader closed the pipe, or the disk is full.
    """
    print(json_line(values, sys.stdout), flush=True)


def json_line(values: Any, out: TextIO) -> str:
    """`values` as JSON that `out` can hold: other characters are escaped."""
    text = json.dumps(values, ensure_ascii=False)
    text = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode(out.encoding or "utf-8")
    except (UnicodeError, LookupError):
        return json.dumps(values, ensure_ascii=True)
    return text


def say_text(text: str) -> None:
    """Print text without a line break, flushed: escaped on a terminal, elsewhere unchanged.

    Raises:
        OSError: the reader closed the pipe, or the disk is full.
    """
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def columns() -> int:
    """The width of the terminal, minus the last column."""
    return max(20, shutil.get_terminal_size().columns - 1)
