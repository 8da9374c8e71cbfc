"""What a source gives: staged documents of one or more parts, and what it left out."""

from dataclasses import dataclass, field
from typing import Any

from slm_tui.corpus.staging import Spans

END_OF_TEXT = "<|endoftext|>"
# A list of files that nobody can read to its end helps nobody.
_MOST_LISTED = 100


@dataclass
class LeftOut:
    """What of the source is not in the corpus, and why.

    `files` has the name and the reason of the first hundred that were skipped, `skipped` the
    number of all; `blank`, `short`, `long` and `null` count documents; `splits` are those of a
    dataset that the preset does not use.
    """

    files: list[tuple[str, str]] = field(default_factory=list)
    skipped: int = 0
    blank: int = 0
    short: int = 0
    long: int = 0
    null: int = 0
    splits: list[str] = field(default_factory=list)

    def skip(self, name: str, why: str) -> None:
        """Note that a file was left out."""
        self.skipped += 1
        if len(self.files) < _MOST_LISTED:
            self.files.append((name, why))

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
        }
        return {name: value for name, value in values.items() if value}


@dataclass
class Staged:
    """Documents by part. What `data.split` asks for and is not here is cut from the training
    part, unless the source is `complete`: then it gave all that there is to be."""

    parts: dict[str, Spans]
    left_out: LeftOut = field(default_factory=LeftOut)
    complete: bool = False
