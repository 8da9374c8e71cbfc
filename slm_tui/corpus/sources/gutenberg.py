"""Project Gutenberg's header and licence: where the book between them begins and ends.

A file has both only if a mark that ends the header is near its beginning and a mark that begins the
licence is near its end, each on lines of its own, and what is around them looks like a header and
a licence. Everything else, such as a text about Project Gutenberg, is left as it is.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

HEAD = 1 << 15
"""Characters in which a header must end: the longest known one, with the old small print, has about
20,000."""
TAIL = 1 << 17
"""Characters in which a licence must begin; the current one has about 19,000."""
_LONGEST_LICENCE = 40_000
# After the last line of an old text follow at most a few remarks.
_LONGEST_REMARK = 3_000
_WEAK_BEFORE_STRONG = 400
_FIRST_LINES = 6
_BEGINNING = 4_000

_BOOK = r"PROJECT\s+GUTENBERG(?:\(TM\)|™)?[ \t]+(?:E-?BOOK|E-?TEXT)"
# *** START OF THE PROJECT GUTENBERG EBOOK THE TIME MACHINE ***: a title may fill several lines.
_START = re.compile(
    rf"^[ \t]*\*\*\*[ \t]*START OF (?:THE|THIS) {_BOOK}\b[^*]{{0,400}}\*\*\*[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
# *END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*, until about 2003.
_SMALL_PRINT = re.compile(
    r"^[ \t]*\*END[* ][ \t]*THE SMALL PRINT![^\n]{0,120}(?:\n[^\n]{0,80})?\*END\*[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    rf"^[ \t]*\*\*\*[ \t]*END OF (?:THE|THIS) {_BOOK}\b", re.IGNORECASE | re.MULTILINE
)
# End of the Project Gutenberg Etext of The Time Machine
_LAST_LINE = re.compile(
    r"^[ \t]*\**[ \t]*End of (?:the |this )?Project Gutenberg(?:(?:'s|’s)?[ \t]|\b)[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_NAME = re.compile(r"project\s+gutenberg", re.IGNORECASE)
# Lines that every header has some of, and an essay about headers rarely at its beginning.
_RECORD = re.compile(
    r"^(?:title|author|release date|posting date|language)[ \t]*:|\be-?(?:book|text)[ \t]*#"
    r"|gutenberg\.(?:org|net)|the small print!",
    re.IGNORECASE | re.MULTILINE,
)


class Body(NamedTuple):
    """The text between header and licence: characters `start` to `end` of a file with `total`."""

    start: int
    end: int
    total: int

    @property
    def note(self) -> str:
        """What was left out, for the user."""
        return (
            "Project Gutenberg's header and licence left out "
            f"({self.start:,} and {self.total - self.end:,} characters)"
        )


def mentions(raw: bytes) -> bool:
    """Whether the first bytes of a file, in any encoding of Latin letters, name the project."""
    return b"gutenberg" in raw.replace(b"\0", b"").lower()


def find(pieces: Iterable[str]) -> Body | None:
    """The body of a file, given as pieces with `\\n` as line ends; `None` if it has no such marks.

    Reads no further than `HEAD` characters if there is no header, and holds about `TAIL` otherwise.
    """
    head, start = "", None
    tail, total = "", 0
    for piece in pieces:
        tail, total = (tail + piece)[-TAIL:], total + len(piece)
        if start is None:
            head += piece[: HEAD - len(head)]
            if len(head) < HEAD:
                continue
            start = _start(head)
            if start is None:
                return None
    if start is None:
        start = _start(head)
    if start is None:
        return None
    end = _end(tail)
    if end is None:
        return None
    end += total - len(tail)
    first = start - (total - len(tail))
    has_text = first < 0 or bool(tail[first : end - (total - len(tail))].strip())
    return Body(start, end, total) if start < end and has_text else None


def cut(pieces: Iterable[str], body: Body) -> Iterator[str]:
    """The pieces of a file without what is outside `body`."""
    at = 0
    for piece in pieces:
        yield piece[max(0, body.start - at) : max(0, body.end - at)]
        at += len(piece)


def _start(head: str) -> int | None:
    """Where the header ends."""
    marks = [*_START.finditer(head), *_SMALL_PRINT.finditer(head)]
    end = max((one.end() for one in marks), default=None)
    if end is None:
        return None
    header = head[: min(one.start() for one in marks)]
    lines = [line for line in header.splitlines() if line.strip()]
    if not lines:
        return end
    is_header = _NAME.search("\n".join(lines[:_FIRST_LINES])) and _RECORD.search(header)
    return end if is_header else None


def _end(tail: str) -> int | None:
    """Where the licence begins."""
    strong = next(reversed(list(_END.finditer(tail))), None)
    last_lines = list(_LAST_LINE.finditer(tail))
    if strong is not None:
        licence = tail[strong.start() :]
        begins = licence[:_BEGINNING].partition("\n")[2]
        if len(licence) > _LONGEST_LICENCE or (begins.strip() and not _NAME.search(begins)):
            return None
        near = strong.start() - _WEAK_BEFORE_STRONG
        before = [one.start() for one in last_lines if near <= one.start() < strong.start()]
        return min([*before, strong.start()])
    if not last_lines:
        return None
    remark = tail[last_lines[-1].end() :]
    is_last = len(remark) <= _LONGEST_REMARK
    is_licence = len(remark) <= _LONGEST_LICENCE and bool(_NAME.search(remark[:_BEGINNING]))
    return last_lines[-1].start() if is_last or is_licence else None
