"""Where documents come from: the built-in stories, files, directories, datasets.

A source reports what determines its text (`fingerprint`) and writes its documents to disk
(`stage`).
"""

from pathlib import Path

from slm_tui.config.data import DataConfig, DirectoryData, FileData, HuggingFaceData, StoriesData
from slm_tui.config.sources.settings import DataSettings
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import directory as directories
from slm_tui.corpus.sources import file as files
from slm_tui.corpus.sources import hub
from slm_tui.corpus.sources import stories as own
from slm_tui.corpus.sources.contract import (
    BOOKS,
    END_OF_TEXT,
    READING,
    TABLES,
    LeftOut,
    Source,
    StagedDocuments,
)

__all__ = [
    "BOOKS",
    "END_OF_TEXT",
    "READING",
    "TABLES",
    "LeftOut",
    "StagedDocuments",
    "fingerprint",
    "stage",
]

# The module that reads each source: register new ones here.
SOURCES: dict[type[DataSettings], Source] = {
    StoriesData: own,
    FileData: files,
    DirectoryData: directories,
    HuggingFaceData: hub,
}


def fingerprint(data: DataConfig, *, reading: int = READING) -> dict[str, object]:
    """What determines the text of a source, as plain values; needs no network.

    An older `reading` gives the values of that version, which read some files differently.

    Raises:
        CorpusError: it cannot be read.
    """
    return SOURCES[type(data)].fingerprint(data, reading=reading)


def stage(
    data: DataConfig, directory: Path, meter: Meter, *, reading: int = READING
) -> StagedDocuments:
    """Write the documents of a source to files in `directory`, as version `reading` read them.

    `TABLES` is the oldest version that can still be read.

    Raises:
        CorpusError: the source cannot be read, or has no text.
        OSError: `directory` cannot be written.
        Cancelled: cancelled through `meter`.
    """
    return SOURCES[type(data)].stage(data, directory, meter, reading=reading)
