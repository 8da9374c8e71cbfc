"""The encoding of a text: from its byte order mark or the settings, or otherwise a guess for the
advice in an error. A guess is never used for reading."""

import codecs
from dataclasses import dataclass

AUTO = "auto"
# UTF-32 first: its mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 1 << 18
# `chardet` reports less than this for meaningless bytes.
_LEAST_CONFIDENCE = 0.01
# Supersets of the detected encoding that are much more common in files.
_SHOWN = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252"}


@dataclass(frozen=True)
class Encoding:
    """A codec, the length of the byte order mark, and a note."""

    codec: str
    mark: int = 0
    note: str = ""

    @property
    def name(self) -> str:
        """The usual spelling: `UTF-8`, `UTF-16`, `cp1252`."""
        upper = self.codec.upper()
        if upper.startswith("UTF-"):
            return upper.removesuffix("-LE").removesuffix("-BE")
        return self.codec


def encoding_of(head: bytes, setting: str = AUTO) -> Encoding:
    """The encoding of a text that begins with `head`: as in `setting`, by its mark, or UTF-8."""
    mark, codec = next(((m, c) for m, c in _MARKS if head.startswith(m)), (b"", ""))
    if setting != AUTO:
        requested = codecs.lookup(setting).name
        # The mark gives the byte order and is not text.
        fits = bool(codec) and codec.startswith(requested.removesuffix("-sig"))
        return Encoding(codec if fits else _without_mark(requested), len(mark) if fits else 0)
    if codec and codec != "utf-8":
        name = Encoding(codec).name
        return Encoding(codec, len(mark), f"read as {name}, by its byte order mark")
    return Encoding("utf-8", len(mark))


def _without_mark(codec: str) -> str:
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(codec, codec)


def guess(sample: bytes) -> str:
    """The likely encoding of a text that is not UTF-8; empty if none fits."""
    import chardet

    detection = chardet.detect(sample[:_SAMPLE])
    name, sure = detection["encoding"], detection["confidence"] or 0.0
    if name is None or sure < _LEAST_CONFIDENCE or name.lower() in ("ascii", "utf-8"):
        return ""
    try:
        # It uses names of standards, for which Python has other names.
        return _SHOWN.get(codecs.lookup(name).name, name.lower())
    except LookupError:
        return ""
