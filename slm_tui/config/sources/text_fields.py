"""Setting types for sources that read text: separators, delimiters, encodings."""

import codecs
from typing import Annotated, Any

from pydantic import AfterValidator

from slm_tui.config.fields import reject, setting

_ENCODINGS = ("auto", "utf-8", "utf-16", "cp1252", "latin-1", "cp1251", "gb18030", "shift_jis")
# Python codecs that are not encodings of text files.
_NO_ENCODINGS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}


def _with_line_ends(text: str) -> str:
    """Replace typed `\\n` and `\\t` with the characters they stand for."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


Separator = Annotated[str, AfterValidator(_with_line_ends)]


def _known_encoding(name: str) -> str:
    name = name.strip()
    if name.lower() in ("", "auto"):
        return "auto"
    try:
        # Codecs such as hex, which do not encode text, are refused by `encode` itself.
        " ".encode(name)
        is_known = codecs.lookup(name).name not in _NO_ENCODINGS
    except (LookupError, ValueError):
        is_known = False
    if not is_known:
        raise reject("encoding", f"unknown encoding {name!r}", "utf-8, cp1252 or gb18030")
    return name


Encoding = Annotated[str, AfterValidator(_known_encoding)]


def encoding_setting() -> Any:
    """The `encoding` field of sources that read text files."""
    return setting(
        "auto",
        help="Encoding of the text; auto: from its byte order mark, else UTF-8",
        suggestions=_ENCODINGS,
        advanced=True,
    )


def _one_character(text: str) -> str:
    text = _with_line_ends(text)
    if len(text) > 1 or text in ('"', "\n", "\r"):
        raise reject("delimiter", "it must be one character, not a quote or a line break", "\\t")
    return text


Delimiter = Annotated[str, AfterValidator(_one_character)]
