"""The linear recurrence: against a loop in fp64, in every schedule."""

import pytest
import torch
from torch import Tensor

from slm_tui.models import scan
from slm_tui.models.scan import chunk_length, linear_scan

SCHEDULES = [0, 1, 4, 16]  # steps per chunk; 0: sequential


def reference(gates: Tensor, inputs: Tensor, initial: Tensor) -> Tensor:
    """The definition, one step after another."""
    states, state = [], initial
    for gate, given in zip(gates.unbind(1), inputs.unbind(1), strict=True):
        state = gate * state + given
        states.append(state)
    return torch.stack(states, 1)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gates_of(kind: str, shape: tuple[int, ...]) -> Tensor:
    raw = random(*shape, seed=1)
    if kind == "zeros":
        return torch.where(raw > 1, 0.0, torch.sigmoid(raw))
    slope, shift = {"mild": (1, 0), "steep": (4, 0), "low": (1, -8), "high": (1, 8)}[kind]
    return torch.sigmoid(slope * raw + shift)


@pytest.fixture(params=SCHEDULES)
def schedule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Use one schedule, whatever the shape."""
    chunk = int(request.param)
    monkeypatch.setattr(scan, "_chunk", lambda inputs: chunk)
    return chunk


@pytest.mark.usefixtures("schedule")
@pytest.mark.parametrize("time", [1, 2, 61, 509])
@pytest.mark.parametrize("kind", ["mild", "steep", "low", "high", "zeros"])
def test_states_and_gradients_equal_those_of_a_loop(kind: str, time: int) -> None:
    shape = (2, time, 5)
    values = [gates_of(kind, shape), random(*shape, seed=2), random(2, 5, seed=3)]
    weights = random(*shape, seed=4)
    results = []
    for function, dtype in ((linear_scan, torch.float32), (reference, torch.float64)):
        leaves = [value.detach().to(dtype, copy=True).requires_grad_() for value in values]
        states = function(*leaves)
        (states * weights.to(dtype)).sum().backward()
        results.append([states.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)])
    for single, double in zip(*results, strict=True):
        largest = double.abs().max().clamp(min=1e-30)
        assert float(((single - double).abs() / largest).max()) <= 5e-6


@pytest.mark.usefixtures("schedule")
def test_gradients_equal_differences() -> None:
    shape = (2, 11, 3)
    gates = gates_of("zeros", shape).double().requires_grad_()
    inputs = random(*shape).double().requires_grad_()
    initial = random(2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(linear_scan, (gates, inputs, initial))


@pytest.mark.usefixtures("schedule")
def test_a_sequence_can_be_cut_anywhere() -> None:
    shape = (3, 40, 7)
    gates, inputs, initial = gates_of("mild", shape), random(*shape), random(3, 7)
    whole = linear_scan(gates, inputs, initial)
    for cut in (1, 13, 39):
        first = linear_scan(gates[:, :cut], inputs[:, :cut], initial)
        second = linear_scan(gates[:, cut:], inputs[:, cut:], first[:, -1])
        torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("schedule")
def test_open_gates_sum_and_closed_gates_forget() -> None:
    inputs, initial = random(2, 77, 4), torch.zeros(2, 4)
    ones, zeros = torch.ones_like(inputs), torch.zeros_like(inputs)
    torch.testing.assert_close(
        linear_scan(ones, inputs, initial), inputs.cumsum(1), rtol=0, atol=1e-5
    )
    assert torch.equal(linear_scan(zeros, inputs, initial), inputs)


@pytest.mark.usefixtures("schedule")
def test_inputs_need_not_be_contiguous() -> None:
    gates, inputs = gates_of("mild", (2, 5, 30)).transpose(1, 2), random(2, 5, 30).transpose(1, 2)
    shared = gates[:, :, :1].expand(-1, -1, 5)
    initial = random(2, 5)
    for gate in (gates, shared):
        expected = reference(gate, inputs, initial)
        torch.testing.assert_close(linear_scan(gate, inputs, initial), expected, rtol=0, atol=1e-5)


def test_both_schedules_are_in_use() -> None:
    assert scan._chunk(torch.empty(1, 512, 256)) == chunk_length(512) == 16
    assert scan._chunk(torch.empty(16, 512, 512)) == 0
    # Small enough for one thread at a time.
    rows = scan._slices(torch.empty(16, 4, 8192))
    assert [len(range(16)[one]) for one in rows] == [4, 4, 4, 4]


def test_results_do_not_depend_on_the_slices_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (7, 20, 8)
    gates, inputs, initial = gates_of("mild", shape), random(*shape), random(7, 8)
    monkeypatch.setattr(scan, "_WIDE", 0)
    whole = linear_scan(gates, inputs, initial)
    monkeypatch.setattr(scan, "_ONE_THREAD", 17)
    assert torch.equal(linear_scan(gates, inputs, initial), whole)
