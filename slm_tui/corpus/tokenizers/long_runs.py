"""Splits unbroken runs, such as a megabyte of spaces, which tokenizers handle badly.

tiktoken's pattern engine overflows its stack on a whitespace run of some hundred thousand
characters, and its merging needs more than linear time on an unbroken word.
"""

import re

import regex

LONGEST = 4096
# A run longer than LONGEST covers at least one whole block of this size, wherever it starts.
_BLOCK = LONGEST // 2
# Letters and digits, whitespace, everything else: each run from its start, so that the search
# stays linear. Every piece of GPT-2's pattern lies within one of them, except a first space.
# Searches backwards, so that the nearest is found first and in linear time.
_SAFE = regex.compile(r"(?r)(?<=[^\s\x1c-\x1f\x85])[ \n]")
_RUN = re.compile(
    rf"(?<![^\W_])[^\W_]{{{LONGEST + 1},}}"
    rf"|(?<!\s)\s{{{LONGEST + 1},}}"
    rf"|(?<![^\w\s])(?<!_)(?:[^\w\s]|_){{{LONGEST + 1},}}"
)


def cut(text: str) -> list[str]:
    """`text` in pieces that join to it again, split every `LONGEST` characters of longer runs.

    A run is of letters and digits, of whitespace, or of other characters. Text without long
    runs is returned whole.
    """
    if not _suspicious(text):
        return [text]
    parts, start = [], 0
    for run in _RUN.finditer(text):
        for at in range(run.start() + LONGEST, run.end(), LONGEST):
            parts.append(text[start:at])
            start = at
    parts.append(text[start:])
    return parts


def safe_cut(text: str, start: int = 0, end: int | None = None) -> int:
    """The last safe split position in `text[start:end]`; `start` if there is none.

    Splitting there changes no token.

    GPT-2's pattern begins a word at every space or line end that follows a visible character.
    """
    match = _SAFE.search(text, start, len(text) if end is None else end)
    return match.start() if match else start


def _suspicious(text: str) -> bool:
    """Whether some block is all whitespace or has none: a quick check, true for few texts."""
    for start in range(0, len(text) - _BLOCK + 1, _BLOCK):
        words = text[start : start + _BLOCK].split(None, 1)
        if not words or len(words[0]) == _BLOCK:
            return True
    return False
