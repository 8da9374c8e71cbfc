"""Products of whole numbers: exact, and without them the same results."""

import warnings

import pytest
import torch
from torch import Tensor

from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.models import integer_product
from slm_tui.models.build import build
from slm_tui.models.integer_product import IntegerWeight

needs_kernels = pytest.mark.skipif(
    not integer_product._is_exact(), reason="this processor or torch has no exact integer kernels"
)


def whole(low: int, high: int, *shape: int) -> Tensor:
    return torch.randint(low, high + 1, shape, generator=torch.Generator().manual_seed(1)).float()


@needs_kernels
@pytest.mark.parametrize("rows", [0, 1, 2, 33])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (512, 1536), (257, 2816)])
def test_products_are_exact(rows: int, shape: tuple[int, int]) -> None:
    values, codes = whole(-1, 1, *shape), whole(-128, 127, rows, shape[1])
    weight = IntegerWeight.of(values)
    assert weight is not None
    assert torch.equal(weight.product(codes), codes @ values.t())


@needs_kernels
def test_packing_leaves_no_setting_and_no_warning_behind() -> None:
    engine = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IntegerWeight.of(whole(-1, 1, 8, 8))
    assert torch.backends.quantized.engine == engine


@torch.no_grad()
def logits() -> Tensor:
    model = build(HgrnModel(n_layer=2, n_embd=32), 256, torch.device("cpu"), 1).eval()
    state = model.start(3)
    first = model.step(whole(0, 255, 3, 9).long(), state)
    return torch.stack((first, model.step(whole(0, 255, 3, 1).long(), state)))


def test_a_model_computes_the_same_without_integer_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = logits()
    monkeypatch.setattr(integer_product, "_is_exact", lambda: False)
    assert torch.equal(logits(), usual)
