"""The model families that a preset can name; register a new one in this union."""

from typing import Annotated

from pydantic import Field

from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel

__all__ = ["GptModel", "HgrnModel", "HnetModel", "ModelConfig"]

ModelConfig = Annotated[GptModel | HgrnModel | HnetModel, Field(discriminator="kind")]
