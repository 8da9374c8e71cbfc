"""AdamW on flat buffers does what AdamW on separate tensors does."""

import copy

import pytest
import torch

from slm_tui.config.training import Optimizer
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from slm_tui.training.optimizer import FlatAdamW
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


def flat_steps(model: LanguageModel, optimizer: FlatAdamW, steps: range) -> None:
    for step in steps:
        model.loss(*batch(step)).total.backward()
        optimizer.clip(float(optimizer.gradient_norm()))
        optimizer.update(0.01 / (1 + step))
        optimizer.clear()


def test_it_trains_as_torch_does() -> None:
    # Biases of keys have no gradient but rounding noise, which Adam would blow up.
    flat, plain = model_of(bias=False), model_of(bias=False)
    optimizer = FlatAdamW(flat, CONFIG)
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


def test_the_norm_is_that_of_all_gradients_and_clipping_keeps_the_direction() -> None:
    model = model_of()
    optimizer = FlatAdamW(model, CONFIG)
    model.loss(*batch(0)).total.backward()
    before = optimizer.gradients.clone()
    norm = float(optimizer.gradient_norm())
    by_hand = sum(float((p.grad**2).sum()) for p in model.parameters() if p.grad is not None)
    assert norm == pytest.approx(by_hand**0.5, rel=1e-5)
    assert norm > 0.5
    optimizer.clip(norm)
    assert float(optimizer.gradient_norm()) == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(optimizer.gradients * norm / 0.5, before, rtol=1e-3, atol=1e-6)


def test_a_short_gradient_and_a_limit_of_zero_clip_nothing() -> None:
    for config in (CONFIG, Optimizer(gradient_clip=0.0)):
        optimizer = FlatAdamW(model_of(), config)
        optimizer.gradients.fill_(1e-6 if config is CONFIG else 10.0)
        before = optimizer.gradients.clone()
        optimizer.clip(float(optimizer.gradient_norm()))
        assert torch.equal(optimizer.gradients, before)


def test_the_state_of_one_makes_another_go_on_exactly() -> None:
    whole = model_of()
    optimizer = FlatAdamW(whole, CONFIG)
    flat_steps(whole, optimizer, range(8))
    first = model_of()
    early = FlatAdamW(first, CONFIG)
    flat_steps(first, early, range(5))
    state, weights = early.state(), early.weights_by_name()
    second = model_of(seed=99)
    for name, parameter in second.named_parameters():
        parameter.data.copy_(weights[name])
    late = FlatAdamW(second, CONFIG)
    late.load_state(state)
    flat_steps(second, late, range(5, 8))
    for name, value in optimizer.weights_by_name().items():
        assert torch.equal(late.weights_by_name()[name], value), name
    for name, value in optimizer.state().items():
        assert torch.equal(late.state()[name], value), name


def test_a_state_is_a_copy() -> None:
    model = model_of()
    optimizer = FlatAdamW(model, CONFIG)
    flat_steps(model, optimizer, range(2))
    state, weights = optimizer.state(), optimizer.weights_by_name()
    kept = copy.deepcopy(state), copy.deepcopy(weights)
    flat_steps(model, optimizer, range(2, 4))
    for now, then in zip((state, weights), kept, strict=True):
        assert all(torch.equal(now[name], then[name]) for name in then)


def test_a_missing_moment_is_an_error() -> None:
    optimizer = FlatAdamW(model_of(), CONFIG)
    state = optimizer.state()
    state.pop("final_norm.weight.exp_avg")
    with pytest.raises(KeyError):
        optimizer.load_state(state)


def test_norms_and_biases_do_not_shrink_without_a_gradient() -> None:
    model = model_of()
    optimizer = FlatAdamW(model, CONFIG)
    before = optimizer.weights_by_name()
    optimizer.update(0.1)
    for name, value in optimizer.weights_by_name().items():
        factor = 1 - 0.1 * 0.2 if before[name].dim() >= 2 else 1.0
        torch.testing.assert_close(value, before[name] * factor)


def test_an_update_rule_of_a_later_version_says_so() -> None:
    with pytest.raises(NotImplementedError, match="adamw"):
        FlatAdamW(model_of(), Optimizer(kind="muon"))
