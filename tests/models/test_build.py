"""From settings to networks: every family that can be chosen can be built."""

import pytest
import torch

from slm_tui.config import library
from slm_tui.config.kinds import KINDS
from slm_tui.config.preset import Preset
from slm_tui.models.build import FAMILIES, build, count_parameters


def test_presets_that_can_be_trained_can_be_built() -> None:
    presets: list[Preset] = [entry.preset for entry in library._builtin() if entry.preset]
    for preset in presets:
        with torch.device("meta"):
            model = build(preset.model, 300, torch.device("meta"), None)
        assert count_parameters(model) == preset.model.parameters(300)[0]


@pytest.mark.parametrize("kind", KINDS["model"])
def test_every_family_of_the_form_can_be_built(kind: str) -> None:
    config = KINDS["model"][kind]
    assert config in FAMILIES
    build(config.model_validate({"kind": kind}), 61, torch.device("meta"), None)  # type: ignore[arg-type]
