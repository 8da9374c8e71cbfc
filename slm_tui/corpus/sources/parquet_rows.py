"""Rows of Parquet: only the columns that are needed are read."""

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from slm_tui.corpus.sources.columns import Row, kinds_of
from slm_tui.errors import CorpusError

_ROWS = 1000


class ParquetRows:
    """The rows of an open file.

    Raises:
        CorpusError: it is not Parquet, or damaged.
    """

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        try:
            self._file = parquet.ParquetFile(file)
            self._schema = self._file.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(error) from None

    @property
    def count(self) -> int:
        return int(self._file.metadata.num_rows)

    def kinds(self) -> dict[str, str]:
        """The kind of each column by type; for nested columns also by their first values."""
        kinds = {field.name: _kind(field.type) for field in self._schema}
        nested = [name for name, kind in kinds.items() if kind in ("list", "group")]
        first = next(self.rows(nested), None) if nested else None
        seen = kinds_of([first] if first else [])
        return kinds | {name: kind for name, kind in seen.items() if kind != "nothing"}

    def rows(self, columns: list[str]) -> Iterator[Row]:
        """Every row, with these columns.

        Raises:
            CorpusError: the file is damaged.
        """
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, columns=columns):
                yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> CorpusError:
        lines = str(error).strip().splitlines()
        return CorpusError(
            f"{self.name} cannot be read as parquet",
            lines[0][:200] if lines else type(error).__name__,
            "get a complete copy, or set data.format to the format of the file",
        )


def _kind(column: Any) -> str:
    if pa.types.is_dictionary(column):
        column = column.value_type
    if pa.types.is_string(column) or pa.types.is_large_string(column):
        return "text"
    if str(column) == "string_view":
        return "text"
    if pa.types.is_boolean(column):
        return "truth"
    if pa.types.is_integer(column) or pa.types.is_floating(column) or pa.types.is_decimal(column):
        return "number"
    if pa.types.is_struct(column):
        return "group"
    if pa.types.is_list(column) or pa.types.is_large_list(column):
        return "list"
    return "nothing" if pa.types.is_null(column) else "other"
