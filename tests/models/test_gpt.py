"""GPT: what it computes, what it may see, how it starts, and how many weights it has."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config import library
from slm_tui.config.model import GptModel
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build, count_parameters
from tests.conftest import make_tiny
from tests.models.families import GPT_SWITCHES as SWITCHES

CPU = torch.device("cpu")
V = 61


def model_of(seed: int = 1, **changes: object) -> LanguageModel:
    config = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, **changes}
    return build(GptModel.model_validate(config), V, CPU, seed).eval()


def named(switches: dict[str, object]) -> str:
    return "-".join(str(value) for value in switches.values())


def some_ids(batch: int = 3, time: int = 12) -> torch.Tensor:
    return torch.randint(V, (batch, time), generator=torch.Generator().manual_seed(5))


@settings(max_examples=30, deadline=None)
@given(
    layers=st.integers(1, 3),
    heads=st.integers(1, 4),
    width=st.integers(1, 8),
    block=st.integers(4, 40),
    vocabulary=st.integers(2, 300),
    switches=st.sampled_from(SWITCHES),
)
def test_the_estimate_is_exact_for_any_size(
    layers: int, heads: int, width: int, block: int, vocabulary: int, switches: dict[str, object]
) -> None:
    size = {"n_layer": layers, "n_head": heads, "n_embd": heads * width * 8, "block_size": block}
    preset = make_tiny(model={**size, **switches})
    assert (
        count_parameters(build(preset.model, vocabulary, CPU, None))
        == preset.model.parameters(vocabulary)[0]
    )


@pytest.mark.parametrize(
    ("name", "vocabulary", "expected"),
    [
        ("educational-tiny", 50_257, 3_317_568),
        ("educational-small", 50_257, 5_162_688),
        ("educational-medium", 50_257, 7_230_336),
        ("educational-large", 50_257, 17_621_248),
        ("educational-xlarge", 50_257, 29_995_392),
        ("shakespeare-tiny", 512, 169_728),
        ("shakespeare-small", 1024, 873_600),
        ("shakespeare-medium", 1536, 4_011_520),
        ("shakespeare-gpt2", 20_534, 116_989_440),
    ],
)
def test_the_shipped_presets_have_the_known_counts(
    name: str, vocabulary: int, expected: int
) -> None:
    assert library.get(name).model.parameters(vocabulary)[0] == expected


def test_the_initial_weights_have_the_documented_spread() -> None:
    model = model_of(n_embd=128, n_head=4, n_layer=8, block_size=64)
    weights = {name: value.detach() for name, value in model.named_parameters()}
    assert float(weights["token_embedding.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(weights["blocks.0.attention.qkv.weight"].std()) == pytest.approx(0.02, rel=0.05)
    for name in ("attention", "feed_forward"):
        spread = float(weights[f"blocks.3.{name}.projection.weight"].std())
        assert spread == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
    assert bool((weights["final_norm.weight"] == 1).all())
    assert bool((weights["blocks.0.attention.qkv.bias"] == 0).all())


def test_zero_init_makes_every_layer_start_as_nothing() -> None:
    model = model_of(zero_init=True)
    weights = {name: value.detach() for name, value in model.named_parameters()}
    for name, value in weights.items():
        assert (float(value.abs().sum()) == 0) == (name.endswith(("bias", "projection.weight"))), (
            name
        )


def test_rotary_positions_depend_on_the_distance_alone() -> None:
    from slm_tui.models.gpt import rotary_angles, rotate

    cos, sin = rotary_angles(64, 8, CPU, torch.float32)
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(a: int, b: int) -> float:
        turned = (
            rotate(q, cos[a : a + 1], sin[a : a + 1]),
            rotate(k, cos[b : b + 1], sin[b : b + 1]),
        )
        return float((turned[0] * turned[1]).sum())

    assert score(9, 4) == pytest.approx(score(40, 35), abs=1e-4)
    assert score(9, 4) != pytest.approx(score(9, 6), abs=1e-4)
    assert float(rotate(q, cos[7:8], sin[7:8]).norm()) == pytest.approx(float(q.norm()), abs=1e-5)


def test_every_parameter_has_its_role() -> None:
    groups = {group.role: group.parameters for group in model_of().parameter_groups()}
    assert all(value.dim() >= 2 for role in ("hidden", "embedding") for _, value in groups[role])
    assert all("norm" in name or name.endswith("bias") for name, _ in groups["vector"])
    assert {name for name, _ in groups["embedding"]} <= {
        "token_embedding.weight",
        "position_embedding.weight",
        "head.weight",
    }
    assert all(name.startswith("blocks.") for name, _ in groups["hidden"])
    names = [name for parameters in groups.values() for name, _ in parameters]
    assert sorted(names) == sorted(name for name, _ in model_of().named_parameters())


@pytest.mark.parametrize("switches", SWITCHES[::5], ids=named)
def test_nothing_but_the_cross_entropy_is_minimised(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    loss = model.loss(some_ids(), some_ids().flip(0))
    assert torch.equal(loss.total, loss.cross_entropy)
    assert loss.metrics == {}


def test_a_cache_knows_how_long_each_text_is() -> None:
    model, ids = model_of(), some_ids()
    state = model.start(3)
    with torch.no_grad():
        model.step(ids[:, :5], state, [5, 1, 3])
        model.step(ids[:, :1], state)
    assert state.lengths == [6, 2, 4]
    taken = state.take([2, 0, 2])
    assert taken.lengths == [4, 6, 4]
    assert taken.joined(state).lengths == [4, 6, 4, 6, 2, 4]
    assert taken.nbytes == state.nbytes == model.start(3).nbytes


def test_value_embeddings_are_added_to_the_values_of_their_layer() -> None:
    model, ids = model_of(value_embeddings=True, n_layer=1), some_ids()
    plain = model_of(n_layer=1)
    plain.load_state_dict({name: model.state_dict()[name] for name in plain.state_dict()})
    with torch.no_grad():
        assert not torch.allclose(model(ids), plain(ids))
        # A bias of the values is an embedding that is the same for every token.
        table, bias = model.value_embeddings[0], plain.blocks[0].attention.qkv.bias
        table.copy_(table[0].clone())
        bias[-table.shape[1] :] += table[0]
        torch.testing.assert_close(model(ids), plain(ids))


def test_without_value_embeddings_the_weights_are_those_of_before() -> None:
    names = list(model_of().state_dict())
    assert not any("value" in name for name in names)
