"""Where documents come from: the built-in stories, files, directories, datasets.

A source says what decides its text (`fingerprint`) and writes its documents to disk (`stage`).
"""

from pathlib import Path

from slm_tui.config.data import DataConfig, DirectoryData, FileData, HuggingFaceData, StoriesData
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import directory as directories
from slm_tui.corpus.sources import file as files
from slm_tui.corpus.sources import hub
from slm_tui.corpus.sources import stories as own
from slm_tui.corpus.sources.contract import END_OF_TEXT, READING, LeftOut, Staged
from slm_tui.corpus.sources.stories import stories_wanted
from slm_tui.errors import CorpusError

__all__ = [
    "END_OF_TEXT",
    "READING",
    "LeftOut",
    "Staged",
    "fingerprint",
    "name_of",
    "own_splits",
    "stage",
    "stories_wanted",
]


def fingerprint(data: DataConfig, *, reading: int = READING) -> dict[str, object]:
    """What decides the text of a source, as plain values; needs no network.

    `reading` 1 gives what the first version of the program gave, which read some files otherwise.

    Raises:
        CorpusError: it cannot be read.
    """
    if isinstance(data, StoriesData):
        return own.fingerprint(data)
    if isinstance(data, FileData):
        return files.fingerprint(data, reading=reading)
    if isinstance(data, DirectoryData):
        return directories.fingerprint(data, reading=reading)
    return hub.fingerprint(data, reading=reading)


def stage(data: DataConfig, directory: Path, meter: Meter) -> Staged:
    """Write the documents of a source to files in `directory`.

    Raises:
        CorpusError: the source cannot be read, or has no text.
        OSError: `directory` cannot be written.
        Cancelled: `meter` was told so.
    """
    if isinstance(data, StoriesData):
        return own.stage(data, directory, meter)
    if isinstance(data, FileData):
        return files.stage(data, directory, meter)
    if isinstance(data, DirectoryData):
        return directories.stage(data, directory, meter)
    assert isinstance(data, HuggingFaceData)
    staged = hub.stage(data, directory, meter)
    if not len(staged.parts["train"]):
        raise CorpusError(f"{data.dataset} has no text", "every row of it is empty", "name another")
    return staged


def name_of(data: DataConfig) -> str:
    """What a list calls the text: the name of its file, directory or dataset."""
    if isinstance(data, StoriesData):
        return f"stories, {data.richness}"
    if isinstance(data, HuggingFaceData):
        return data.dataset
    return Path(data.path).name


def own_splits(data: DataConfig) -> set[str]:
    """Which of `val` and `test` the source has itself, so that they are not cut from training."""
    if not isinstance(data, HuggingFaceData):
        return set()
    whole = hub.completed(data)
    named = {"val": whole.validation_split, "test": whole.test_split}
    return {part for part, split in named.items() if split}
