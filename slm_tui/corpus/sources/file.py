"""One file: plain text, or rows with a text column (JSONL, CSV, Parquet)."""

from pathlib import Path

from slm_tui.config.data import FileData
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import file_kinds, hub, text_file
from slm_tui.corpus.sources.contract import (
    BOOKS,
    READING,
    TABLES,
    LeftOut,
    StagedDocuments,
    settings,
)
from slm_tui.corpus.sources.gutenberg import Body
from slm_tui.corpus.staging import StagingWriter
from slm_tui.errors import CorpusError

# Settings that do not affect plain text, and one that does not affect rows.
_OF_ROWS = {"text_column", "second_column", "column_separator"}
_OF_CSV = {"delimiter", "header", "quotes"}
_OF_TEXT = {"separator"}


def format_of(data: FileData) -> str:
    """The format of the file: `text`, `jsonl`, `csv` or `parquet`."""
    if data.format != "auto":
        return data.format
    return file_kinds.layout_of(data.path)


def fingerprint(data: FileData, *, reading: int = READING) -> dict[str, object]:
    """The content of the file, independent of its path, and how it is read.

    An older `reading` gives the values of that version.

    Raises:
        CorpusError: it cannot be read.
    """
    layout = format_of(data)
    idle = {
        "text": {*_OF_ROWS, *_OF_CSV},
        "csv": _OF_TEXT,
        "jsonl": {*_OF_TEXT, *_OF_CSV},
        "parquet": {*_OF_TEXT, *_OF_CSV},
    }[layout]
    values = settings(data, exclude={"path", "format", *idle})
    path = text_file.resolved(data.path)
    digest = text_file.digest(path)
    # What earlier versions read differently, or lost.
    if reading >= TABLES and (layout == "csv" or data.on_encoding_error == "replace"):
        values["reading"] = TABLES
    if reading >= BOOKS and layout == "text" and text_file.body_of(path, data.encoding):
        values["reading"] = BOOKS
    return {**values, "format": layout, "sha256": digest}


def stage(
    data: FileData, directory: Path, meter: Meter, *, reading: int = READING
) -> StagedDocuments:
    """Write the documents of the file.

    Raises:
        CorpusError: it cannot be read, is not UTF-8 text, or has none.
    """
    path = text_file.resolved(data.path)
    size = text_file.signature(path)[1]
    layout = format_of(data)
    if layout == "text":
        body = text_file.body_of(path, data.encoding) if reading >= BOOKS else None
        staged = _plain(data, path, body, size, directory, meter)
    else:
        staged = hub.stage_table(data, path, layout, directory, meter)
    if not len(staged.parts["train"]):
        raise CorpusError(f"{data.path} has no text", _why(staged.left_out), "choose another file")
    return staged


def _why(left_out: LeftOut) -> str:
    if left_out.null:
        return f"all of its {left_out.null:,} rows are null"
    return "it is only whitespace" if left_out.blank else "it is empty"


def _plain(
    data: FileData, path: Path, body: Body | None, size: int, directory: Path, meter: Meter
) -> StagedDocuments:
    file = text_file.TextFile(
        path,
        encoding=data.encoding,
        replace=data.on_encoding_error == "replace",
        tags=data.format == "text",
        body=body,
    )
    left_out = LeftOut()
    with StagingWriter(directory / "train.text", data.limit) as staging:
        for piece in file.documents(data.separator, meter=meter, total=size):
            if not staging.add(piece):
                break
        spans = staging.finish()
        left_out.blank = staging.blank
    left_out.read(file)
    return StagedDocuments({"train": spans}, left_out)
