"""Cuts runs without a break, such as a megabyte of spaces, which no tokenizer takes well.

tiktoken's pattern engine overflows its stack on a whitespace run of some hundred thousand
characters, and its merging needs more than linear time on an unbroken word.
"""

import re

import regex

LONGEST = 4096
# A run longer than LONGEST covers at least one whole block of this size, wherever it starts.
_BLOCK = LONGEST // 2
# Letters and digits, whitespace, all else: each run from its own start, so that the search
# stays linear. Every piece of GPT-2's pattern lies within one of them, but for a first space.
# From the end backwards, so that the nearest is found first and in linear time.
_SAFE = regex.compile(r"(?r)(?<=[^\s\x1c-\x1f\x85])[ \n]")
_RUN = re.compile(
    rf"(?<![^\W_])[^\W_]{{{LONGEST + 1},}}"
    rf"|(?<!\s)\s{{{LONGEST + 1},}}"
    rf"|(?<![^\w\s])(?<!_)(?:[^\w\s]|_){{{LONGEST + 1},}}"
)


def cut(text: str) -> list[str]:
    """`text` in parts that join to it again, cut every `LONGEST` characters of longer runs.

    A run is of letters and digits, of whitespace, or of other characters. Text without such
    runs comes back whole.
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
    """The last place in `text[start:end]` where a cut changes no token; `start` if there is none.

    GPT-2's pattern begins a word at every space or line end that follows a visible character.
    """
    found = _SAFE.search(text, start, len(text) if end is None else end)
    return found.start() if found else start


def _suspicious(text: str) -> bool:
    """Whether some block is all whitespace or has none: quick, and true of few texts."""
    for start in range(0, len(text) - _BLOCK + 1, _BLOCK):
        words = text[start : start + _BLOCK].split(None, 1)
        if not words or len(words[0]) == _BLOCK:
            return True
    return False
