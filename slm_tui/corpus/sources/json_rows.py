"""Rows in JSON: one per line, an array, consecutive objects, or columns.

If possible, rows are read one at a time. Errors give the line.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from slm_tui.corpus.sources.columns import USUAL_COLUMNS, Row, kind_of, kinds_of
from slm_tui.errors import CorpusError

_SAMPLE_ROWS = 1000
_WHITE = " \t\n\r"
# Accept control characters within strings.
_DECODER = json.JSONDecoder(strict=False)


class JsonRows:
    """The rows of a text; `line` is the first line of the last row, `notes` how they were found.

    Args:
        name: name of the file for errors.
        text: its content in pieces.

    Raises:
        CorpusError: it is not JSON, or has no rows.
    """

    def __init__(self, name: str, text: Iterator[str]) -> None:
        self.name = name
        self.notes: list[str] = []
        self.line = 1
        values = self._values(_Text(text))
        self._first = list(islice(values, _SAMPLE_ROWS))
        if len(self._first) == 1:
            self._first = self._opened(self._first)
        self._rest = values

    def kinds(self) -> dict[str, str]:
        """The kind of each column in the first rows."""
        return kinds_of(row for _, row in self._first)

    def rows(self) -> Iterator[Row]:
        """Every row.

        Raises:
            CorpusError: a row is not JSON, or not an object.
        """
        for line, row in chain(self._first, self._rest):
            self.line = line
            yield row

    def _values(self, text: "_Text") -> Iterator[tuple[int, Row]]:
        if text.peek() == "[":
            yield from self._of_an_array(text)
        elif self._is_a_value(text.first_line()):
            while text.peek():
                line = text.line
                yield line, self._as_row(line, self._value_of_line(line, text.take_line()))
        else:
            while text.peek():
                line = text.line
                yield line, self._as_row(line, self._value(text))

    def _of_an_array(self, text: "_Text") -> Iterator[tuple[int, Row]]:
        text.skip(1)
        while (here := text.peek(_WHITE + ",")) != "]":
            line = text.line
            if not here:
                raise self._wrong(line, "it is not JSON: its array is not closed")
            yield line, self._as_row(line, self._value(text))
        text.skip(1)
        if text.peek():
            raise self._wrong(text.line, "there is more text after the end of the array")

    @staticmethod
    def _is_a_value(line: str) -> bool:
        try:
            _DECODER.decode(line)
        except (ValueError, RecursionError):
            return False
        return True

    def _value_of_line(self, number: int, line: str) -> Any:
        try:
            return _DECODER.decode(line)
        except json.JSONDecodeError as error:
            raise self._wrong(number, _in_words(error.msg, error.pos + 1)) from None
        except (ValueError, RecursionError) as error:
            raise self._wrong(number, f"it is not JSON: {error}") from None

    def _value(self, text: "_Text") -> Any:
        line = text.line
        try:
            return text.value()
        except json.JSONDecodeError as error:
            # Report missing text after the last character present.
            before = error.doc[: error.pos].rstrip()
            at, column = before.count("\n"), len(before) - before.rfind("\n")
            raise self._wrong(line + at, _in_words(error.msg, column)) from None
        except (ValueError, RecursionError) as error:
            raise self._wrong(line, f"it is not JSON: {error}") from None

    def _as_row(self, line: int, value: Any) -> Row:
        if isinstance(value, str):
            return {"text": value}
        if not isinstance(value, Mapping):
            kind = {"turns": "list", "nothing": "null"}.get(kind_of(value), kind_of(value))
            raise self._wrong(line, f"it is a {kind}, not an object with columns")
        return value

    def _wrong(self, line: int, why: str) -> CorpusError:
        return CorpusError(
            f"line {line:,} of {self.name} cannot be read",
            why,
            "correct it, or set data.format to the format of the file",
        )

    def _opened(self, only: list[tuple[int, Row]]) -> list[tuple[int, Row]]:
        """The rows within the only object of a file, if that is its structure."""
        line, row = only[0]
        lists = {name: rows for name, rows in row.items() if _are_rows(rows)}
        if len(lists) == 1 and not any(one in USUAL_COLUMNS for one in row):
            name, rows = next(iter(lists.items()))
            self.notes.append(f"rows are read from {name}")
            return [(line, self._as_row(line, one)) for one in rows]
        columns = {name: list(_cells(cells)) for name, cells in row.items() if _is_column(cells)}
        heights = [len(cells) for cells in columns.values()]
        if len(columns) == len(row) and len(set(heights)) == 1 and heights[0] > 1:
            self.notes.append("the file is read column by column")
            return [
                (line, dict(zip(columns, cells, strict=True)))
                for cells in zip(*columns.values(), strict=True)
            ]
        return only


def _in_words(message: str, column: int) -> str:
    what = message.lower().removesuffix(" starting at")
    return f"it is not JSON: {what} at column {column:,}"


def _are_rows(value: Any) -> bool:
    return (
        isinstance(value, list)
        and kind_of(value) != "turns"
        and bool(value)
        and all(isinstance(one, Mapping) for one in value)
    )


def _is_column(value: Any) -> bool:
    """Cells of a column: a list, or an object with numbers as names."""
    if isinstance(value, Mapping):
        return bool(value) and all(str(name).isdigit() for name in value)
    return isinstance(value, list) and bool(value) and kind_of(value) != "turns"


def _cells(column: Any) -> Any:
    return column.values() if isinstance(column, Mapping) else column


class _Text:
    """Text that arrives in pieces; values are parsed one at a time."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._buffer, self._at = "", 0
        self._ended = False
        self.line = 1

    def peek(self, over: str = _WHITE) -> str:
        """The next character not in `over`; empty at the end."""
        while True:
            start = self._at
            while self._at < len(self._buffer) and self._buffer[self._at] in over:
                self._at += 1
            self.line += self._buffer.count("\n", start, self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def skip(self, count: int) -> None:
        """Advance by some characters."""
        self.line += self._buffer.count("\n", self._at, self._at + count)
        self._at += count

    def first_line(self) -> str:
        """The rest of the current line."""
        return self._buffer[self._at : self._line_end()]

    def take_line(self) -> str:
        """The rest of the current line; advance past it."""
        end = self._line_end()
        line = self._buffer[self._at : end]
        self.skip(len(line) + 1)
        return line

    def _line_end(self) -> int:
        while (end := self._buffer.find("\n", self._at)) < 0:
            if not self._more(len(self._buffer) - self._at):
                return len(self._buffer)
        return end

    def value(self) -> Any:
        """The JSON value that begins here.

        Raises:
            ValueError: there is no value.
            RecursionError: it is nested too deeply.
        """
        while True:
            try:
                result, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                rest, at = self._buffer[self._at :], error.pos - self._at
                if self._is_cut(error) and self._more(len(rest)):
                    continue
                raise json.JSONDecodeError(error.msg, rest, at) from None
            self.skip(end - self._at)
            return result

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the value may continue in text that has not been read."""
        if self._ended:
            return False
        unterminated = error.msg.startswith("Unterminated")
        return unterminated or error.pos >= len(self._buffer) - 16

    def _more(self, at_least: int = 1) -> bool:
        """Double the amount read, so that the text parsed again stays proportional."""
        parts, size = [self._buffer[self._at :]], 0
        for part in self._parts:
            parts.append(part)
            size += len(part)
            if size >= at_least:
                break
        else:
            self._ended = True
        self._buffer, self._at = "".join(parts), 0
        return size > 0
