"""The loops of the GPU benchmark run, at small sizes on the CPU."""

import math

import pytest
import torch

from tests.benchmarks import gpu
from tests.benchmarks.plain_loop import Shape

CPU = torch.device("cpu")
SMALL = Shape(300, 16, 1, 1, 8, 2)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_TOKENS", 2000)
    monkeypatch.setattr(gpu, "_WARM_STEPS", 1)
    monkeypatch.setattr(gpu, "_PRODUCT_ROUNDS", 1)


def test_both_loops_train_and_are_compared() -> None:
    product = gpu.product_rate(CPU, 64)
    size = gpu.Size(SMALL, 1.0, 0.1)
    found = list(gpu.size_figures("small", size, CPU, 0.03, product, compiled=False))
    assert [figure.unit for figure, _ in found] == ["x", "x"]
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure, _ in found)


def test_muon_and_generation_have_rates() -> None:
    loop = gpu.OurLoop(gpu.preset_of("small", SMALL, "muon"), CPU)
    rate, notices = loop.rate(0.01)
    assert rate > 0
    assert notices == ""
    model = gpu.build(gpu.preset_of("small", SMALL).model, SMALL.n_vocab, CPU, 0).eval()
    assert gpu.generation_rate(model, 3, 5) > 0
