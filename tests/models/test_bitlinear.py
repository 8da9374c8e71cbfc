"""Ternary layers: against the definition, and the exactness of their codes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from slm_tui.models import bitlinear
from slm_tui.models.bitlinear import BitLinear, quantize, ternary


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def definition(x: Tensor, gain: Tensor, weight: Tensor) -> Tensor:
    """The layer as it is published, with roundings that pass gradients through."""
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8) * gain
    scale = 127 / normed.abs().amax(-1, keepdim=True).clamp(min=1e-5)
    codes = (normed * scale).round().clamp(-128, 127) / scale
    beta = weight.abs().mean().clamp(min=1e-5)
    trits = (weight / beta).round().clamp(-1, 1) * beta
    rounded = normed + (codes - normed).detach()
    return F.linear(rounded, weight + (trits - weight).detach())


def layer(inputs: int, outputs: int, dtype: torch.dtype = torch.float64) -> BitLinear:
    made = BitLinear(inputs, outputs, ternary=True).to(dtype)
    with torch.no_grad():
        made.weight.copy_(random(outputs, inputs, seed=1) * 0.02)
        made.gain.copy_(1 + 0.3 * random(inputs, seed=2))
    return made


@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24), (1, 24)])
def test_output_and_gradients_equal_the_definition(shape: tuple[int, ...]) -> None:
    one = layer(24, 10)
    weights = random(*shape[:-1], 10, seed=4).double()
    results = []
    for call in (one, lambda x: definition(x, one.gain, one.weight)):
        x = random(*shape, seed=3).double().requires_grad_()
        one.zero_grad()
        y = call(x)
        (y * weights).sum().backward()
        assert x.grad is not None
        assert one.gain.grad is not None
        assert one.weight.grad is not None
        results.append((y.detach(), x.grad, one.gain.grad.clone(), one.weight.grad.clone()))
    for ours, published in zip(*results, strict=True):
        torch.testing.assert_close(ours, published, rtol=1e-6, atol=1e-12)


def test_inference_equals_training() -> None:
    one, x = layer(32, 8), random(4, 32).double()
    trained = one(x).detach()
    one.eval()
    with torch.no_grad():
        torch.testing.assert_close(one(x), trained, rtol=1e-12, atol=0)


def test_weights_become_minus_one_zero_and_one() -> None:
    values, scale = ternary(random(64, 64))
    assert set(values.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert float(scale) == pytest.approx(float(random(64, 64).abs().mean()))
    # Of normal weights 31.0 % are nearer to 0 than to either other value.
    zeros = float((ternary(random(1000, 1000)).values == 0).float().mean())
    assert zeros == pytest.approx(0.310, abs=0.002)


def test_activations_become_whole_numbers_up_to_127() -> None:
    x = random(50, 33) * torch.logspace(-3, 3, 50)[:, None]
    codes = quantize(x, torch.ones(33))
    assert torch.equal(codes.values, codes.values.round())
    assert torch.equal(codes.values.abs().amax(1), torch.full((50,), 127.0))
    # A code is at most half a step from what it stands for.
    normed = x * codes.root
    assert bool(((codes.values * codes.inverse - normed).abs() <= 0.501 * codes.inverse).all())


def test_a_row_of_zeros_gives_zeros() -> None:
    one = layer(16, 4, torch.float32)
    x = torch.zeros(2, 16, requires_grad=True)
    y = one(x)
    assert torch.equal(y, torch.zeros(2, 4))
    y.sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


def test_products_of_codes_are_exact_in_every_format() -> None:
    """A sum of 8-bit codes is a whole number that fp32 holds; bf16 holds each code."""
    codes = quantize(random(9, 1024), torch.ones(1024)).values
    trits = ternary(random(17, 1024, seed=1)).values
    expected = codes.long() @ trits.long().t()
    assert torch.equal((codes @ trits.t()).long(), expected)
    assert torch.equal(codes.bfloat16().float(), codes)
    assert torch.equal(trits.bfloat16().float(), trits)
    # Without the shift a sum could exceed 65,504, the largest number of fp16.
    large = torch.full((1, 1024), 127.0)
    made = bitlinear._product(large, torch.ones(1, 1024), torch.float16)
    assert float(made) == pytest.approx(127 * 1024, rel=1e-3)


def test_ternary_weights_are_kept_for_inference_and_renewed() -> None:
    one, x = layer(16, 4), random(3, 16).double()
    one.eval()
    with torch.no_grad():
        before = one(x)
        kept = one._trits
        assert kept is not None
        one(x)
        assert one._trits is kept
        one.weight.mul_(-1)
        torch.testing.assert_close(one(x), -before)
    one.train()
    assert one._trits is None


def test_without_rounding_it_is_a_linear_layer_after_a_norm() -> None:
    one = BitLinear(12, 5, ternary=False).double()
    with torch.no_grad():
        one.weight.copy_(random(5, 12))
    x = random(4, 12).double()
    expected = F.linear(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8), one.weight)
    torch.testing.assert_close(one(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_multiplies_codes_in_its_format(dtype: torch.dtype) -> None:
    one, x = layer(64, 16, torch.float32), random(8, 64)
    full = one(x)
    with torch.autocast("cpu", dtype):
        low = one(x)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, full, rtol=0.02, atol=0.02)
    low.sum().backward()
    assert one.weight.grad is not None
    assert bool(torch.isfinite(one.weight.grad).all())
