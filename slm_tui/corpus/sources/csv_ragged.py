"""Interprets rows with too many or too few cells, if that is possible."""

import re
from collections.abc import Sequence

from slm_tui.corpus.sources.csv_layout import is_number

_MOST_LABELS = 20
_LONGEST_LABEL = 40


class RaggedRows:
    """Judges rows by the typical cells of the other columns.

    A cell fits a numeric column if it is a number, another column if it is one of few labels or
    a single short word.

    Args:
        width: the number of columns.
        sample: rows, of any width.
        text_at: the positions of the text columns.
    """

    def __init__(
        self, width: int, sample: list[list[str]], text_at: Sequence[int], delimiter: str
    ) -> None:
        self._width, self._text_at, self._delimiter = width, sorted(text_at), delimiter
        self._after = width - 1 - self._text_at[-1]
        # An incomplete row says nothing about its columns.
        whole = [row for row in sample if len(row) >= width]
        cells = [self._cells(whole, at) for at in range(width)]
        self._numbers = [bool(column) and all(map(is_number, column)) for column in cells]
        self._labels = [_labels(column) for column in cells]

    def may_be_short(self, row: list[str]) -> bool:
        """Whether only the end of the row is missing and no text is truncated."""
        others = [(at, cell) for at, cell in enumerate(row) if at not in self._text_at]
        if len(row) > self._text_at[-1]:
            return self._fit(others)
        # A single word may be the rest of the preceding text.
        return all(self._surely_fits(at, cell) for at, cell in enumerate(row))

    def joined(self, row: list[str]) -> list[str] | None:
        """The row with extra delimiters put back in the text; `None` if this is ambiguous."""
        if len(self._text_at) > 1:
            return None
        at, end = self._text_at[0], len(row) - self._after
        before, text, after = row[:at], row[at:end], row[end:]
        if not self._fit([*enumerate(before), *enumerate(after, at + 1)]):
            return None
        return [*before, self._delimiter.join(text), *after]

    def _fit(self, cells: list[tuple[int, str]]) -> bool:
        return all(self._fits(at, cell) for at, cell in cells)

    def _fits(self, at: int, cell: str) -> bool:
        if self._surely_fits(at, cell):
            return True
        is_word = len(cell) <= _LONGEST_LABEL and not re.search(r"\s", cell)
        return is_word and not self._numbers[at]

    def _surely_fits(self, at: int, cell: str) -> bool:
        if not cell.strip():
            return True
        return is_number(cell) if self._numbers[at] else cell in self._labels[at]

    def _cells(self, sample: list[list[str]], at: int) -> list[str]:
        """The cells of a column; in rows with too many, counted from the nearer end."""
        cells = list[str]()
        for row in sample:
            if len(row) <= self._width or at < self._text_at[0]:
                cells += row[at : at + 1]
            elif at > self._text_at[-1]:
                cells.append(row[len(row) - (self._width - at)])
        return [cell for cell in cells if cell.strip()]


def _labels(cells: list[str]) -> frozenset[str]:
    labels = frozenset(cells)
    few = len(labels) <= _MOST_LABELS and len(labels) * 2 <= len(cells)
    return labels if few and all(len(one) <= _LONGEST_LABEL for one in labels) else frozenset()
