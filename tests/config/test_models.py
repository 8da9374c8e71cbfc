"""What model settings compute, for every family that a preset can name."""

import pytest

from slm_tui.config.kinds import KINDS
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.preset import check
from tests.conftest import make_tiny, tiny_values


@pytest.mark.parametrize("kind", KINDS["model"])
def test_every_family_knows_its_size(kind: str) -> None:
    model = make_tiny(model={"kind": kind}).model
    assert isinstance(model, ModelSettings)
    total, embedding = model.parameters(300)
    assert 0 < embedding < total
    assert model.flops(300) > 0
    assert model.width >= 8
    assert model.layers >= 1
    assert model.activations(300) > model.width * model.layers
    assert all(path.partition(".")[2] in type(model).model_fields for path in model.size_settings)


@pytest.mark.parametrize(
    ("widths", "expected"),
    [([256, 384], [1.94, 1]), ([512, 768, 1024], [3.54, 1.83, 1]), ([64, 64], [1.58, 1])],
)
def test_stages_learn_at_rates_that_follow_from_their_widths(
    widths: list[int], expected: list[float]
) -> None:
    blocks = [[1, 0, 1]] * (len(widths) - 1) + [[1]]
    model = {"kind": "hnet", "d_model": widths, "num_blocks": blocks}
    found = make_tiny(model=model).model
    assert isinstance(found, HnetModel)
    assert found.stage_rates == pytest.approx(expected, abs=0.005)
    assert found.metric_targets == {f"stage{n}_compression": 2.5 for n in range(1, len(widths))}
    one = make_tiny(model={**model, "learning_rate_multipliers": [3.0] * len(widths)}).model
    assert isinstance(one, HnetModel)
    assert one.stage_rates == (3.0,) * len(widths)


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"d_model": [96, 64]}, "d_model", "must not shrink inwards; try [64, 96]"),
        ({"d_model": [4, 64]}, "d_model", "each width must be from 8 to 8,192"),
        ({"num_blocks": [[3]]}, "num_blocks", "2 stages need 2 lists of blocks"),
        ({"num_blocks": [[1, 2, 1], [3]]}, "num_blocks", "stage 1 needs [encoder, 0, decoder]"),
        ({"num_blocks": [[1, 0, 1], [1, 1]]}, "num_blocks", "needs one number, from 1 to 96"),
        ({"num_blocks": [[1, 0, 1], [0]]}, "num_blocks", "try [3]"),
        (
            {"learning_rate_multipliers": [2.0]},
            "learning_rate_multipliers",
            "2 stages need 2 multipliers; try [2.0, 1.0]",
        ),
        (
            {"learning_rate_multipliers": [2.0, 0.0]},
            "learning_rate_multipliers",
            "each must be above 0",
        ),
    ],
)
def test_stages_that_do_not_fit_are_one_line(
    changes: dict[str, object], path: str, message: str
) -> None:
    preset, problems = check(tiny_values(model={"kind": "hnet", **changes}))
    assert preset is None
    (problem,) = problems
    assert problem.path == f"model.{path}"
    assert message in problem.message
