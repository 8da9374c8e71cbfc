"""The built-in stories as a source: unlimited, so validation has its own stories."""

from collections.abc import Iterator
from pathlib import Path

from slm_tui.config.data import Limit, StoriesData
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources.contract import READING, StagedDocuments
from slm_tui.corpus.staging import DocumentPiece, StagingWriter


def fingerprint(data: StoriesData, *, reading: int = READING) -> dict[str, object]:
    """What determines the stories, which are the same in every version of the program."""
    del reading
    from slm_tui.corpus.stories import GRAMMAR_VERSION

    return {**data.model_dump(mode="json"), "grammar": GRAMMAR_VERSION}


def stories(data: StoriesData, first: int, count: int) -> Iterator[DocumentPiece]:
    """Stories `first` to `first + count` of the source."""
    from slm_tui.corpus.stories import StoryGenerator

    generator = StoryGenerator(data.richness, data.seed)
    for index in range(first, first + count):
        story = generator.story(index)
        yield DocumentPiece(story.text, bits=story.bits)


def stage(
    data: StoriesData, directory: Path, meter: Meter, *, reading: int = READING
) -> StagedDocuments:
    """Write the stories of every split; a limit applies to the training split."""
    del reading
    counts = data.generated_documents()
    total, first, parts = sum(counts.values()), 0, {}
    for part, count in counts.items():
        characters = data.limit.characters if part == "train" else None
        limit = Limit(characters=characters)
        with StagingWriter(directory / f"{part}.text", limit) as staging:
            for number, piece in enumerate(stories(data, first, count)):
                if number % 256 == 0:
                    meter("generating stories", first + number, total, "stories")
                if not staging.add(piece):
                    break
            parts[part] = staging.finish()
        first += count
    return StagedDocuments(parts, complete=True)
