"""The settings of a file source."""

import os
from pathlib import Path
from typing import Literal

from slm_tui.config.fields import setting
from slm_tui.config.problem import Problem
from slm_tui.config.sources.paths import path_problem
from slm_tui.config.sources.settings import PathSettings
from slm_tui.config.sources.text_fields import Delimiter, Encoding, Separator, encoding_setting


class FileData(PathSettings):
    """One text file, or a table with a text column."""

    kind: Literal["file"] = setting("file", help="Where the text comes from")
    path: str = setting("", help="Path of the file; relative to the working directory, ~ is home")
    format: Literal["auto", "text", "jsonl", "csv", "parquet"] = setting(
        "auto", help="File format; auto: from the file name", advanced=True
    )
    separator: Separator = setting(
        "",
        help="Separator between documents in plain text; empty: <|endoftext|>, if present",
        advanced=True,
    )
    text_column: str = setting(
        "", help="Text column of jsonl, csv or parquet; empty: detected by common names"
    )
    second_column: str = setting("", help="Column to append to the text column", advanced=True)
    column_separator: Separator = setting(
        "\n\n", help="Separator between the two columns", advanced=True
    )
    delimiter: Delimiter = setting("", help="Delimiter of csv; empty: detected", advanced=True)
    header: Literal["auto", "yes", "no"] = setting(
        "auto", help="Whether the first line of csv names the columns", advanced=True
    )
    quotes: Literal["auto", "double", "backslash", "none"] = setting(
        "auto",
        help="Quotes in csv: doubled, backslash-escaped, or literal",
        advanced=True,
    )
    encoding: Encoding = encoding_setting()
    on_encoding_error: Literal["refuse", "replace"] = setting(
        "refuse", help="What to do with bytes that are not valid in the encoding", advanced=True
    )

    def problem(self) -> Problem | None:
        """See `DataSettings.problem`."""
        return path_problem(self.path, "file")

    def source_bytes(self) -> float | None:
        """See `DataSettings.source_bytes`: the size of the file, in any format."""
        try:
            return os.stat(Path(self.path).expanduser()).st_size
        except (OSError, ValueError, RuntimeError):
            return None
