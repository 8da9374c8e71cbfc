"""From settings to networks: every family that can be chosen can be built."""

import sys

import pytest
import torch

from slm_tui.config import library
from slm_tui.config.kinds import KINDS
from slm_tui.config.preset import Preset
from slm_tui.models.build import FAMILIES, build, count_parameters
from tests import limits


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


@pytest.mark.parametrize("kind", KINDS["model"])
def test_every_tensor_of_a_model_is_on_its_device(kind: str) -> None:
    config = KINDS["model"][kind].model_validate({"kind": kind})
    model = build(config, 61, torch.device("cpu"), None)  # type: ignore[arg-type]
    tensors = [*model.parameters(), *model.buffers()]
    assert {one.device.type for one in tensors} == {"cpu"}
    assert all(one.requires_grad for one in model.parameters())


def test_a_model_is_built_without_the_slow_import_of_sympy() -> None:
    """It takes half a second, at each start of a training and of the chat."""
    lines = [
        "import sys, torch",
        "from slm_tui.config.models.gpt import GptModel",
        "from slm_tui.models.build import build",
        "build(GptModel(), 61, torch.device('cpu'), 1)",
        "sys.exit('sympy' in sys.modules)",
    ]
    assert limits.run([sys.executable, "-c", "\n".join(lines)], check=False).returncode == 0
