"""The settings of a directory source."""

from typing import Literal

from slm_tui.config.fields import setting
from slm_tui.config.problem import Problem
from slm_tui.config.sources.paths import path_problem
from slm_tui.config.sources.settings import PathSettings
from slm_tui.config.sources.text_fields import Encoding, Separator, encoding_setting


class DirectoryData(PathSettings):
    """All text files below a directory."""

    kind: Literal["directory"] = setting("directory", help="Where the text comes from")
    path: str = setting(
        "", help="Path of the directory; relative to the working directory, ~ is home"
    )
    pattern: str = setting(
        "", help="Glob of the files to read, such as **/*.py; empty: all .txt and .md files"
    )
    separator: Separator = setting(
        "",
        help="Separator between documents in a file; empty: <|endoftext|>, if present",
        advanced=True,
    )
    encoding: Encoding = encoding_setting()
    on_encoding_error: Literal["refuse", "skip", "replace"] = setting(
        "refuse", help="What to do with files that are not text or cannot be read", advanced=True
    )

    def problem(self) -> Problem | None:
        """See `DataSettings.problem`."""
        return path_problem(self.path, "directory")
