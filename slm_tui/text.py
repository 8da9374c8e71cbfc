"""Foreign text made safe to show: control characters become visible symbols."""

import unicodedata

# U+2400 block: a picture for each C0 control; U+2421 for DEL.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_REPLACEMENT = "\ufffd"


def visible(text: str, *, keep: str = "\n") -> str:
    """Return `text` with every character a terminal might obey replaced.

    Control characters become their Unicode pictures (`\\x1b` -> `␛`), C1 controls,
    bidirectional overrides, lone surrogates and other format characters become `\ufffd`.
    Characters in `keep` pass unchanged.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep else _shown(char) for char in text)


def _shown(char: str) -> str:
    picture = _PICTURES.get(ord(char))
    if picture is not None:
        return picture
    if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return _REPLACEMENT
    return char


def one_line(text: str, width: int | None = None) -> str:
    """`text` on a single safe line, newlines shown as `↵`, cut to `width` characters."""
    line = visible(text.replace("\n", "↵"), keep="")
    if width is not None and len(line) > width:
        return line[: max(0, width - 1)] + "…"
    return line
