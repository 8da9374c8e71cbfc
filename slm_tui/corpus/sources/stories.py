"""The built-in stories as a source: endless, so that validation has stories of its own."""

from collections.abc import Iterator
from pathlib import Path

from slm_tui.config.data import Limit, StoriesData
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources.contract import Staged
from slm_tui.corpus.staging import Piece, Staging

# However few stories train the model: with fewer the validation loss is mostly noise.
_FEWEST_HELD_OUT = 64
_SHORTEST_STORY = 100
_CHARACTERS_PER_TOKEN = 8


def fingerprint(data: StoriesData) -> dict[str, object]:
    """What decides the stories."""
    from slm_tui.corpus.stories import GRAMMAR_VERSION

    return {**data.model_dump(mode="json"), "grammar": GRAMMAR_VERSION}


def stories(data: StoriesData, first: int, count: int) -> Iterator[Piece]:
    """Stories `first` to `first + count` of the source."""
    from slm_tui.corpus.stories import StoryGenerator

    generator = StoryGenerator(data.richness, data.seed)
    for index in range(first, first + count):
        story = generator.story(index)
        yield Piece(story.text, bits=story.bits)


def stories_wanted(data: StoriesData) -> dict[str, int]:
    """How many stories each part gets; validation and test are drawn beyond the training part."""
    wanted = data.documents
    if data.limit.documents is not None:
        wanted = min(wanted, data.limit.documents)
    if data.limit.fraction is not None:
        wanted = max(1, round(wanted * data.limit.fraction))
    characters = data.limit.characters
    if data.limit.tokens is not None:
        characters = data.limit.tokens * _CHARACTERS_PER_TOKEN
    if characters is not None:
        wanted = min(wanted, characters // _SHORTEST_STORY + 1)
    parts = {"train": wanted}
    for part, ratio in (("val", data.split.validation), ("test", data.split.test)):
        parts[part] = max(_FEWEST_HELD_OUT, round(wanted * ratio)) if ratio else 0
    return parts


def stage(data: StoriesData, directory: Path, meter: Meter) -> Staged:
    """Write the stories of every part; a limit holds for the training part."""
    wanted = stories_wanted(data)
    total, first, parts = sum(wanted.values()), 0, {}
    for part, count in wanted.items():
        characters = data.limit.characters if part == "train" else None
        limit = Limit(characters=characters)
        with Staging(directory / f"{part}.text", limit) as staging:
            for number, piece in enumerate(stories(data, first, count)):
                if number % 256 == 0:
                    meter("writing stories", first + number, total, "stories")
                if not staging.add(piece):
                    break
            parts[part] = staging.finish()
        first += count
    return Staged(parts, complete=True)
