"""What the loss of a large vocabulary promises: the same numbers, in parts."""

import pytest
import torch
import torch.nn.functional as F

from slm_tui.models import head_loss as head_loss_module
from slm_tui.models.head_loss import head_loss

N_VOCAB = 9000


def _gradients(loss, *tensors):
    return torch.autograd.grad(loss * 0.5, tensors)


@pytest.mark.parametrize("rows", [1, 512, 1300])
def test_in_parts_gives_the_loss_and_gradients_of_the_whole(rows):
    generator = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, 16, generator=generator, requires_grad=True)
    weight = torch.randn(N_VOCAB, 16, generator=generator, requires_grad=True)
    targets = torch.randint(N_VOCAB, (rows,), generator=generator)
    loss = head_loss(hidden, weight, targets)
    whole = F.cross_entropy(F.linear(hidden, weight), targets)
    assert type(loss.grad_fn) is not type(whole.grad_fn)
    torch.testing.assert_close(loss, whole)
    for ours, theirs in zip(
        _gradients(loss, hidden, weight), _gradients(whole, hidden, weight), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_hopeless_target_costs_its_distance_and_not_infinity():
    hidden = torch.ones(1, 1, requires_grad=True)
    weight = torch.zeros(N_VOCAB, 1)
    weight[0] = 500.0
    loss = head_loss(hidden, weight.requires_grad_(), torch.tensor([1]))
    assert float(loss.detach()) == pytest.approx(500.0)


def test_a_weight_that_is_not_finite_is_seen_in_the_loss():
    hidden = torch.ones(2, 4, requires_grad=True)
    weight = torch.full((N_VOCAB, 4), float("nan"), requires_grad=True)
    loss = head_loss(hidden, weight, torch.tensor([0, 1]))
    assert not bool(torch.isfinite(loss.detach()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_pad_the_weight_change_nothing(monkeypatch, dtype):
    """As on a GPU, which is fast only with padded matrices and large parts."""

    def padded(weight, dtype):
        missing = -len(weight) % 64
        return F.pad(weight.detach(), (0, 0, 0, missing)).to(dtype)

    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(700, 16, generator=generator, requires_grad=True)
    weight = torch.randn(N_VOCAB + 17, 16, generator=generator, requires_grad=True)
    targets = torch.randint(N_VOCAB, (700,), generator=generator)

    def result():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = head_loss(hidden, weight, targets)
        return loss, *_gradients(loss, hidden, weight)

    plain = result()
    monkeypatch.setattr(head_loss_module, "_padded", padded)
    monkeypatch.setattr(head_loss_module, "_rows_at_once", lambda hidden, n_vocab: 350)
    for ours, theirs in zip(result(), plain, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(
            ours, theirs, rtol=2e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-5
        )
