"""AdamW on flat buffers equals AdamW on separate tensors."""

import copy
from collections.abc import Iterable

import pytest
import torch

from slm_tui.config.training import Optimizer
from slm_tui.errors import CheckpointError
from slm_tui.models.base import LanguageModel, ParameterGroup
from slm_tui.models.build import build
from slm_tui.training import precision
from slm_tui.training.muon import orthogonalize
from slm_tui.training.optimizer import FlatOptimizer
from tests.conftest import make_tiny

CONFIG = Optimizer(learning_rate=0.01, weight_decay=0.2, gradient_clip=0.5)


def model_of(seed: int = 1, *, bias: bool = True) -> LanguageModel:
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, "bias": bias}
    preset = make_tiny(model=sizes)
    return build(preset.model, 31, torch.device("cpu"), seed)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(31, (4, 12), generator=generator)
    return ids, ids.roll(-1, 1)


def flat_steps(model: LanguageModel, optimizer: FlatOptimizer, steps: Iterable[int]) -> None:
    for step in steps:
        model.loss(*batch(step)).total.backward()
        optimizer.clip(float(optimizer.gradient_norm()))
        optimizer.update(0.01 / (1 + step))
        optimizer.clear()


def test_updates_equal_those_of_torch() -> None:
    # The only gradient of key biases is rounding noise, which Adam would amplify.
    flat, plain = model_of(bias=False), model_of(bias=False)
    optimizer = FlatOptimizer(flat, CONFIG)
    groups = [
        {"params": [p for p in plain.parameters() if p.dim() >= 2], "weight_decay": 0.2},
        {"params": [p for p in plain.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    flat_steps(flat, optimizer, range(6))
    for step in range(6):
        plain.loss(*batch(step)).total.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        for group in reference.param_groups:
            group["lr"] = 0.01 / (1 + step)
        reference.step()
        reference.zero_grad()
    for (name, one), (_, two) in zip(
        flat.named_parameters(), plain.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6, msg=name)


def test_the_norm_covers_all_gradients_and_clipping_keeps_the_direction() -> None:
    model = model_of()
    optimizer = FlatOptimizer(model, CONFIG)
    model.loss(*batch(0)).total.backward()
    before = optimizer.gradients.clone()
    norm = float(optimizer.gradient_norm())
    by_hand = sum(float((p.grad**2).sum()) for p in model.parameters() if p.grad is not None)
    assert norm == pytest.approx(by_hand**0.5, rel=1e-5)
    assert norm > 0.5
    optimizer.clip(norm)
    assert float(optimizer.gradient_norm()) == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(optimizer.gradients * norm / 0.5, before, rtol=1e-3, atol=1e-6)


def test_small_gradients_and_a_limit_of_zero_are_not_clipped() -> None:
    for config in (CONFIG, Optimizer(gradient_clip=0.0)):
        optimizer = FlatOptimizer(model_of(), config)
        optimizer.gradients.fill_(1e-6 if config is CONFIG else 10.0)
        before = optimizer.gradients.clone()
        optimizer.clip(float(optimizer.gradient_norm()))
        assert torch.equal(optimizer.gradients, before)


def test_a_restored_state_continues_exactly() -> None:
    whole = model_of()
    optimizer = FlatOptimizer(whole, CONFIG)
    flat_steps(whole, optimizer, range(8))
    first = model_of()
    early = FlatOptimizer(first, CONFIG)
    flat_steps(first, early, range(5))
    state, weights = early.state(), early.weights_by_name()
    second = model_of(seed=99)
    for name, parameter in second.named_parameters():
        parameter.data.copy_(weights[name])
    late = FlatOptimizer(second, CONFIG)
    late.load_state(state)
    flat_steps(second, late, range(5, 8))
    for name, value in optimizer.weights_by_name().items():
        assert torch.equal(late.weights_by_name()[name], value), name
    for name, value in optimizer.state().items():
        assert torch.equal(late.state()[name], value), name


def test_a_state_is_a_copy() -> None:
    model = model_of()
    optimizer = FlatOptimizer(model, CONFIG)
    flat_steps(model, optimizer, range(2))
    state, weights = optimizer.state(), optimizer.weights_by_name()
    copies = copy.deepcopy(state), copy.deepcopy(weights)
    flat_steps(model, optimizer, range(2, 4))
    for now, then in zip((state, weights), copies, strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)


def test_a_missing_moment_is_an_error() -> None:
    optimizer = FlatOptimizer(model_of(), CONFIG)
    state = optimizer.state()
    state.pop("final_norm.weight.exp_avg")
    with pytest.raises(CheckpointError, match=r"final_norm.weight.exp_avg is missing"):
        optimizer.load_state(state)
    state = optimizer.state()
    state["final_norm.weight.exp_avg"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="has another shape"):
        optimizer.load_state(state)


@pytest.mark.parametrize("on", ["matrices", "hidden", "all"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_weight_decay_applies_to_the_configured_weights(on: str, kind: str) -> None:
    model = model_of()
    config = Optimizer(kind=kind, learning_rate=0.1, weight_decay=0.2, weight_decay_on=on)
    optimizer = FlatOptimizer(model, config)
    before = optimizer.weights_by_name()
    optimizer.update(0.1)
    for name, value in optimizer.weights_by_name().items():
        decays = name.startswith("blocks.") and before[name].dim() == 2
        decays |= on == "all" or (on == "matrices" and "embedding" in name)
        torch.testing.assert_close(value, before[name] * (1 - 0.1 * 0.2 if decays else 1.0))


def test_orthogonalization_works_for_any_matrix() -> None:
    generator = torch.Generator().manual_seed(3)
    for rows, columns in ((16, 16), (64, 16), (16, 48)):
        stack = torch.randn(3, rows, columns, generator=generator)
        stack[1] *= 1e-4
        result = orthogonalize(stack)
        assert result.shape == stack.shape
        values = torch.linalg.svdvals(result)
        assert values.min() > 0.3
        assert values.max() < 1.3
        # The same directions: the product with the true polar factor is near the identity.
        u, _, v = torch.linalg.svd(stack, full_matrices=False)
        polar = u @ v
        cosine = (result * polar).sum((1, 2)) / result.norm(dim=(1, 2)) / polar.norm(dim=(1, 2))
        assert cosine.min() > 0.95
    assert torch.equal(orthogonalize(torch.zeros(1, 4, 4)), torch.zeros(1, 4, 4))


@pytest.mark.parametrize("native_bf16", [False, True])
def test_muon_updates_hidden_matrices_and_adamw_all_others(
    native_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step by hand: momentum from zero, Nesterov, orthogonal, scaled."""
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: native_bf16)
    config = Optimizer(kind="muon", muon_momentum=0.9, weight_decay=0.0, gradient_clip=0.0)
    model, plain = model_of(bias=False), model_of(bias=False)
    optimizer = FlatOptimizer(model, config)
    reference = FlatOptimizer(plain, config.model_copy(update={"kind": "adamw"}))
    for one in (model, plain):
        one.loss(*batch(0)).total.backward()
    name = "blocks.0.feed_forward.expand.weight"
    before = dict(model.named_parameters())[name].detach().clone()
    gradient = dict(plain.named_parameters())[name].grad
    assert gradient is not None
    ahead = 0.1 * gradient + 0.9 * (0.1 * gradient)
    update = 0.01 * 0.2 * 64**0.5 * orthogonalize(ahead[None])[0]
    optimizer.update(0.01)
    reference.update(0.01)
    moved = before - dict(model.named_parameters())[name]
    # bf16 has 8 bits of mantissa, and five rounds of products add up their errors, most of all
    # in the directions of small singular values. How products are summed differs by processor.
    tolerance = 0.25 if native_bf16 else 1e-3
    assert float(((moved - update).norm() / update.norm()).detach()) < tolerance
    for embedding in ("token_embedding.weight", "final_norm.weight"):
        assert torch.equal(
            dict(model.named_parameters())[embedding], dict(plain.named_parameters())[embedding]
        )


def test_muon_learns_and_its_restored_state_continues_exactly() -> None:
    config = Optimizer(kind="muon", learning_rate=0.01)
    whole = model_of()
    optimizer = FlatOptimizer(whole, config)
    same = [0] * 4
    first = loss_of(whole)
    flat_steps(whole, optimizer, same)
    state, weights = optimizer.state(), optimizer.weights_by_name()
    assert "blocks.0.attention.qkv.weight.momentum" in state
    assert "blocks.0.attention.qkv.weight.exp_avg" not in state
    assert "blocks.0.attention.qkv.bias.exp_avg" in state
    second = model_of(seed=99)
    for name, parameter in second.named_parameters():
        parameter.data.copy_(weights[name])
    late = FlatOptimizer(second, config)
    late.load_state(state)
    flat_steps(whole, optimizer, same * 10)
    flat_steps(second, late, same * 10)
    assert torch.equal(late.weights, optimizer.weights)
    assert loss_of(whole) < first - 0.5


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_each_group_has_its_own_learning_rate(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups of hidden matrices of equal shapes, the second at three times the rate."""
    config = Optimizer(kind=kind, learning_rate=0.01, weight_decay=0.2, gradient_clip=0.0)
    model, plain = model_of(bias=False), model_of(bias=False)
    groups: list[ParameterGroup] = []
    for group in model.parameter_groups():
        if group.role != "hidden":
            groups.append(group)
            continue
        for block, multiplier in (("blocks.0.", 1.0), ("blocks.1.", 3.0)):
            named = [one for one in group.parameters if one[0].startswith(block)]
            groups.append(ParameterGroup(named, "hidden", multiplier))
    monkeypatch.setattr(model, "parameter_groups", lambda: groups)
    optimizer, reference = FlatOptimizer(model, config), FlatOptimizer(plain, config)
    before = optimizer.weights_by_name()
    for one, its in ((model, optimizer), (plain, reference)):
        one.loss(*batch(0)).total.backward()
        its.update(0.01)
    after, expected = optimizer.weights_by_name(), reference.weights_by_name()
    for name, value in before.items():
        factor = 3.0 if name.startswith("blocks.1.") and value.dim() == 2 else 1.0
        moved, usual = after[name] - value, expected[name] - value
        assert float(usual.norm()) > 0, name
        torch.testing.assert_close(moved, factor * usual, rtol=1e-3, atol=1e-6, msg=name)


def loss_of(model: LanguageModel) -> float:
    with torch.no_grad():
        return float(model.loss(*batch(0)).total)
