"""From settings to networks: every family that can be chosen can be built."""

import pytest
import torch

from slm_tui.config import library
from slm_tui.config.kinds import KINDS
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.models.build import FAMILIES, build, count_parameters


def test_presets_that_can_be_trained_can_be_built() -> None:
    presets: list[Preset] = [entry.preset for entry in library._builtin() if entry.preset]
    for preset in presets:
        with torch.device("meta"):
            model = build(preset.model, 300, torch.device("meta"), None)
        assert count_parameters(model) == preset.model.parameters(300)[0]


@pytest.mark.parametrize("kind", KINDS["model"])
def test_a_family_is_registered_or_says_that_it_comes_later(kind: str) -> None:
    config = KINDS["model"][kind]
    assert (config in FAMILIES) == (not config.not_built)
    if config.not_built:
        with pytest.raises(SlmTuiError, match="later version; use gpt"):
            build(config.model_validate({"kind": kind}), 61, torch.device("meta"), None)  # type: ignore[arg-type]
