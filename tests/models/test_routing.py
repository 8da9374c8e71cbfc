"""Cutting a sequence into chunks and spreading them again."""

import pytest
import torch
from torch import Tensor

from slm_tui.models.routing import (
    Cuts,
    Router,
    chunk,
    dechunk,
    ratio_loss,
    share_and_mean,
    straight_through_one,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cuts_of(boundary: list[list[int]], probability: float = 1.0) -> Cuts:
    marks = torch.tensor(boundary, dtype=torch.bool)
    return Cuts(torch.where(marks, probability, 0.0), marks)


def all_valid(x: Tensor) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool)


def test_certain_boundaries_everywhere_change_nothing() -> None:
    x = random(2, 9, 4)
    cuts = cuts_of([[1] * 9] * 2)
    chunks = chunk(x, cuts, 9)
    assert torch.equal(chunks, x)
    spread, last = dechunk(chunks, cuts, torch.zeros(2, 4), all_valid(chunks))
    assert torch.equal(spread, x)
    assert torch.equal(last, x[:, -1])


def test_between_certain_boundaries_the_last_one_holds() -> None:
    x = random(2, 6, 3)
    cuts = cuts_of([[1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0]])
    counts = cuts.counts
    assert counts.tolist() == [3, 1]
    valid = torch.arange(3) < counts[:, None]
    chunks = chunk(x, cuts, 3)
    assert torch.equal(chunks[0], x[0, [0, 3, 5]])
    spread, last = dechunk(chunks, cuts, torch.zeros(2, 3), valid)
    assert torch.equal(spread[0], x[0, [0, 0, 0, 3, 3, 5]])
    assert torch.equal(spread[1], x[1, [0] * 6])
    assert torch.equal(last, torch.stack((x[0, 5], x[1, 0])))


def test_before_the_first_boundary_the_chunk_before_holds() -> None:
    cuts = cuts_of([[0, 0, 1, 0]])
    chunks, before = random(1, 1, 3), random(1, 3, seed=1)
    spread, _ = dechunk(chunks, cuts, before, all_valid(chunks))
    assert torch.equal(spread[0], torch.stack((before[0],) * 2 + (chunks[0, 0],) * 2))


def test_uncertain_boundaries_smooth() -> None:
    cuts = cuts_of([[1, 1]], 0.75)
    chunks = torch.tensor([[[4.0], [8.0]]])
    spread, last = dechunk(chunks, cuts, torch.tensor([[2.0]]), all_valid(chunks))
    assert spread.flatten().tolist() == [3.5, 6.875]
    assert float(last) == 6.875


def test_the_router_cuts_where_neighbours_differ() -> None:
    router = Router(2)
    torch.nn.init.eye_(router.query.weight)
    torch.nn.init.eye_(router.key.weight)
    h = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, -3.0]]])
    nothing = torch.zeros(1, 2)
    cuts = router(h, nothing, torch.tensor([False]), None)
    torch.testing.assert_close(cuts.probability, torch.tensor([[1.0, 0.0, 0.5, 1.0]]))
    # One half is no boundary.
    assert cuts.boundary.tolist() == [[True, False, False, True]]
    torch.testing.assert_close(cuts.confidence, torch.tensor([[1.0, 1.0, 0.5, 1.0]]))
    # A text that goes on is compared with its last position.
    cuts = router(h, torch.tensor([[5.0, 0.0]]), torch.tensor([True]), None)
    assert cuts.boundary.tolist() == [[False, False, False, True]]
    # Padding has no boundaries.
    valid = torch.tensor([[True, True, True, False]])
    assert router(h, nothing, torch.tensor([False]), valid).counts.tolist() == [1]


@pytest.mark.parametrize(
    ("share", "target", "expected"),
    [(1.0, 4.0, 4.0), (0.0, 4.0, 4 / 3), (0.25, 4.0, 1.0), (0.5, 2.0, 1.0), (0.5, 4.0, 4 / 3)],
)
def test_the_ratio_loss_is_one_on_target(share: float, target: float, expected: float) -> None:
    marks = torch.arange(100) < 100 * share
    # Boundaries with probability `share` on average.
    cuts = Cuts(torch.full((1, 100), share), marks[None])
    assert float(ratio_loss(cuts, None, target)) == pytest.approx(expected, abs=1e-4)


def test_the_gradient_of_the_ratio_loss_pushes_towards_the_target() -> None:
    for share, target in ((0.5, 4.0), (0.1, 4.0), (0.3, 2.5)):
        probability = torch.full((1, 100), 0.4, requires_grad=True)
        cuts = Cuts(probability, (torch.arange(100) < round(100 * share))[None])
        ratio_loss(cuts, None, target).backward()
        assert probability.grad is not None
        expected = target * (target * share - 1) / (target - 1)
        assert float(probability.grad.sum()) == pytest.approx(expected, abs=1e-5)


def test_padding_counts_for_nothing() -> None:
    probability = torch.tensor([[0.9, 0.1, 0.9, 0.9]])
    valid = torch.tensor([[True, True, False, False]])
    share, mean = share_and_mean(Cuts(probability, (probability > 0.5) & valid), valid)
    assert float(share) == 0.5
    assert float(mean) == 0.5


def test_straight_through_is_exactly_one() -> None:
    x = random(1000).requires_grad_()
    y = straight_through_one(x)
    assert torch.equal(y, torch.ones(1000))
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(1000))
