"""The layout of a CSV-like file: delimiter, quotes, and column names.

Detected from the start of the file by trying; guesses are reported in notes.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Protocol

from slm_tui.corpus.sources.columns import (
    USUAL_CHATS,
    USUAL_COLUMNS,
    USUAL_PAIRS,
    NoRowsError,
    plain,
)
from slm_tui.errors import CorpusError

SAMPLE_ROWS = 2000
_LONGEST_CELL = 1 << 28
_DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITER = "\x1f"
"""Delimiter of a table with a single column: it occurs in no text."""
_USUAL = {*USUAL_COLUMNS, *USUAL_CHATS, *(name for pair in USUAL_PAIRS for name in pair)}
_LONGEST_NAME = 40
# Without a supporting header, a layout is accepted if at least this share of rows fits it.
_REGULAR = 0.9
_SPELLED = {"\t": ("a tab", "tabs"), ",": ("a comma", "commas"), ";": ("a semicolon", "semicolons")}
# Numbers, dates and times.
_NUMBER = re.compile(r"[-+]?[\d.,:/\s-]*\d[\d.,:/\s-]*(?:[eE][-+]?\d+)?%?")


class RowReader(Protocol):
    """What `csv.reader` returns: rows, and the number of lines read."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


@dataclass(frozen=True)
class LayoutSettings:
    """The layout settings of the preset; empty and `auto` mean detect.

    `usual_delimiter` is what the file name suggests, `columns` are the text columns.
    """

    delimiter: str = ""
    header: str = "auto"
    quotes: str = "auto"
    usual_delimiter: str = ","
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class CsvLayout:
    """How the cells of a file are written.

    `quotes` within a cell are `double`, escaped with a `backslash`, or `none`: part of the text;
    `after_space` allows spaces before a quote. `skips` lines come before the rows; `columns` are
    the names, from the header or generated.
    """

    delimiter: str
    quotes: str
    after_space: bool = False
    skips: int = 0
    header: bool = True
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def reader(self, lines: Iterator[str]) -> "RowReader":
        """A reader for this layout; strict, so that no odd quote is overlooked."""
        csv.field_size_limit(_LONGEST_CELL)
        if self.quotes == "none":
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar="\\" if self.quotes == "backslash" else None,
            skipinitialspace=self.after_space,
            strict=True,
        )


@dataclass
class _Trial:
    """The first rows, parsed one way; `regular` is the share as wide as the first row."""

    layout: CsvLayout
    rows: list[list[str]]
    regular: float
    error: CorpusError | None = None
    unclosed: bool = False

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0


def detect(name: str, sample: list[str], settings: LayoutSettings, *, whole: bool) -> CsvLayout:
    """The layout of a file that begins with these lines; `whole` if that is all of it.

    Raises:
        CorpusError: it has no rows, or they cannot be parsed.
    """
    skips = next((at for at, line in enumerate(sample) if line.strip()), len(sample))
    declared = re.fullmatch(r"sep=(.)\n?", sample[skips]) if skips < len(sample) else None
    if declared:
        # Excel writes this as the first line.
        skips += 1
        settings = replace(settings, delimiter=settings.delimiter or declared[1])
    beginning = "".join(sample[skips:])
    layouts = _layouts(settings, skips, beginning)
    trials = [_tried(name, sample, layout, whole) for layout in layouts]
    trials = [one for one in trials if one.rows or one.error]
    if not trials:
        raise NoRowsError(name)
    best = _best(trials, settings)
    if best.error is not None:
        raise best.error
    return _named(best, settings)


def body(sample: list[str], layout: CsvLayout) -> list[list[str]]:
    """The rows of the sample below the header."""
    rows = list[list[str]]()
    reader = layout.reader(iter(sample[layout.skips :]))
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) > SAMPLE_ROWS:
                break
    except csv.Error:
        # The end of the sample, in the middle of a row.
        pass
    return rows[layout.header :]


def _layouts(settings: LayoutSettings, skips: int, beginning: str) -> list[CsvLayout]:
    """The layouts to try, most likely first."""
    if settings.delimiter:
        delimiters = [settings.delimiter]
    else:
        delimiters = sorted(_DELIMITERS, key=lambda one: one != settings.usual_delimiter)
        delimiters = [NO_DELIMITER, *(one for one in delimiters if one in beginning)]
    if settings.quotes != "auto":
        ways = [(settings.quotes, False)]
    else:
        ways = [("double", False), ("double", True), ("none", False)]
        if '\\"' in beginning:
            ways.insert(2, ("backslash", False))
    return [
        CsvLayout(delimiter, quotes, after_space, skips)
        for delimiter in delimiters
        for quotes, after_space in ways
    ]


def _tried(name: str, sample: list[str], layout: CsvLayout, whole: bool) -> _Trial:
    rows, error, unclosed = list[list[str]](), None, False
    reader = layout.reader(iter(sample[layout.skips :]))
    while len(rows) < SAMPLE_ROWS:
        begins = layout.skips + reader.line_num
        try:
            row = next(reader, None)
        except csv.Error as odd:
            # A sample ends in the middle of a row.
            unclosed = whole and "unexpected end" in str(odd)
            if unclosed or "unexpected end" not in str(odd):
                error = broken(name, odd, begins, layout.skips + reader.line_num)
            break
        if row is None:
            break
        if any(cell.strip() for cell in row):
            rows.append(row)
    if not rows:
        return _Trial(layout, rows, 0.0, error, unclosed)
    rows[0] = _without_empty_end(rows[0])
    width = len(rows[0])
    others = rows[1:] or rows
    regular = sum(_width(row, width) == width for row in others) / len(others)
    return _Trial(layout, rows, regular, error, unclosed)


def _width(row: list[str], width: int) -> int:
    return width if len(row) > width and not any(row[width:]) else len(row)


def _without_empty_end(row: list[str]) -> list[str]:
    end = len(row)
    while end > 1 and not row[end - 1].strip():
        end -= 1
    return row[:end]


def _best(trials: list[_Trial], settings: LayoutSettings) -> _Trial:
    """The best trial: the delimiter with the best evidence, with the quotes that fit."""
    by_delimiter = dict[str, list[_Trial]]()
    for one in trials:
        by_delimiter.setdefault(one.layout.delimiter, []).append(one)

    def speaks(delimiter: str) -> float:
        """How regular the rows are; 0 if neither they nor a header support the layout."""
        return max(1 + one.regular for one in by_delimiter[delimiter] if _is_table(one, settings))

    several = [
        delimiter
        for delimiter, trials_of_delimiter in by_delimiter.items()
        if any(_is_table(one, settings) for one in trials_of_delimiter)
    ]
    delimiter = max(several, key=speaks) if several else next(iter(by_delimiter))
    trials_of_delimiter = by_delimiter[delimiter]
    sound = [one for one in trials_of_delimiter if _is_sound(one, trials_of_delimiter, settings)]
    if sound:
        return max(sound, key=lambda one: one.regular)
    return next(one for one in trials_of_delimiter if one.error is not None)


def _is_table(trial: _Trial, settings: LayoutSettings) -> bool:
    """Whether there are columns, judging by the settings, a header, or regular rows."""
    if settings.delimiter:
        return True
    if trial.width < 2:
        return False
    return (
        trial.regular >= _REGULAR
        or _is_usual_header(trial.rows[0], settings)
        or (trial.rows[1:] != [] and _are_numbered(trial.rows) and min(map(len, trial.rows)) > 1)
    )


def _is_sound(trial: _Trial, others: list[_Trial], settings: LayoutSettings) -> bool:
    """Whether the quotes are right: no error, and no real quote was read as text."""
    if trial.error is not None:
        return False
    if trial.layout.quotes != "none" or settings.quotes == "none":
        return True
    # A quote that is never closed was meant as a quote, and something is missing.
    return trial.regular == 1 and not any(one.unclosed for one in others)


def _are_numbered(rows: list[list[str]]) -> bool:
    """Whether every row begins with the next number, starting from 0 or 1."""
    firsts = [row[0].strip() for row in rows]
    start = firsts[0] if firsts else ""
    return start in ("0", "1") and firsts == [str(int(start) + n) for n in range(len(rows))]


def _is_usual_header(first: list[str], settings: LayoutSettings) -> bool:
    names = {plain(cell) for cell in first}
    text_columns = {plain(one) for one in settings.columns}
    return _may_be_names(first) and bool(names & (_USUAL | text_columns))


def _may_be_names(first: list[str]) -> bool:
    names = [cell.strip() for cell in first]
    named = [name for name in names if name]
    return (
        bool(named)
        # The first name may be empty, above a column of row numbers.
        and all(names[1:])
        and all(len(one) <= _LONGEST_NAME and not is_number(one) for one in named)
        and not any(one[-1] in ".!?;:,\u3002" for one in named)
    )


def _named(best: _Trial, settings: LayoutSettings) -> CsvLayout:
    """The layout with the names of its columns, and notes on what was guessed."""
    first, rows = best.rows[0], best.rows[1:]
    notes = _guesses(best.layout, settings)
    header = settings.header == "yes" or (
        settings.header == "auto" and _has_header(first, rows, settings)
    )
    if not header:
        if settings.header == "auto":
            notes.append("no header: the first line is read as a row")
        columns = [f"column {at + 1}" for at in range(len(first))]
        return replace(best.layout, header=False, columns=tuple(columns), notes=tuple(notes))
    columns = [cell.strip() for cell in first]
    if settings.header == "auto" and not _is_usual_header(first, settings):
        notes.append(f"the first line ({_listed(columns)}) is read as the header")
    if _numbers_its_rows(columns, rows):
        columns = ["", *columns]
        notes.append("the unnamed first column is read as row numbers")
    return replace(best.layout, columns=tuple(_distinct(columns, notes)), notes=tuple(notes))


def _guesses(layout: CsvLayout, settings: LayoutSettings) -> list[str]:
    notes = list[str]()
    if not settings.delimiter and layout.delimiter not in (settings.usual_delimiter, NO_DELIMITER):
        notes.append(f"cells are separated by {spelled(layout.delimiter)}")
    if settings.quotes == "auto" and layout.quotes == "none":
        notes.append("quotes are read as part of the text")
    if settings.quotes == "auto" and layout.quotes == "backslash":
        notes.append("quotes within cells are escaped with a backslash")
    return notes


def _distinct(columns: list[str], notes: list[str]) -> list[str]:
    names = list[str]()
    for one in columns:
        count = columns[: len(names)].count(one)
        names.append(f"{one} ({count + 1})" if count else one)
        if count and one:
            notes.append(f"several columns are named {one}: the name refers to the first")
    return names


def _has_header(first: list[str], rows: list[list[str]], settings: LayoutSettings) -> bool:
    """Whether the first row is a header: usual names, or unlike the rows below."""
    if _is_usual_header(first, settings):
        return True
    # In a single column, reading the name as text loses nothing; the reverse loses a text.
    if len(first) == 1 or not rows or not _may_be_names(first) or len(set(first)) < len(first):
        return False
    columns = [[row[at] for row in rows if at < len(row) and row[at]] for at in range(len(first))]
    over_numbers = any(column and all(map(is_number, column)) for column in columns)
    lengths = [median(map(len, column)) if column else 0 for column in columns]
    longest = max(range(len(first)), key=lambda at: lengths[at])
    return over_numbers or len(first[longest]) * 2 < lengths[longest]


def _numbers_its_rows(columns: list[str], rows: list[list[str]]) -> bool:
    """Whether the rows have an extra leading number, and the header begins with a text column."""
    return (
        bool(rows)
        and plain(columns[0]) in _USUAL
        and all(len(row) == len(columns) + 1 and row[-1].strip() for row in rows)
        and _are_numbered(rows)
    )


def broken(name: str, error: csv.Error, begins: int, ends: int) -> CorpusError:
    """The error for a row that cannot be parsed; lines are counted from 0."""
    message = str(error)
    if "unexpected end" in message:
        why = "a quote opens there and is never closed"
    elif "expected after" in message:
        where = f", which ends on line {ends:,}," if ends - begins > 1 else ""
        why = f"a quoted cell{where} continues after its closing quote"
    elif "field larger" in message:
        why = "a cell is longer than 256 million characters: is a quote never closed?"
    else:
        why = message
    return CorpusError(
        f"line {begins + 1:,} of {name} cannot be read as csv",
        why,
        "correct it, or set data.quotes to none, which reads quotes as part of the text",
    )


def is_number(cell: str) -> bool:
    """Whether it is a number, a date or a time, not readable text."""
    return bool(_NUMBER.fullmatch(cell.strip()))


def spelled(delimiter: str, *, many: bool = False) -> str:
    """A delimiter in words: `a comma`, or `commas`."""
    one, several = _SPELLED.get(delimiter, (f"the character {delimiter}", f"{delimiter}"))
    return several if many else one


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:30] for name in names[:4])
    return f"{shown}, …" if len(names) > 4 else shown
