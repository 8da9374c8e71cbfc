"""Norms and gates with gradients written out: against the same formulas left to autograd."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from slm_tui.models import rowwise
from slm_tui.models.rowwise import gated_norm, recurrence_gates, rms_norm, swiglu

EPSILON = 1e-6


def norm(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * gain


def gates(forget: Tensor, given: Tensor, lowest: Tensor | None = None) -> Tensor:
    f = torch.sigmoid(forget)
    if lowest is not None:
        f = lowest + (1 - lowest) * f
    return torch.stack((f, (1 - f) * F.silu(given)))


SHAPE = (3, 5, 12)
CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "norm": (lambda x, gain: rms_norm(x, gain, EPSILON), norm, [SHAPE, (12,)]),
    "swiglu": (
        swiglu,
        lambda x: F.silu(x[..., :6]) * x[..., 6:],
        [SHAPE],
    ),
    "gates": (
        lambda a, b: torch.stack(recurrence_gates(a, b, None)),
        gates,
        [SHAPE, SHAPE],
    ),
    "gates with a bound": (
        lambda a, b, lowest: torch.stack(recurrence_gates(a, b, torch.sigmoid(lowest))),
        lambda a, b, lowest: gates(a, b, torch.sigmoid(lowest)),
        [SHAPE, SHAPE, (12,)],
    ),
    "gated norm": (
        lambda x, g, gain: gated_norm(x, g, gain, EPSILON),
        lambda x, g, gain: norm(x, gain) * F.silu(g),
        [SHAPE, SHAPE, (12,)],
    ),
}


@pytest.mark.parametrize("rows", [1, 4, 1000])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_the_formula(
    case: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rowwise, "_BLOCK", 12 * rows)
    function, formula, shapes = CASES[case]
    generator = torch.Generator().manual_seed(1)
    values = [torch.randn(shape, generator=generator).double() for shape in shapes]
    results = []
    for call in (function, formula):
        leaves = [value.clone().requires_grad_() for value in values]
        y = call(*leaves)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).double()
        (y * weights).sum().backward()
        results.append([y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)])
    assert len(results[0]) == 1 + len(shapes)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_gates_that_are_almost_open_keep_what_they_let_in() -> None:
    """1 - f is computed from the gate's input: f itself is rounded to 1."""
    forget = torch.full((1, 1, 4), 20.0)
    given = torch.full((1, 1, 4), 3.0)
    f, x = recurrence_gates(forget, given, None)
    assert torch.equal(f, torch.ones_like(f))
    torch.testing.assert_close(x, F.silu(given) * torch.sigmoid(-forget))
    assert float(x.min()) > 0


def test_blocks_cover_all_rows() -> None:
    for rows, width in ((1, 1), (10, 30_000), (513, 128), (0, 5)):
        covered = [n for one in rowwise.blocks(torch.empty(rows, width)) for n in range(rows)[one]]
        assert covered == list(range(rows))
    assert len(list(rowwise.blocks(torch.empty(100, 10**6, device="meta")))) == 1
    assert len(list(rowwise.blocks(torch.empty(100, 4), width=10**6))) == 100
