"""Foreign text made safe to show: control characters become visible symbols.

Joined characters stay as they are: Persian and Bengali words, flags and families of emoji are
written with format characters that no terminal obeys.
"""

import re
import unicodedata
from collections.abc import Iterable

import wcwidth

# U+2400 block: a picture for each C0 control; U+2421 for DEL.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_REPLACEMENT = "\ufffd"
# Format characters that only join, part or mark: joiners, soft hyphens, marks of direction (not
# the overrides), and signs that are drawn around the digits after them.
_HARMLESS = frozenset(
    map(
        chr,
        [
            0x00AD,
            *range(0x0600, 0x0606),
            0x061C,
            0x06DD,
            0x070F,
            0x0890,
            0x0891,
            0x08E2,
            *range(0x200B, 0x2010),
            *range(0x2060, 0x2065),
            0xFEFF,
            0x110BD,
            0x110CD,
            *range(0x13430, 0x13440),
        ],
    )
)
# The flags of England, Scotland and Wales: a black flag, letters as tags, and an end.
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f")
_TAGS = re.compile("[\U000e0000-\U000e007f]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_ELLIPSIS = "…"


def visible(text: str, *, keep: str = "\n") -> str:
    """Return `text` with every character a terminal might obey replaced by another one.

    Control characters become their Unicode pictures (`\\x1b` -> `␛`), C1 controls,
    bidirectional overrides, lone surrogates and other format characters become `\ufffd`.
    Joiners and other harmless format characters, and those in `keep`, pass unchanged.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(char if char in keep else _shown(char) for char in text)
    return _without_stray_tags(shown) if _TAGS.search(shown) else shown


def _shown(char: str) -> str:
    picture = _PICTURES.get(ord(char))
    if picture is not None:
        return picture
    if char in _HARMLESS or "\U000e0020" <= char <= "\U000e007f":
        return char
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return _REPLACEMENT
    return char


def _without_stray_tags(text: str) -> str:
    """Tags belong to flags; elsewhere they would be text that nobody sees."""
    parts, at = [], 0
    for flag in _TAGGED_FLAG.finditer(text):
        parts += [_TAGS.sub(_REPLACEMENT, text[at : flag.start()]), flag[0]]
        at = flag.end()
    return "".join([*parts, _TAGS.sub(_REPLACEMENT, text[at:])])


def one_line(text: str, width: int | None = None) -> str:
    """`text` on a single safe line, newlines shown as `↵`, cut to `width` terminal cells."""
    line = visible(text.replace("\n", "↵"), keep="")
    return line if width is None else cut(line, width)


def cells(text: str) -> int:
    """How many cells of a terminal a line takes; a control character counts as one."""
    if text.isascii():
        return len(text)
    width = int(wcwidth.wcswidth(text))
    return width if width >= 0 else int(wcwidth.wcswidth(_CONTROLS.sub(" ", text)))


def clusters(text: str) -> Iterable[str]:
    """The characters of a line as a reader counts them: joined ones are one."""
    return text if text.isascii() else wcwidth.iter_graphemes(text)


def cut(text: str, width: int) -> str:
    """A line in at most `width` cells; one that is longer ends with `…`, between characters."""
    # No character takes more than two cells.
    if len(text) * 2 <= width or cells(text) <= width:
        return text
    room, kept = max(0, width - 1), []
    for cluster in clusters(text):
        room -= cells(cluster)
        if room < 0:
            break
        kept.append(cluster)
    return "".join(kept) + _ELLIPSIS


def pad(text: str, width: int, *, right: bool = False) -> str:
    """A line filled with spaces to `width` cells; at its left if it stands at the `right`."""
    spaces = " " * max(0, width - cells(text))
    return spaces + text if right else text + spaces
