"""What every source of text says about itself, from its settings alone."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from slm_tui.config.change import Change
from slm_tui.config.fields import Variant, setting
from slm_tui.config.limits import Limit, Split
from slm_tui.config.problem import Problem

_MORE_TEXT = 4


class DataSettings(Variant):
    """Base of the sources of text."""

    location_setting: ClassVar[str] = ""
    """The field that says where the text is; empty for text that the program writes itself."""
    is_remote: ClassVar[bool] = False
    """Whether preparing may download: the user starts it."""
    is_endless: ClassVar[bool] = False
    """Whether held-out parts are drawn beyond the training part instead of cut from it."""

    limit: Limit = setting(Limit(), help="How much of the text the model is trained on")
    split: Split = setting(Split(), help="How the text is divided")

    @property
    @abstractmethod
    def label(self) -> str:
        """What the text is, for people: the name of its file, directory or dataset."""

    @property
    def content(self) -> str:
        """What will be read, for people; more than the label where the settings say how much."""
        return self.label

    @property
    def location(self) -> str:
        """Where the text is, as the user gave it; empty for text that the program writes."""
        return str(getattr(self, self.location_setting)) if self.location_setting else ""

    def problem(self) -> Problem | None:
        """What is wrong before anything is read, such as a path with nothing there."""
        return None

    def missing(self) -> str:
        """The path that the text should be at and is not; empty where it is, or needs none."""
        return ""

    def source_bytes(self) -> float | None:
        """About how many bytes the source has, its limits aside; `None` where nothing says so."""
        return None

    def expected_bytes(self) -> float | None:
        """About how many bytes of text will be used, held-out parts included.

        A limit in tokens does not count. `None` where it cannot be known before reading.
        """
        size = self.source_bytes()
        if size is None:
            return None
        if self.limit.fraction is not None:
            size *= self.limit.fraction
        return min(size, self.limit.characters) if self.limit.characters is not None else size

    def own_splits(self) -> frozenset[str]:
        """Which of `val` and `test` the source has itself: they are not cut from training."""
        return frozenset()

    def held_out(self) -> float:
        """The part of the text that is cut from training."""
        if self.is_endless:
            return 0.0
        ratios = {"val": self.split.validation, "test": self.split.test}
        return sum(ratio for part, ratio in ratios.items() if part not in self.own_splits())

    def documents_wanted(self) -> dict[str, int] | None:
        """Documents of `train`, `val` and `test`, where the source writes as many as asked for."""
        return None

    def more(self) -> Change | None:
        """Four times as much of the same text, where a limit leaves some out."""
        limit = self.limit
        if limit.tokens is not None:
            return self._wider("tokens", limit.tokens)
        if limit.characters is not None:
            return self._wider("characters", limit.characters)
        if limit.documents is not None:
            return self._wider("documents", limit.documents)
        if limit.fraction is not None and limit.fraction < 1:
            part = min(1.0, limit.fraction * _MORE_TEXT)
            return Change(f"more text, {part:.0%} of it", (f"data.limit.fraction={part:g}",))
        return None

    def _wider(self, name: str, now: int) -> Change:
        more = now * _MORE_TEXT
        return Change(f"more text, {more:,} {name}", (f"data.limit.{name}={more}",))

    def richer(self) -> Change | None:
        """Text with more to learn in it, from the same source."""
        return None


class PathSettings(DataSettings):
    """Base of the sources that read a path on this machine; they have a field `path`."""

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
