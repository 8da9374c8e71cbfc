"""Ternary weights in two bits: nothing changes when they are stored and loaded."""

import pytest
import torch

from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.models import packing
from slm_tui.models.base import LanguageModel
from slm_tui.models.bitlinear import ternary
from slm_tui.models.build import build

CPU = torch.device("cpu")
CONFIGS = [
    HgrnModel(n_layer=2, n_embd=40, block_size=16, conv_size=4),
    HgrnModel(n_layer=1, n_embd=33, block_size=16, tie_weights=True),
    HnetModel(d_model=(24, 40), block_size=16),
]


def model_of(config: HgrnModel | HnetModel, seed: int | None = 1) -> LanguageModel:
    return build(config, 256, CPU, seed).eval()


def reloaded(config: HgrnModel | HnetModel, stored: dict[str, torch.Tensor]) -> LanguageModel:
    model = model_of(config, seed=2)
    weights = packing.unpacked(model, stored)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(weights[name])
    packing.keep_stored(model, stored)
    return model


def some_ids() -> torch.Tensor:
    return torch.randint(256, (2, 30), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("inputs", [1, 4, 7, 64])
def test_values_survive_packing(inputs: int) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randint(-1, 2, (5, inputs), generator=generator).float()
    packed = packing.pack(values)
    assert packed.dtype == torch.uint8
    assert packed.shape == (5, -(-inputs // 4))
    assert torch.equal(packing.unpack(packed, inputs), values)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (torch.full((2, 1), 255, dtype=torch.uint8), "other than -1, 0 and 1"),
        (torch.zeros(2, 2, dtype=torch.uint8), "do not hold 4 weights"),
        (torch.zeros(2, dtype=torch.uint8), "not two-dimensional"),
        (torch.zeros(2, 1), "not two-dimensional bytes"),
    ],
)
def test_what_is_not_packed_is_refused(packed: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        packing.unpack(packed, 4)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.width}")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_logits_are_the_same_to_the_last_bit(
    config: HgrnModel | HnetModel, dtype: torch.dtype
) -> None:
    model = model_of(config).to(dtype)
    again = reloaded(config, packing.packed_weights(model)).to(dtype)
    with torch.no_grad():
        assert torch.equal(model(some_ids()), again(some_ids()))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.kind}-{config.width}")
def test_zeros_do_not_shrink_weights(config: HgrnModel | HnetModel) -> None:
    """The mean magnitude of ternary weights counts their zeros: it is no scale to go on with."""
    model = model_of(config)
    stored = packing.packed_weights(model)
    again = reloaded(config, stored)
    for name, layer in packing.ternary_layers(again).items():
        before = ternary(packing.ternary_layers(model)[name].weight.detach())
        # The weights from which training goes on round to the same values and scale.
        after = ternary(layer.weight.detach())
        assert torch.equal(before.values, after.values)
        torch.testing.assert_close(after.scale, before.scale, rtol=1e-6, atol=0)
    # Stored once more, they are still the same.
    twice = packing.packed_weights(again)
    assert stored.keys() == twice.keys()
    assert all(torch.equal(stored[name], twice[name]) for name in stored)


def test_training_goes_on_from_full_precision_weights() -> None:
    model = reloaded(CONFIGS[0], packing.packed_weights(model_of(CONFIGS[0])))
    layers = packing.ternary_layers(model)
    model.train()
    assert all(layer._stored is None for layer in layers.values())
    model.loss(some_ids(), some_ids().roll(-1, 1)).total.backward()
    assert all(layer.weight.grad is not None for layer in layers.values())


def test_two_bits_take_a_sixteenth() -> None:
    config = HgrnModel(n_layer=4, n_embd=256)
    stored = packing.packed_weights(model_of(config))
    weights = sum(
        layer.weight.numel() for layer in packing.ternary_layers(model_of(config)).values()
    )
    packed = sum(value.nbytes for name, value in stored.items() if name.endswith(packing.TRITS))
    assert packed * 16 == weights * 4
    assert packing.is_packed(stored)


@pytest.mark.parametrize("change", ["scale", "rows", "name", "infinite"])
def test_a_stored_weight_that_does_not_fit_is_refused(change: str) -> None:
    model = model_of(CONFIGS[0])
    stored = packing.packed_weights(model)
    name = next(key for key in stored if key.endswith(packing.TRITS)).removesuffix(packing.TRITS)
    if change == "scale":
        del stored[name + packing.SCALE]
    elif change == "infinite":
        stored[name + packing.SCALE] = torch.tensor(float("inf"), dtype=torch.float64)
    elif change == "rows":
        stored[name + packing.TRITS] = stored[name + packing.TRITS][:-1]
    else:
        stored["token_embedding.weight" + packing.TRITS] = stored[name + packing.TRITS]
    with pytest.raises(ValueError):
        packing.unpacked(model, stored)
