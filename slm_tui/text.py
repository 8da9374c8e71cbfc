"""Makes untrusted text safe to show: control characters become visible symbols.

Joined characters are unchanged: Persian and Bengali words, flags and emoji families use format
characters that terminals do not interpret.
"""

import re
import unicodedata
from collections.abc import Iterable

# U+2400 block: a symbol for each C0 control; U+2421 for DEL.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_REPLACEMENT = "\ufffd"
# Format characters that only join, separate or mark: joiners, soft hyphens, direction marks (not
# the overrides), and signs that enclose the digits after them.
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
# The flags of England, Scotland and Wales: a black flag, letters as tags, and an end tag.
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f")
_TAGS = re.compile("[\U000e0000-\U000e007f]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_ELLIPSIS = "…"
# Characters of one cell that do not join others: ASCII, Latin and the symbols of our screens.
_NARROW = (
    " -~\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027\u2190-\u21ff\u2200-\u22ff"
    "\u2500-\u25fc\u2713-\u2718\u2800-\u28ff"
)
_ALL_NARROW = re.compile(f"[{_NARROW}]*")


def visible(text: str, *, keep: str = "\n") -> str:
    """Return `text` with every character that a terminal might interpret replaced.

    Control characters become their Unicode symbols (`\\x1b` -> `␛`), C1 controls,
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
    """Replace tags outside flags: they would be invisible text."""
    parts, at = [], 0
    for flag in _TAGGED_FLAG.finditer(text):
        parts += [_TAGS.sub(_REPLACEMENT, text[at : flag.start()]), flag[0]]
        at = flag.end()
    return "".join([*parts, _TAGS.sub(_REPLACEMENT, text[at:])])


def one_line(text: str, width: int | None = None) -> str:
    """`text` on a single safe line, newlines shown as `↵`, truncated to `width` terminal cells."""
    line = visible(text.replace("\n", "↵"), keep="")
    return line if width is None else cut(line, width)


def cells(text: str) -> int:
    """The width of a line in terminal cells; a control character counts as one."""
    if text.isascii() or _ALL_NARROW.fullmatch(text):
        return len(text)
    # Only now: importing it takes longer than anything else of this module.
    import wcwidth

    width = int(wcwidth.wcswidth(text))
    return width if width >= 0 else int(wcwidth.wcswidth(_CONTROLS.sub(" ", text)))


def clusters(text: str) -> Iterable[str]:
    """The characters of a line as a reader sees them: joined ones count as one."""
    if text.isascii() or _ALL_NARROW.fullmatch(text):
        return text
    import wcwidth

    return wcwidth.iter_graphemes(text)


def cut(text: str, width: int) -> str:
    """Truncate a line to `width` cells, between characters; a truncated line ends with `…`."""
    # No character is wider than two cells.
    if len(text) * 2 <= width or cells(text) <= width:
        return text
    room, chars = max(0, width - 1), []
    for cluster in clusters(text):
        room -= cells(cluster)
        if room < 0:
            break
        chars.append(cluster)
    return "".join(chars) + _ELLIPSIS


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Pad a line with spaces to `width` cells; `right` aligns it to the right."""
    spaces = " " * max(0, width - cells(text))
    return spaces + text if right else text + spaces
