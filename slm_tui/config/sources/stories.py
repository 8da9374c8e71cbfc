"""The settings of the built-in stories."""

from typing import ClassVar, Literal

from slm_tui.config.change import Change
from slm_tui.config.fields import setting
from slm_tui.config.sources.settings import DataSettings

# Mean bytes of a story, measured over 2,000 stories of each richness.
_BYTES = {"tiny": 405, "small": 593, "rich": 669}
# Independent of the number of training stories: with fewer, the validation loss is mostly noise.
_FEWEST_HELD_OUT = 64
_SHORTEST_STORY = 100
_CHARACTERS_PER_TOKEN = 8


class StoriesData(DataSettings):
    """The built-in stories: endless, deterministic, with a known entropy."""

    is_endless: ClassVar[bool] = True

    kind: Literal["stories"] = setting("stories", help="Where the text comes from")
    richness: Literal["tiny", "small", "rich"] = setting(
        "small", help="How varied the words and plots are"
    )
    documents: int = setting(
        20_000,
        ge=1,
        le=10_000_000,
        help="Number of stories to generate",
        unit="stories",
        nudge="125",
    )
    seed: int = setting(0, ge=0, help="Random seed for the stories", nudge="+1")

    @property
    def label(self) -> str:
        """See `DataSettings.label`."""
        return f"stories, {self.richness}"

    @property
    def content(self) -> str:
        """See `DataSettings.content`."""
        return f"{self._used:,} stories ({self.richness})"

    def source_bytes(self) -> float:
        """See `DataSettings.source_bytes`."""
        return self._used * _BYTES[self.richness]

    @property
    def _used(self) -> int:
        return min(self.documents, self.limit.documents or self.documents)

    def generated_documents(self) -> dict[str, int]:
        """See `DataSettings.generated_documents`: held-out stories are extra."""
        stories = self.documents
        if self.limit.documents is not None:
            stories = min(stories, self.limit.documents)
        if self.limit.fraction is not None:
            stories = max(1, round(stories * self.limit.fraction))
        characters = self.limit.characters
        if self.limit.tokens is not None:
            characters = self.limit.tokens * _CHARACTERS_PER_TOKEN
        if characters is not None:
            stories = min(stories, characters // _SHORTEST_STORY + 1)
        parts = {"train": stories}
        for part, ratio in (("val", self.split.validation), ("test", self.split.test)):
            parts[part] = max(_FEWEST_HELD_OUT, round(stories * ratio)) if ratio else 0
        return parts

    def more(self) -> Change | None:
        """See `DataSettings.more`: the supply of stories is unlimited."""
        if self.limit.tokens is not None or self.limit.characters is not None:
            return super().more()
        stories = 4 * min(self.documents, self.limit.documents or self.documents)
        changes = [f"data.documents={max(stories, self.documents)}"]
        changes += [f"data.limit.documents={stories}"] if self.limit.documents else []
        return Change(f"more text: {stories:,} stories", tuple(changes))

    def richer(self) -> Change | None:
        """See `DataSettings.richer`."""
        following = {"tiny": "small", "small": "rich"}.get(self.richness)
        if following is None:
            return None
        text = f"little is left to learn in these stories: try {following} stories"
        return Change(text, (f"data.richness={following}",))
