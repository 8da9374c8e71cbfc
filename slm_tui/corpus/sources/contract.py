"""What a source gives: staged documents of one or more parts, and what it left out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from slm_tui.config.data import DataConfig
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources.text_file import END_OF_TEXT, TextFile
from slm_tui.corpus.staging import DocumentSpans

__all__ = ["END_OF_TEXT", "READING", "LeftOut", "Source", "StagedDocuments", "settings"]


# Settings that the first version of the program did not have, and what it did.
_ADDED: dict[str, object] = {
    "encoding": "auto",
    "delimiter": "",
    "header": "auto",
    "quotes": "auto",
}
# A list of files that nobody can read to its end helps nobody.
_MOST_LISTED = 100
# How sources are read, where a change of it changes the text: part of their fingerprint.
READING = 2


def settings(data: DataConfig, exclude: set[str]) -> dict[str, Any]:
    """The settings of a source for its fingerprint, which new ones do not change by being there."""
    values = data.model_dump(mode="json", exclude=exclude)
    return {name: one for name, one in values.items() if _ADDED.get(name, ...) != one}


@dataclass
class LeftOut:
    """What of the source is not in the corpus, and why.

    `files` has the name and the reason of the first hundred that were skipped, `skipped` the
    number of all; `blank`, `short`, `long` and `null` count documents; `splits` are those of a
    dataset that the preset does not use. `replaced` counts characters that the encoding did not
    allow, of `decoded` in all; `notes` say how the source was read where that had to be found
    out.
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
        """Note that a file was left out."""
        self.skipped += 1
        if len(self.files) < _MOST_LISTED:
            self.files.append((name, why))

    def read(self, file: TextFile, name: str = "") -> None:
        """Note how a file was decoded; `name` is its own where there are several."""
        self.replaced += file.replaced
        self.decoded += file.characters
        for text in file.notes:
            self.note(f"{name}: {text}" if name else text)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is nothing is left out."""
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
    """Documents by part. What `data.split` asks for and is not here is cut from the training
    part, unless the source is `complete`: then it gave all that there is to be."""

    parts: dict[str, DocumentSpans]
    left_out: LeftOut = field(default_factory=LeftOut)
    complete: bool = False


class Source(Protocol):
    """The module that reads one kind of source; `data` are the settings of that kind."""

    def fingerprint(self, data: Any, *, reading: int = READING) -> dict[str, object]:
        """What decides the text, as plain values; needs no network.

        `reading` 1 gives what the first version of the program gave.

        Raises:
            CorpusError: it cannot be read.
        """
        ...

    def stage(self, data: Any, directory: Path, meter: Meter) -> StagedDocuments:
        """Write the documents to files in `directory`.

        Raises:
            CorpusError: the source cannot be read, or has no text.
            OSError: `directory` cannot be written.
            Cancelled: `meter` was told so.
        """
        ...
