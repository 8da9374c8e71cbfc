"""From a preset's model section to a network on a device."""

import torch

from slm_tui.config.built import NotBuiltYet
from slm_tui.config.model import GptModel, ModelConfig
from slm_tui.models.base import LanguageModel
from slm_tui.models.gpt import Gpt


def build(
    config: ModelConfig, n_vocab: int, device: torch.device, seed: int | None
) -> LanguageModel:
    """Build the network; draw its weights from `seed`, or leave them unset where it is `None`.

    No global random state is read or changed, so that a model may be built while another trains.

    Raises:
        NotBuiltYet: the family cannot be trained by this version.
    """
    # On the meta device the constructors draw nothing and allocate nothing.
    with torch.device("meta"):
        model = _family(config, n_vocab)
    model = model.to_empty(device=device)
    if seed is not None:
        model.initialize(torch.Generator().manual_seed(seed))
    return model


def _family(config: ModelConfig, n_vocab: int) -> LanguageModel:
    if isinstance(config, GptModel):
        return Gpt(config, n_vocab)
    raise NotBuiltYet(f"the {config.kind} family", "it comes in a later version; use gpt")


def count_parameters(model: LanguageModel) -> int:
    """Number of distinct weights."""
    return sum(parameter.numel() for parameter in model.parameters())
