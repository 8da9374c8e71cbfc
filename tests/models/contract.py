"""What every model family promises: run on each one that is registered in `models/build.py`."""

import pytest
import torch
import torch.nn.functional as F

from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.training import Optimizer
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import FAMILIES, build, count_parameters
from slm_tui.training.optimizer import FlatOptimizer
from tests.models.families import BLOCK_SIZE, facts_of, named, variants

CPU = torch.device("cpu")
V = 61

each_variant = pytest.mark.parametrize("config", variants(), ids=named)
some_variants = pytest.mark.parametrize("config", variants(every=5), ids=named)
each_family = pytest.mark.parametrize("config", variants(every=10_000), ids=named)


def model_of(config: ModelSettings, seed: int = 1, **changes: object) -> LanguageModel:
    changed = type(config).model_validate({**config.model_dump(), **changes})
    return build(changed, V, CPU, seed).eval()  # type: ignore[arg-type]


def exact(config: ModelSettings, seed: int = 1) -> LanguageModel:
    """The model in fp64 if it rounds activations: in fp32 a sum in another order can round to
    another code."""
    model = model_of(config, seed)
    return model.double() if facts_of(type(config)).double else model


def some_ids(batch: int = 3, time: int = BLOCK_SIZE) -> torch.Tensor:
    return torch.randint(V, (batch, time), generator=torch.Generator().manual_seed(5))


@each_variant
def test_the_settings_count_the_weights(config: ModelSettings) -> None:
    model = model_of(config)
    total, embedding = config.parameters(V)
    assert count_parameters(model) == total
    groups = [group for group in model.parameter_groups() if group.role == "embedding"]
    assert sum(value.numel() for group in groups for _, value in group.parameters) == embedding
    # Every weight is multiplied and added once in the forward pass, twice in the backward pass.
    if facts_of(type(config)).works_on_every_position:
        assert config.flops(V) >= 6 * (total - embedding)
    assert 0 < config.flops(V) < 12 * total + 1e6
    assert config.layers >= 1
    assert config.activations(V) >= config.width + V


@each_family
def test_every_parameter_is_in_one_group(config: ModelSettings) -> None:
    model = model_of(config)
    groups = model.parameter_groups()
    names = [name for group in groups for name, _ in group.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    for group in groups:
        shapes = [value.dim() for _, value in group.parameters]
        # Norms and biases, and whatever else is no matrix of a linear layer.
        assert group.role == "vector" or set(shapes) == {2}
        assert group.learning_rate_multiplier > 0


@each_variant
def test_the_model_sees_nothing_of_the_future(config: ModelSettings) -> None:
    model, ids = exact(config), some_ids()
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % V
    with torch.no_grad():
        before, after = model(ids), model(changed)
    assert before.shape == (3, BLOCK_SIZE, V)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@each_variant
def test_every_position_depends_on_all_before_it(config: ModelSettings) -> None:
    model, ids = exact(config, seed=2), some_ids(1)
    changed = ids.clone()
    changed[0, 0] = (changed[0, 0] + 1) % V
    with torch.no_grad():
        moved = (model(ids) - model(changed)).abs().amax(dim=(0, 2))
    assert bool((moved > 1e-7).all())


@each_variant
def test_tokens_step_by_step_give_the_logits_of_the_whole(config: ModelSettings) -> None:
    model, ids = exact(config), some_ids(2)
    with torch.no_grad():
        whole = model(ids)
        for cuts in ([1] * 12, [5, 1, 1, 5], [12], [3, 9]):
            state, at = model.start(2), 0
            for length in cuts:
                logits = model.step(ids[:, at : at + length], state)
                at += length
                torch.testing.assert_close(logits, whole[:, at - 1], rtol=1e-4, atol=1e-5)


@each_variant
def test_padded_texts_give_the_logits_that_each_gives_alone(config: ModelSettings) -> None:
    model, ids = exact(config), some_ids()
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
    assert at == [9, 7, 6]


@some_variants
def test_texts_are_taken_from_a_state_and_joined_to_another(config: ModelSettings) -> None:
    model, ids = exact(config), some_ids(4)
    with torch.no_grad():
        whole = model(ids)
        first, second = model.start(2), model.start(2)
        model.step(ids[:2, :5], first)
        model.step(ids[2:, :8], second)
        # Text 3, text 1 twice: each goes on by itself.
        state = second.take([1]).joined(first.take([1, 1]))
        assert state.nbytes == model.start(3).nbytes > 0
        more = torch.stack((ids[3, 8], ids[1, 5], (ids[1, 5] + 1) % V))[:, None]
        logits = model.step(more, state)
        torch.testing.assert_close(logits[0], whole[3, 8], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits[1], whole[1, 5], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits[1], logits[2])
        # A copy: what it was taken of is as it was.
        logits = model.step(ids[:2, 5:6], first)
        torch.testing.assert_close(logits, whole[:2, 5], rtol=1e-4, atol=1e-5)


@each_family
def test_more_text_than_the_context_is_refused(config: ModelSettings) -> None:
    model = model_of(config)
    state = model.start(1)
    with torch.no_grad():
        model.step(some_ids(1), state)
        if model.context is None:
            assert bool(torch.isfinite(model.step(some_ids(1, 1), state)).all())
            return
        assert model.context == BLOCK_SIZE
        with pytest.raises(ValueError, match=f"exceed {BLOCK_SIZE}"):
            model.step(some_ids(1, 1), state)


@some_variants
def test_the_loss_is_the_mean_cross_entropy_of_the_targets(config: ModelSettings) -> None:
    model = model_of(config)
    ids, targets = some_ids(), some_ids().flip(0)
    loss = model.loss(ids, targets)
    chances = F.log_softmax(model(ids), dim=-1)
    expected = -chances.gather(-1, targets[..., None]).mean()
    torch.testing.assert_close(loss.cross_entropy, expected)
    assert set(loss.metrics) == set(model.metrics)
    assert all(value.dim() == 0 for value in (loss.total, *loss.metrics.values()))


@each_variant
def test_every_weight_gets_a_gradient(config: ModelSettings) -> None:
    model = model_of(config).train()
    model.loss(some_ids(), some_ids().flip(0)).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        if not name.endswith(facts_of(type(config)).without_gradient):
            assert float(parameter.grad.abs().sum()) > 0, name


@each_family
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_it_learns_one_batch_by_heart(config: ModelSettings, kind: str) -> None:
    model = model_of(config).train()
    optimizer = FlatOptimizer(model, Optimizer(kind=kind, learning_rate=0.01))
    losses = []
    for _ in range(30):
        loss = model.loss(some_ids(), some_ids().roll(-1, 1))
        loss.total.backward()
        losses.append(float(loss.cross_entropy.detach()))
        optimizer.update(0.01)
        optimizer.clear()
    assert losses[-1] < losses[0] - 0.5


@each_family
def test_a_seed_decides_the_weights_and_nothing_else_does(config: ModelSettings) -> None:
    torch.manual_seed(1)
    one = model_of(config, seed=3)
    before = torch.get_rng_state()
    two = model_of(config, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    for (name, a), (_, b) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    other = model_of(config, seed=4)
    fixed = facts_of(type(config)).without_randomness
    for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        if a.dim() >= 2 and not name.endswith(fixed):
            assert not torch.equal(a, b), name


@each_family
def test_dropout_acts_in_training_alone(config: ModelSettings) -> None:
    if "dropout" not in type(config).model_fields:
        assert config.dropout_rate == 0
        return
    model, ids = model_of(config, dropout=0.5), some_ids()
    with torch.no_grad():
        assert torch.equal(model(ids), model(ids))
        model.train()
        assert not torch.equal(model(ids), model(ids))


@some_variants
def test_a_model_used_in_inference_mode_can_be_trained_afterwards(config: ModelSettings) -> None:
    model = model_of(config).train()
    with torch.inference_mode():
        model(some_ids())
    model.loss(some_ids(), some_ids()).total.backward()


def test_every_registered_family_is_tested() -> None:
    assert {type(config) for config in variants(every=10_000)} == set(FAMILIES)
