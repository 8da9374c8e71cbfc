"""The settings of a file as a source."""

import os
from pathlib import Path
from typing import Literal

from slm_tui.config.fields import setting
from slm_tui.config.problem import Problem
from slm_tui.config.sources.paths import path_problem
from slm_tui.config.sources.settings import PathSettings
from slm_tui.config.sources.text_fields import Delimiter, Encoding, Separator, encoding_setting


class FileData(PathSettings):
    """One file of text, or of rows with a text column."""

    kind: Literal["file"] = setting("file", help="Where the text comes from")
    path: str = setting("", help="The file; relative to the working directory, ~ is home")
    format: Literal["auto", "text", "jsonl", "csv", "parquet"] = setting(
        "auto", help="How the file is laid out; auto goes by its name", advanced=True
    )
    separator: Separator = setting(
        "",
        help="What stands between documents of plain text; empty: <|endoftext|> where it is there",
        advanced=True,
    )
    text_column: str = setting(
        "", help="Column with the text of jsonl, csv, parquet; empty: found by its usual names"
    )
    second_column: str = setting("", help="A column to append to the first", advanced=True)
    column_separator: Separator = setting("\n\n", help="What joins two columns", advanced=True)
    delimiter: Delimiter = setting(
        "", help="What stands between the cells of csv; empty: found", advanced=True
    )
    header: Literal["auto", "yes", "no"] = setting(
        "auto", help="Whether the first line of csv names the columns", advanced=True
    )
    quotes: Literal["auto", "double", "backslash", "none"] = setting(
        "auto",
        help="Quotes within csv: doubled, after a backslash, or part of the text",
        advanced=True,
    )
    encoding: Encoding = encoding_setting()
    on_encoding_error: Literal["refuse", "replace"] = setting(
        "refuse", help="What to do with bytes that the encoding does not have", advanced=True
    )

    def problem(self) -> Problem | None:
        """See `DataSettings.problem`."""
        return path_problem(self.path, "file")

    def source_bytes(self) -> float | None:
        """See `DataSettings.source_bytes`: the size of the file, however it is laid out."""
        try:
            return os.stat(Path(self.path).expanduser()).st_size
        except (OSError, ValueError, RuntimeError):
            return None
