"""The settings of a directory source."""

import re
from collections.abc import Callable
from typing import Any, Literal

from slm_tui.config.fields import setting
from slm_tui.config.problem import Problem
from slm_tui.config.sources.paths import path_problem
from slm_tui.config.sources.settings import PathSettings
from slm_tui.config.sources.split_files import SplitFiles, in_directory
from slm_tui.config.sources.text_fields import Encoding, Separator, encoding_setting

SUFFIXES = (".txt", ".md")
"""The endings of the files that are read without a pattern."""


class DirectoryData(PathSettings):
    """All text files below a directory."""

    kind: Literal["directory"] = setting("directory", help="Where the text comes from")
    path: str = setting(
        "", help="Path of the directory; relative to the working directory, ~ is home"
    )
    pattern: str = setting(
        "", help="Glob of the files to read, such as **/*.py; empty: all .txt and .md files"
    )
    split_files: Literal["auto", "none"] = setting(
        "auto",
        help="Files named train, validation and test: auto: are those splits, none: by ratio",
        advanced=True,
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

    def own_splits(self) -> frozenset[str]:
        """See `DataSettings.own_splits`."""
        files = self._files()
        return frozenset(files.parts) - {"train"} if files.has_splits else frozenset()

    def split_note(self) -> str:
        """See `DataSettings.split_note`."""
        return self._files().note

    def _files(self) -> SplitFiles:
        if self.split_files == "none" or not self.path:
            return SplitFiles()
        try:
            return in_directory(self.path, self.matcher())
        except (re.error, ValueError):
            return SplitFiles()

    def matcher(self) -> Callable[[str], Any]:
        """Whether a file is read, by its name relative to the directory.

        Raises:
            ValueError, re.error: the pattern is not valid.
        """
        if not self.pattern:
            return lambda name: name.lower().endswith(SUFFIXES)
        from fsspec.utils import glob_translate

        return re.compile(glob_translate(self.pattern)).match
