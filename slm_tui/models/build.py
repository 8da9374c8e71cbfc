"""From a preset's model section to a network on a device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from slm_tui.config.model import GptModel, HgrnModel, HnetModel, ModelConfig
from slm_tui.config.models.settings import ModelSettings
from slm_tui.models.base import LanguageModel
from slm_tui.models.gpt import Gpt
from slm_tui.models.hgrn import Hgrn
from slm_tui.models.hnet import Hnet

# Called with the settings of a family and the vocabulary size. A family registered here can be
# trained, and the contract tests run on it.
FAMILIES: dict[type[ModelSettings], Callable[[Any, int], LanguageModel]] = {
    GptModel: Gpt,
    HgrnModel: Hgrn,
    HnetModel: Hnet,
}


def build(
    config: ModelConfig, n_vocab: int, device: torch.device, seed: int | None
) -> LanguageModel:
    """Build the network; initialize its weights from `seed`, or leave them unset if it is `None`.

    No global random state is used, so a model can be built while another trains.
    """
    # On the meta device the constructors neither initialize nor allocate anything.
    with torch.device("meta"):
        model = FAMILIES[type(config)](config, n_vocab)
    if device.type != "meta":
        _allocate(model, device)
    if seed is not None:
        model.initialize(torch.Generator().manual_seed(seed))
    return model


def _allocate(model: LanguageModel, device: torch.device) -> None:
    """Give each weight memory on a device, without setting it.

    `Module.to_empty` does the same but imports sympy for it, which takes half a second.
    """
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            memory = torch.empty(weight.shape, dtype=weight.dtype, device=device)
            setattr(module, name, nn.Parameter(memory))


def count_parameters(model: LanguageModel) -> int:
    """Number of distinct weights."""
    return sum(parameter.numel() for parameter in model.parameters())
