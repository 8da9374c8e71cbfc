"""GPT: what it computes, what it may see, how it starts, and how many weights it has."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config import library
from slm_tui.config.estimate import parameters
from slm_tui.config.model import GptModel
from slm_tui.config.preset import Preset, parse
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build, count_parameters
from tests.conftest import make_tiny

CPU = torch.device("cpu")
V = 61
SWITCHES = [
    dict(
        zip(
            ("position", "norm", "activation", "qk_norm", "tie_weights", "bias"),
            chosen,
            strict=True,
        )
    )
    for chosen in itertools.product(
        ("learned", "rope"),
        ("layernorm", "rmsnorm"),
        ("gelu", "relu2", "swiglu"),
        (False, True),
        (False, True),
        (False, True),
    )
]


def model_of(seed: int = 1, **changes: object) -> LanguageModel:
    config = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, **changes}
    return build(GptModel.model_validate(config), V, CPU, seed).eval()


def named(switches: dict[str, object]) -> str:
    return "-".join(str(value) for value in switches.values())


def some_ids(batch: int = 3, time: int = 12) -> torch.Tensor:
    return torch.randint(V, (batch, time), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_the_estimate_counts_the_weights_of_every_variant(switches: dict[str, object]) -> None:
    preset = make_tiny(model={"n_layer": 3, "n_head": 2, "n_embd": 24, **switches})
    model = build(preset.model, V, CPU, 1)
    total, embedding = parameters(preset, V)
    assert count_parameters(model) == total
    counted = sum(
        value.numel()
        for name, value in model.named_parameters()
        if "embedding" in name or name.startswith("head")
    )
    assert counted == embedding


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
        == parameters(preset, vocabulary)[0]
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
    assert parameters(library.get(name), vocabulary)[0] == expected


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
    assert parameters(preset, 256)[0] == expected


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_the_model_sees_nothing_of_the_future(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    ids = some_ids()
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % V
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_every_position_depends_on_all_before_it(switches: dict[str, object]) -> None:
    model = model_of(seed=2, **switches)
    ids = some_ids(1)
    changed = ids.clone()
    changed[0, 0] = (changed[0, 0] + 1) % V
    with torch.no_grad():
        moved = (model(ids) - model(changed)).abs().amax(dim=(0, 2))
    assert bool((moved > 1e-7).all())


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_tokens_step_by_step_give_the_logits_of_the_whole(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    ids = some_ids(2)
    with torch.no_grad():
        whole = model(ids)
        for cuts in ([1] * 12, [5, 1, 1, 5], [12], [3, 9]):
            state, at = model.start(2), 0
            for length in cuts:
                logits = model.step(ids[:, at : at + length], state)
                at += length
                torch.testing.assert_close(logits, whole[:, at - 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("switches", SWITCHES[::5], ids=named)
def test_the_loss_is_the_mean_cross_entropy_of_the_targets(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    ids, targets = some_ids(), some_ids().flip(0)
    loss = model.loss(ids, targets)
    chances = F.log_softmax(model(ids), dim=-1)
    expected = -chances.gather(-1, targets[..., None]).mean()
    torch.testing.assert_close(loss.total, expected)
    assert loss.metrics == {}


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_every_weight_gets_a_gradient(switches: dict[str, object]) -> None:
    model = model_of(**switches).train()
    model.loss(some_ids(), some_ids().flip(0)).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        # A bias of the keys shifts all scores of a query alike: softmax does not see it.
        if not name.endswith("qkv.bias"):
            assert float(parameter.grad.abs().sum()) > 0, name


def test_a_seed_decides_the_weights_and_nothing_else_does() -> None:
    torch.manual_seed(1)
    one = model_of(seed=3)
    before = torch.get_rng_state()
    two = model_of(seed=3)
    assert torch.equal(before, torch.get_rng_state())
    for (name, a), (_, b) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    other = model_of(seed=4)
    assert not torch.equal(one.token_embedding.weight, other.token_embedding.weight)  # type: ignore[union-attr]


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


def test_dropout_acts_in_training_alone() -> None:
    model = model_of(dropout=0.5)
    ids = some_ids()
    with torch.no_grad():
        assert torch.equal(model(ids), model(ids))
        model.train()
        assert not torch.equal(model(ids), model(ids))


def test_a_model_used_in_inference_mode_can_be_trained_afterwards() -> None:
    model = model_of(position="rope").train()
    with torch.inference_mode():
        model(some_ids())
    model.loss(some_ids(), some_ids()).total.backward()


def test_more_text_than_the_context_is_refused() -> None:
    model = model_of()
    state = model.start(1)
    with torch.no_grad():
        model.step(some_ids(1, 12), state)
        with pytest.raises(ValueError, match="exceed 12"):
            model.step(some_ids(1, 1), state)


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


def test_presets_that_can_be_trained_can_be_built() -> None:
    presets: list[Preset] = [entry.preset for entry in library._builtin() if entry.preset]
    for preset in presets:
        with torch.device("meta"):
            model = build(preset.model, 300, torch.device("meta"), None)
        assert count_parameters(model) == parameters(preset, 300)[0]


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_padded_texts_give_the_logits_that_each_gives_alone(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    ids = some_ids()
    # Lengths of each pass: a prompt, one token, several at once on texts of different lengths.
    passes = [[5, 1, 3], [1, 1, 1], [2, 4, 1], [1, 1, 1]]
    with torch.no_grad():
        whole, state, at = model(ids), model.start(3), [0, 0, 0]
        for lengths in passes:
            longest = max(lengths)
            padded = torch.full((3, longest), V - 1)
            for text, (begin, length) in enumerate(zip(at, lengths, strict=True)):
                padded[text, :length] = ids[text, begin : begin + length]
            logits = model.step(padded, state, None if min(lengths) == longest else lengths)
            at = [begin + length for begin, length in zip(at, lengths, strict=True)]
            expected = torch.stack([whole[text, end - 1] for text, end in enumerate(at)])
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    assert state.lengths == at == [9, 7, 6]


def test_texts_are_taken_from_a_state_and_joined_to_another() -> None:
    model, ids = model_of(position="rope"), some_ids(4)
    with torch.no_grad():
        whole = model(ids)
        first, second = model.start(2), model.start(2)
        model.step(ids[:2, :5], first)
        model.step(ids[2:, :8], second)
        # Text 3, text 1 twice: each goes on by itself.
        state = second.take([1]).joined(first.take([1, 1]))
        assert state.nbytes == model.start(3).nbytes
        assert state.lengths == [8, 5, 5]
        more = torch.stack((ids[3, 8], ids[1, 5], (ids[1, 5] + 1) % V))[:, None]
        logits = model.step(more, state)
        torch.testing.assert_close(logits[0], whole[3, 8], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits[1], whole[1, 5], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits[1], logits[2])
        # A copy: what it was taken of is as it was.
        assert first.lengths == [5, 5]
        logits = model.step(ids[:2, 5:6], first)
        torch.testing.assert_close(logits, whole[:2, 5], rtol=1e-4, atol=1e-5)
