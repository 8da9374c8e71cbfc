"""The text sources that a preset can name; register a new one in this union."""

from typing import Annotated

from pydantic import Field

from slm_tui.config.limits import Limit, Split
from slm_tui.config.sources.directory import DirectoryData
from slm_tui.config.sources.file import FileData
from slm_tui.config.sources.huggingface import HuggingFaceData
from slm_tui.config.sources.stories import StoriesData

__all__ = [
    "DataConfig",
    "DirectoryData",
    "FileData",
    "HuggingFaceData",
    "Limit",
    "Split",
    "StoriesData",
]

DataConfig = Annotated[
    StoriesData | FileData | DirectoryData | HuggingFaceData, Field(discriminator="kind")
]
