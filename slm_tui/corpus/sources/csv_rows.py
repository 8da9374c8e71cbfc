"""Rows of cells with delimiters between them, also where a row has too many or too few.

What cannot be understood is refused with its line: a text that is cut at the wrong place would be
trained on without anybody noticing.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain

from slm_tui.corpus.sources import csv_layout
from slm_tui.corpus.sources.csv_layout import LayoutSettings, spelled
from slm_tui.corpus.sources.csv_ragged import RaggedRows
from slm_tui.errors import CorpusError

_SAMPLE_CHARACTERS = 1 << 20
_MOST_LABELS = 20
_LABELLED_ROWS = 5


class CsvRows:
    """The rows of a file; `line` is where the last one begins.

    `notes` say what was guessed, and once `rows` are read also what was mended.

    Args:
        name: what errors call the file.
        lines: its lines, with their ends.

    Raises:
        CorpusError: it cannot be made out how it is laid out, or it has no rows.
    """

    def __init__(self, name: str, lines: Iterator[str], asked: LayoutSettings) -> None:
        self.name, self.line = name, 0
        sample, whole = _sampled(lines)
        self.layout = csv_layout.found(name, sample, asked, whole=whole)
        self.notes = list(self.layout.notes)
        self._lines = chain(sample, lines)
        self._body = csv_layout.body(sample, self.layout)
        self._joined = self._short = 0

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    def kinds(self) -> dict[str, str]:
        """The kind of each column: `text`, or `number` or `label` where the first cells are so."""
        if not self._body:
            return {}
        return {name: self._kind(at) for at, name in enumerate(self.columns)}

    def _kind(self, at: int) -> str:
        cells = [row[at] for row in self._body if at < len(row) and row[at].strip()]
        if cells and all(map(csv_layout.is_number, cells)):
            return "number"
        few = len(set(cells)) <= _MOST_LABELS and len(set(cells)) * _LABELLED_ROWS <= len(cells)
        return "label" if cells and few else "text"

    def rows(self, text_at: Sequence[int]) -> Iterator[list[str]]:
        """The rows, with as many cells as there are columns, or fewer where the end is missing.

        `text_at` are the places of the columns with the text: surplus delimiters are taken as
        part of it where no other column can have them.

        Raises:
            CorpusError: a row does not fit the columns, and what it means cannot be told.
        """
        ragged = RaggedRows(len(self.columns), self._body, text_at, self.layout.delimiter)
        reader = self.layout.reader(self._lines)
        first = self.layout.skips + self.layout.header
        while True:
            begins = reader.line_num
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise csv_layout.broken(self.name, error, begins, reader.line_num) from None
            if row is None:
                break
            self.line = begins + 1
            if begins >= first and any(cell.strip() for cell in row):
                yield self._fitted(row, ragged)
        self._say_what_was_mended()

    def _fitted(self, row: list[str], ragged: RaggedRows) -> list[str]:
        width = len(self.columns)
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            row = row[:width]
        if len(row) == width:
            return row
        if len(row) < width:
            if not ragged.may_be_short(row):
                raise self._odd(row, "a line break in a text without quotes around it")
            self._short += 1
            return row
        mended = ragged.joined(row)
        if mended is None:
            what = spelled(self.layout.delimiter)
            raise self._odd(row, f"{what} in a text without quotes around it")
        self._joined += 1
        return mended

    def _odd(self, row: list[str], because: str) -> CorpusError:
        cells = "1 cell" if len(row) == 1 else f"{len(row):,} cells"
        names = ", ".join(name[:30] for name in self.columns[:6])
        there = "is 1 column" if len(self.columns) == 1 else f"are {len(self.columns):,} columns"
        return CorpusError(
            f"line {self.line:,} of {self.name} has {cells}",
            f"there {there} ({names}); it looks like {because}",
            "put such texts in quotes, or set data.delimiter to what stands between the cells",
        )

    def _say_what_was_mended(self) -> None:
        if self._joined:
            what = spelled(self.layout.delimiter, many=True)
            self.notes.append(
                f"{_rows(self._joined)} {what} in the text without quotes: they belong to the text"
            )
        if self._short:
            self.notes.append(f"{_rows(self._short)} fewer cells than there are columns")


def _sampled(lines: Iterator[str]) -> tuple[list[str], bool]:
    """The first lines, and whether that was all."""
    sample, size = list[str](), 0
    for line in lines:
        sample.append(line)
        size += len(line)
        if size >= _SAMPLE_CHARACTERS:
            return sample, False
    return sample, True


def _rows(number: int) -> str:
    return "1 row has" if number == 1 else f"{number:,} rows have"
