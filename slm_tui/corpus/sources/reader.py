"""Rows of datasets and files as documents: opening, finding the text, writing to disk.

Runs in the reader process only.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from slm_tui.config.data import Limit
from slm_tui.corpus.progress import Meter, Progress
from slm_tui.corpus.sources import shards, tables
from slm_tui.corpus.sources.columns import Columns, ColumnSettings, Row, kinds_of
from slm_tui.corpus.sources.contract import LeftOut
from slm_tui.corpus.sources.csv_layout import LayoutSettings
from slm_tui.corpus.sources.tables import FileTexts, ReadSettings
from slm_tui.corpus.staging import CHARACTERS_PER_TOKEN, DocumentPiece, StagingWriter, save_spans
from slm_tui.errors import CorpusError

Tell = Callable[[str, float, float | None, str], None]

_ROWS = 1000
# Do not download gigabytes of text for a limit that may need only a little of it.
_CHARACTERS_PER_TOKEN_STREAMED = 16


class RowSplit(Protocol):
    """One split of the data."""

    def texts(self, left_out: LeftOut) -> Iterator[str]:
        """The text of each row."""
        ...


def read(request: dict[str, Any], send: Tell) -> dict[str, Any]:
    """Write the documents of every requested split; return what was found.

    Raises:
        CorpusError: a split or column does not exist, or a file is not as expected.
        Exception: anything that `datasets` raises; see `reader_errors`.
    """
    directory, left_out = Path(request["directory"]), LeftOut()
    opened = _opened(request, _meter(send))
    # Names of files suggest some splits, but `datasets` may see it differently.
    for part in request.get("optional", ()):
        if request["splits"].get(part) not in opened:
            request["splits"].pop(part, None)
    for part, split in request["splits"].items():
        if split not in opened:
            raise CorpusError(
                f"{request['dataset']} has no split {split!r}",
                f"it has {', '.join(map(str, opened))}",
                f"set data.{_setting(part)} to one of them",
            )
    for part, split in request["splits"].items():
        rows, limit = opened[split], Limit(**request["limit"])
        if isinstance(rows, DatasetRows):
            rows, limit = rows.first(limit, whole=bool(request.get("heading")))
        with StagingWriter(directory / f"{part}.text", limit, _per_token(request)) as staging:
            _write(rows, request, staging, left_out, send)
            left_out.blank += staging.blank
            save_spans(staging.finish(), directory / f"{part}.npz")
    left_out.splits = [str(one) for one in opened if one not in request["splits"].values()]
    return {"parts": list(request["splits"]), "left_out": asdict(left_out)}


def _meter(send: Tell) -> Meter:
    def report(progress: Progress) -> None:
        send(progress.stage, progress.done, progress.total, progress.unit)

    return Meter(report)


def _per_token(request: dict[str, Any]) -> int:
    far = request["streaming"] and not request["local"]
    return _CHARACTERS_PER_TOKEN_STREAMED if far else CHARACTERS_PER_TOKEN


def _setting(part: str) -> str:
    return {"train": "train_split", "val": "validation_split", "test": "test_split"}[part]


def _opened(request: dict[str, Any], meter: Meter) -> dict[str, RowSplit]:
    """The splits by name, opened but not read."""
    reading = _reading(request)
    if "table" in request:
        file = tables.local(Path(request["dataset"]), request["table"])
        return {"train": FileTexts([file], reading, meter)}
    splits = shards.opened(request)
    if isinstance(splits, shards.FileShards):
        return {split: FileTexts(files, reading, meter) for split, files in splits.splits.items()}
    name = request["dataset"]
    return {
        split: DatasetRows(name, rows, reading.columns) for split, rows in splits.splits.items()
    }


def _reading(request: dict[str, Any]) -> ReadSettings:
    columns = ColumnSettings(
        request["text_column"], request["second_column"], request["column_separator"]
    )
    csv = LayoutSettings(
        request.get("delimiter", ""),
        request.get("header", "auto"),
        request.get("quotes", "auto"),
        columns=tuple(columns.named),
    )
    return ReadSettings(
        columns,
        csv,
        request.get("encoding", "auto"),
        request.get("replace", False),
        request.get("books", False),
    )


class DatasetRows:
    """A split as `datasets` opened it."""

    def __init__(self, name: str, rows: Any, columns: ColumnSettings) -> None:
        self._name, self._rows, self._columns = name, rows, columns

    def first(self, limit: Limit, *, whole: bool) -> tuple["DatasetRows", Limit]:
        """Select a fraction of stored rows up front, so that the rest is never read.

        `whole` if documents consist of several rows.
        """
        count = getattr(self._rows, "num_rows", None)
        if limit.fraction is None or count is None or whole:
            return self, limit
        some = self._rows.select(range(max(1, round(count * limit.fraction))))
        return DatasetRows(self._name, some, self._columns), Limit()

    def texts(self, left_out: LeftOut) -> Iterator[str]:
        """The text of each row; rows without any are counted."""
        columns = Columns(self._name, self._kinds(), self._columns)
        rows = self._rows.select_columns(columns.outermost)
        for batch in rows.iter(batch_size=_ROWS):
            for values in zip(*(batch[name] for name in columns.outermost), strict=True):
                text = columns.text(dict(zip(columns.outermost, values, strict=True)))
                if text is None:
                    left_out.null += 1
                else:
                    yield text
        for note in columns.notes:
            left_out.note(note)

    def _kinds(self) -> dict[str, str]:
        """The kind of each column; for a stream this may read the first rows."""

        first: Row = next(iter(self._rows), {})
        features = getattr(self._rows, "features", None) or {}
        typed = {name: _kind(kind) for name, kind in features.items()}
        seen = {name: kind for name, kind in kinds_of([first]).items() if kind != "nothing"}
        return {**dict.fromkeys(first, "nothing"), **seen, **{n: k for n, k in typed.items() if k}}


def _kind(feature: Any) -> str:
    """The kind of a scalar column; others depend on their values."""
    name = str(getattr(feature, "dtype", ""))
    if name in ("string", "large_string"):
        return "text"
    if name.startswith(("int", "uint", "float", "decimal")):
        return "number"
    return "truth" if name == "bool" else ""


def _write(
    split: RowSplit, request: dict[str, Any], staging: StagingWriter, left_out: LeftOut, send: Tell
) -> None:
    shortest, longest = request.get("minimum_length", 0), request.get("maximum_length")
    for number, text in enumerate(_documents(split.texts(left_out), request.get("heading", ""))):
        if number % 256 == 0 and isinstance(split, DatasetRows):
            send("reading", staging.documents, None, "documents")
        if len(text) < shortest:
            left_out.short += 1
        elif longest is not None and len(text) > longest:
            left_out.long += 1
        elif not staging.add(DocumentPiece(text.strip("\n"))):
            return


def _documents(texts: Iterator[str], heading: str) -> Iterator[str]:
    """The rows, or all rows from one heading to the next joined."""
    if not heading:
        yield from texts
        return
    begins, lines = re.compile(heading), list[str]()
    for text in texts:
        if lines and begins.match(text):
            yield "".join(lines)
            lines = []
        lines.append(text if text.endswith("\n") else text + "\n")
    if lines:
        yield "".join(lines)


def report_bars(send: Tell) -> None:
    """Make every progress bar of the libraries report its progress instead of drawing."""
    from tqdm.std import tqdm

    downloads: dict[int, tuple[float, float]] = {}

    def display(bar: Any, *_: Any, **__: Any) -> bool:
        if bar.unit == "B":
            downloads[id(bar)] = (bar.n, bar.total or 0.0)
            done, total = (sum(column) for column in zip(*downloads.values(), strict=True))
            send("downloading", done, total or None, "bytes")
        elif bar.total or bar.n:
            unit = str(bar.unit).strip()
            stage = "unpacking" if unit == "examples" else "opening the dataset"
            send(stage, bar.n, bar.total, "rows" if unit == "examples" else "files")
        return True

    tqdm.display = display
