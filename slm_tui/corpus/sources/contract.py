"""What a source provides: staged documents of one or more splits, and what it left out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from slm_tui.config.data import DataConfig
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources.text_file import END_OF_TEXT, TextFile
from slm_tui.corpus.staging import DocumentSpans

__all__ = [
    "BOOKS",
    "END_OF_TEXT",
    "READING",
    "SPLIT_FILES",
    "TABLES",
    "LeftOut",
    "Source",
    "StagedDocuments",
    "settings",
]


# Settings that the first version did not have, with the values that match its behaviour.
_ADDED: dict[str, object] = {
    "encoding": "auto",
    "delimiter": "",
    "header": "auto",
    "quotes": "auto",
}
# Longer lists of files help nobody.
_MOST_LISTED = 100
# Versions of how sources are read; part of the fingerprint of texts that a change affects. A run
# keeps the version it was started with.
TABLES = 2
"""Tables are read row by row, and replaced characters are counted."""
BOOKS = 3
"""Project Gutenberg's header and licence are left out."""
SPLIT_FILES = 3
"""Files named after a split are that split."""
READING = 3


def settings(data: DataConfig, exclude: set[str]) -> dict[str, Any]:
    """The settings of a source for its fingerprint; unused new settings do not change it."""
    values = data.model_dump(mode="json", exclude=exclude)
    return {name: one for name, one in values.items() if _ADDED.get(name, ...) != one}


@dataclass
class LeftOut:
    """What part of the source is not in the corpus, and why.

    `files` has the names of the first hundred skipped files and the reasons, `skipped` the number
    of all; `blank`, `short`, `long` and `null` count documents; `splits` are unused splits of a
    dataset. `replaced` counts characters that were invalid in the encoding, out of `decoded`;
    `notes` say how the source was read if that had to be guessed.
    """

    files: list[tuple[str, str]] = field(default_factory=list)
    skipped: int = 0
    blank: int = 0
    short: int = 0
    long: int = 0
    null: int = 0
    splits: list[str] = field(default_factory=list)
    replaced: int = 0
    decoded: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Note how something was read, once."""
        if text not in self.notes and len(self.notes) < _MOST_LISTED:
            self.notes.append(text)

    def skip(self, name: str, why: str) -> None:
        """Note that a file was skipped."""
        self.skipped += 1
        if len(self.files) < _MOST_LISTED:
            self.files.append((name, why))

    def read(self, file: TextFile, name: str = "") -> None:
        """Note how a file was decoded; `name` identifies it if there are several."""
        self.replaced += file.replaced
        self.decoded += file.characters
        for text in file.notes:
            self.note(f"{name}: {text}" if name else text)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; zero and empty entries are dropped."""
        values = {
            "skipped_files": [list(one) for one in self.files],
            "skipped": self.skipped,
            "blank": self.blank,
            "short": self.short,
            "long": self.long,
            "null": self.null,
            "splits": self.splits,
            "replaced": self.replaced,
            "decoded": self.decoded if self.replaced else 0,
            "notes": self.notes,
        }
        return {name: value for name, value in values.items() if value}


@dataclass
class StagedDocuments:
    """Documents by split. Splits requested by `data.split` but missing here are taken from the
    training split, unless the source is `complete`: then it provides everything."""

    parts: dict[str, DocumentSpans]
    left_out: LeftOut = field(default_factory=LeftOut)
    complete: bool = False


class Source(Protocol):
    """The module that reads one kind of source; `data` are the settings of that kind."""

    def fingerprint(self, data: Any, *, reading: int = READING) -> dict[str, object]:
        """What determines the text, as plain values; needs no network.

        An older `reading` gives the values of that version.

        Raises:
            CorpusError: it cannot be read.
        """
        ...

    def stage(
        self, data: Any, directory: Path, meter: Meter, *, reading: int = READING
    ) -> StagedDocuments:
        """Write the documents to files in `directory`, as version `reading` read them.

        `TABLES` is the oldest version that can still be read.

        Raises:
            CorpusError: the source cannot be read, or has no text.
            OSError: `directory` cannot be written.
            Cancelled: cancelled through `meter`.
        """
        ...
