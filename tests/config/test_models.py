"""What model settings compute, for every family that a preset can name."""

import pytest

from slm_tui.config.kinds import KINDS
from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.overrides import apply
from slm_tui.config.preset import parse
from tests.conftest import make_tiny


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"kind": "hgrn", "n_embd": 512, "n_layer": 6}, 20_744_192),
        ({"kind": "hgrn", "n_embd": 256, "n_layer": 4}, 3_550_720),
        ({"kind": "hgrn", "n_embd": 768, "n_layer": 12}, 85_427_712),
        ({"kind": "hnet", "d_model": [256, 384], "num_blocks": [[4, 0, 4], [8]]}, 21_356_032),
        (
            {
                "kind": "hnet",
                "d_model": [512, 768, 1024],
                "num_blocks": [[4, 0, 4], [4, 0, 4], [8]],
            },
            189_669_120,
        ),
        (
            {"kind": "hnet", "d_model": [384, 512, 768], "num_blocks": [[3, 0, 3], [3, 0, 3], [6]]},
            75_068_544,
        ),
    ],
)
def test_byte_models_have_the_known_counts(model: dict[str, object], expected: int) -> None:
    preset = parse({"name": "x", "tokenizer": {"kind": "bytes"}, "model": model}, "it")
    assert preset.model.parameters(256)[0] == expected


@pytest.mark.parametrize("kind", KINDS["model"])
def test_every_family_knows_its_size(kind: str) -> None:
    model = make_tiny(model={"kind": kind}).model
    assert isinstance(model, ModelSettings)
    total, embedding = model.parameters(300)
    assert 0 < embedding < total
    assert model.flops(300) >= 6 * (total - embedding)
    assert model.width >= 8
    assert model.layers >= 1
    assert model.activations(300) > model.width * model.layers
    assert all(path.partition(".")[2] in type(model).model_fields for path in model.size_settings)


@pytest.mark.parametrize("kind", KINDS["model"])
def test_a_proposed_change_matches_its_text(kind: str) -> None:
    preset = make_tiny(model={"kind": kind})
    larger, smaller = preset.model.larger(), preset.model.smaller()
    if larger is not None:
        model = apply(preset, list(larger.assignments)).model
        assert model.width == 2 * preset.model.width
    if smaller is not None:
        model = apply(preset, list(smaller.assignments)).model
        assert model.layers == preset.model.layers // 2
    more = preset.model.more_dropout(0.4)
    if more is not None:
        assert apply(preset, list(more.assignments)).model.dropout_rate == pytest.approx(0.1)
    assert (more is None) == ("dropout" not in type(preset.model).model_fields)


def test_a_one_layer_model_with_high_dropout_gets_no_proposals() -> None:
    model = make_tiny(model__dropout=0.4).model
    assert model.smaller() is None
    assert model.more_dropout(0.4) is None
