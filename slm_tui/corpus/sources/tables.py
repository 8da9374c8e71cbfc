"""Files of rows, and text files from elsewhere, as documents. Runs in the reader process only.

`datasets` is not used for these: if a table differs slightly from what it expects, it silently
loses columns, rows or words.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import file_kinds
from slm_tui.corpus.sources.columns import Columns, ColumnSettings, NoRowsError
from slm_tui.corpus.sources.contract import LeftOut
from slm_tui.corpus.sources.csv_layout import LayoutSettings
from slm_tui.corpus.sources.csv_rows import CsvRows
from slm_tui.corpus.sources.json_rows import JsonRows
from slm_tui.corpus.sources.text_file import TextFile, body_of


@dataclass(frozen=True)
class ReadSettings:
    """How files of any kind are read."""

    columns: ColumnSettings = field(default_factory=ColumnSettings)
    csv: LayoutSettings = field(default_factory=LayoutSettings)
    encoding: str = "auto"
    replace: bool = False
    # Leave out the header and licence of Project Gutenberg.
    books: bool = False


@dataclass(frozen=True)
class File:
    """A file of rows or text. `name` is for errors; `size` is in bytes, if known."""

    name: str
    layout: str
    open: Callable[[], IO[bytes]]
    size: int | None = None


def local(path: Path, layout: str) -> File:
    """A local file.

    Raises:
        OSError: it does not exist.
    """
    return File(str(path), layout, lambda: path.open("rb"), path.stat().st_size)


class FileTexts:
    """The texts of some files, one after the other."""

    def __init__(self, files: list[File], reading: ReadSettings, meter: Meter) -> None:
        self._files, self._reading, self._meter = files, reading, meter

    def texts(self, left_out: LeftOut) -> Iterator[str]:
        """The text of each row; rows without any are counted in `left_out`.

        Raises:
            CorpusError: a file does not have that format, or has no text column.
        """
        sizes = [one.size for one in self._files]
        total = sum(one or 0 for one in sizes) if None not in sizes else 0
        done, empty = 0, 0
        for file in self._files:
            try:
                yield from self._of(file, left_out, done, total)
            except NoRowsError:
                empty += 1
                if empty == len(self._files):
                    raise
                left_out.note(f"{Path(file.name).name} has no rows")
            done += file.size or 0

    def _of(self, file: File, left_out: LeftOut, done: int, total: int) -> Iterator[str]:
        if file.layout == "parquet":
            yield from self._of_parquet(file, left_out, done, total)
            return
        path, encoding = Path(file.name), self._reading.encoding
        is_book = self._reading.books and file.layout == "text"
        text = TextFile(
            path,
            encoding=encoding,
            replace=self._reading.replace,
            opener=file.open,
            body=body_of(path, encoding, file.open) if is_book else None,
        )
        try:
            if file.layout == "text":
                yield "".join(text.text(self._meter, done, total))
            elif file.layout == "csv":
                yield from self._of_cells(file, text.lines(self._meter, done, total), left_out)
            else:
                yield from self._of_json(file, text.text(self._meter, done, total), left_out)
        finally:
            left_out.read(text, self._called(file))

    def _of_cells(self, file: File, lines: Iterator[str], left_out: LeftOut) -> Iterator[str]:
        usual = "\t" if file_kinds.without_suffix(file.name).lower().endswith(".tsv") else ","
        table = CsvRows(file.name, lines, replace(self._reading.csv, usual_delimiter=usual))
        columns = Columns(
            file.name,
            table.kinds(),
            self._reading.columns,
            where=lambda: f"line {table.line:,} of {file.name}",
        )
        places = {name: table.columns.index(name) for name in columns.choice.columns}
        try:
            for row in table.rows(list(places.values())):
                cells = {name: row[at] if at < len(row) else None for name, at in places.items()}
                text = columns.text(cells)
                if text is None:
                    left_out.null += 1
                else:
                    yield text
        finally:
            self._note(file, [*table.notes, *columns.notes], left_out)

    def _of_json(self, file: File, parts: Iterator[str], left_out: LeftOut) -> Iterator[str]:
        rows = JsonRows(file.name, parts)
        columns = Columns(
            file.name,
            rows.kinds(),
            self._reading.columns,
            replace=self._reading.replace,
            where=lambda: f"line {rows.line:,} of {file.name}",
        )
        try:
            yield from self._texts(rows.rows(), columns, left_out)
        finally:
            self._note(file, [*rows.notes, *columns.notes], left_out)

    def _of_parquet(self, file: File, left_out: LeftOut, done: int, total: int) -> Iterator[str]:
        from slm_tui.corpus.sources.parquet_rows import ParquetRows

        with file.open() as opened:
            rows = ParquetRows(file.name, opened)
            if not rows.count:
                raise NoRowsError(file.name)
            columns = Columns(file.name, rows.kinds(), self._reading.columns)
            try:
                for number, text in enumerate(
                    self._texts(rows.rows(columns.outermost), columns, left_out)
                ):
                    if number % 256 == 0:
                        part = (file.size or 0) * number / rows.count
                        self._meter("reading", done + part, total or None)
                    yield text
            finally:
                self._note(file, columns.notes, left_out)

    def _texts(self, rows: Iterator[Any], columns: Columns, left_out: LeftOut) -> Iterator[str]:
        try:
            for row in rows:
                text = columns.text(row)
                if text is None:
                    left_out.null += 1
                else:
                    yield text
        finally:
            left_out.replaced += columns.replaced

    def _note(self, file: File, notes: list[str], left_out: LeftOut) -> None:
        for note in notes:
            name = self._called(file)
            left_out.note(f"{name}: {note}" if name else note)

    def _called(self, file: File) -> str:
        """The name of the file for notes; empty if it is the only one."""
        return Path(file.name).name if len(self._files) > 1 else ""
