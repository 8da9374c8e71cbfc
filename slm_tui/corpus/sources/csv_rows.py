"""Rows of delimited cells, including rows with too many or too few.

Ambiguous rows are rejected with their line number: otherwise wrongly split text would be used in
training without anyone noticing.
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
    """The rows of a file; `line` is the first line of the last row.

    `notes` say what was guessed and, after `rows` were read, what was repaired.

    Args:
        name: name of the file for errors.
        lines: its lines, with line ends.

    Raises:
        CorpusError: the layout cannot be detected, or it has no rows.
    """

    def __init__(self, name: str, lines: Iterator[str], settings: LayoutSettings) -> None:
        self.name, self.line = name, 0
        sample, whole = _sampled(lines)
        self.layout = csv_layout.detect(name, sample, settings, whole=whole)
        self.notes = list(self.layout.notes)
        self._lines = chain(sample, lines)
        self._body = csv_layout.body(sample, self.layout)
        self._joined = self._short = 0

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    def kinds(self) -> dict[str, str]:
        """The kind of each column, from its first cells: `text`, `number` or `label`."""
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
        """The rows, with one cell per column, or fewer if the end is missing.

        `text_at` are the positions of the text columns: extra delimiters become part of the text
        if they cannot belong to another column.

        Raises:
            CorpusError: a row does not fit the columns and is ambiguous.
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
        self._note_repairs()

    def _fitted(self, row: list[str], ragged: RaggedRows) -> list[str]:
        width = len(self.columns)
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            row = row[:width]
        if len(row) == width:
            return row
        if len(row) < width:
            if not ragged.may_be_short(row):
                raise self._row_error(row, "a line break in unquoted text")
            self._short += 1
            return row
        mended = ragged.joined(row)
        if mended is None:
            what = spelled(self.layout.delimiter)
            raise self._row_error(row, f"{what} in unquoted text")
        self._joined += 1
        return mended

    def _row_error(self, row: list[str], because: str) -> CorpusError:
        cells = "1 cell" if len(row) == 1 else f"{len(row):,} cells"
        names = ", ".join(name[:30] for name in self.columns[:6])
        columns = "1 column" if len(self.columns) == 1 else f"{len(self.columns):,} columns"
        return CorpusError(
            f"line {self.line:,} of {self.name} has {cells}",
            f"the file has {columns} ({names}); it looks like {because}",
            "put such texts in quotes, or set data.delimiter to the right delimiter",
        )

    def _note_repairs(self) -> None:
        if self._joined:
            what = spelled(self.layout.delimiter, many=True)
            self.notes.append(
                f"{_rows(self._joined)} {what} in unquoted text, read as part of the text"
            )
        if self._short:
            self.notes.append(f"{_rows(self._short)} fewer cells than there are columns")


def _sampled(lines: Iterator[str]) -> tuple[list[str], bool]:
    """The first lines, and whether that is the whole file."""
    sample, size = list[str](), 0
    for line in lines:
        sample.append(line)
        size += len(line)
        if size >= _SAMPLE_CHARACTERS:
            return sample, False
    return sample, True


def _rows(number: int) -> str:
    return "1 row has" if number == 1 else f"{number:,} rows have"
