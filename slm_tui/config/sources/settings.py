"""What every text source can compute from its settings alone."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from slm_tui.config.change import Change
from slm_tui.config.fields import Variant, setting
from slm_tui.config.limits import Limit, Split
from slm_tui.config.problem import Problem

_MORE_TEXT = 4


class DataSettings(Variant):
    """Base of the text sources."""

    location_setting: ClassVar[str] = ""
    """The field that locates the text; empty for text that the program generates."""
    is_remote: ClassVar[bool] = False
    """Whether preparation may download; only the user starts that."""
    is_endless: ClassVar[bool] = False
    """Whether held-out splits are generated in addition to the training split."""

    limit: Limit = setting(Limit(), help="How much of the text is used")
    split: Split = setting(Split(), help="How the text is split")

    @property
    @abstractmethod
    def label(self) -> str:
        """A readable name of the text: its file, directory or dataset."""

    @property
    def content(self) -> str:
        """A readable description of what will be read; adds the amount if it is known."""
        return self.label

    @property
    def location(self) -> str:
        """Where the text is, as entered; empty for text that the program generates."""
        return str(getattr(self, self.location_setting)) if self.location_setting else ""

    def problem(self) -> Problem | None:
        """A problem that is known before anything is read, such as a missing file."""
        return None

    def missing(self) -> str:
        """The path where the text should be but is not; empty if it exists or needs no path."""
        return ""

    def source_bytes(self) -> float | None:
        """Approximate size of the source in bytes, ignoring limits; `None` if unknown."""
        return None

    def expected_bytes(self) -> float | None:
        """Approximate number of bytes of text that will be used, held-out splits included.

        Ignores a limit in tokens. `None` if it cannot be known before reading.
        """
        size = self.source_bytes()
        if size is None:
            return None
        if self.limit.fraction is not None:
            size *= self.limit.fraction
        return min(size, self.limit.characters) if self.limit.characters is not None else size

    def own_splits(self) -> frozenset[str]:
        """Which of `val` and `test` the source provides; these are not taken from training."""
        return frozenset()

    def split_note(self) -> str:
        """Which files of the source are which split, if their names decide; else empty."""
        return ""

    def held_out(self) -> float:
        """The fraction of the text that is held out from training."""
        if self.is_endless:
            return 0.0
        ratios = {"val": self.split.validation, "test": self.split.test}
        return sum(ratio for part, ratio in ratios.items() if part not in self.own_splits())

    def generated_documents(self) -> dict[str, int] | None:
        """Number of documents of `train`, `val` and `test`, if the source generates them."""
        return None

    def more(self) -> Change | None:
        """Four times as much of the same text, if a limit excludes some."""
        limit = self.limit
        if limit.tokens is not None:
            return self._wider("tokens", limit.tokens)
        if limit.characters is not None:
            return self._wider("characters", limit.characters)
        if limit.documents is not None:
            return self._wider("documents", limit.documents)
        if limit.fraction is not None and limit.fraction < 1:
            part = min(1.0, limit.fraction * _MORE_TEXT)
            return Change(f"more text: {part:.0%} of it", (f"data.limit.fraction={part:g}",))
        return None

    def _wider(self, name: str, now: int) -> Change:
        more = now * _MORE_TEXT
        return Change(f"more text: {more:,} {name}", (f"data.limit.{name}={more}",))

    def richer(self) -> Change | None:
        """More varied text from the same source."""
        return None


class PathSettings(DataSettings):
    """Base of the sources that read a local path, in the field `path`."""

    location_setting: ClassVar[str] = "path"

    @property
    def label(self) -> str:
        """See `DataSettings.label`."""
        return Path(self.location).name

    def missing(self) -> str:
        """See `DataSettings.missing`."""
        try:
            is_there = Path(self.location).expanduser().exists()
        except (OSError, ValueError, RuntimeError):
            is_there = False
        return "" if is_there else self.location
