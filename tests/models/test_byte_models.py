"""HGRN-bit and H-Net beyond the contract: published sizes, learning, and state."""

import math

import pytest
import torch

from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.training import Optimizer
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from slm_tui.models.hgrn import Hgrn
from slm_tui.models.hnet import Hnet, Stage
from slm_tui.training.optimizer import FlatOptimizer
from tests import extent

CPU = torch.device("cpu")
ONE_STAGE = ((4, 0, 4), (8,))
TWO_STAGES = ((4, 0, 4), (4, 0, 4), (8,))
LATER = {"expand_ratio": 2, "conv_size": 4}  # of the later files of simplified-slm


def hgrn(width: int, layers: int, **changes: object) -> HgrnModel:
    return HgrnModel.model_validate({"kind": "hgrn", "n_embd": width, "n_layer": layers, **changes})


def hnet(
    widths: tuple[int, ...], blocks: tuple[tuple[int, ...], ...], **changes: object
) -> HnetModel:
    return HnetModel.model_validate(
        {
            "kind": "hnet",
            "d_model": widths,
            "num_blocks": blocks,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (hgrn(512, 6), 20_744_192),
        (hgrn(768, 12), 85_427_712),
        (hgrn(256, 4), 3_550_720),
        (hnet((256, 384), ONE_STAGE), 21_356_032),
        (hnet((256, 384), ONE_STAGE, **LATER), 28_202_496),
        (hnet((512, 768, 1024), TWO_STAGES), 189_669_120),
        (hnet((512, 768, 1024), TWO_STAGES, **LATER), 250_597_120),
        (hnet((576, 768), ((4, 0, 4), (10,))), 104_053_952),
        (hnet((576, 768), ((4, 0, 4), (10,)), **LATER), 138_337_472),
        (hnet((640, 896, 1152), ((4, 0, 4), (4, 0, 4), (12,)), **LATER), 419_383_040),
        (hnet((384, 512, 768), ((3, 0, 3), (3, 0, 3), (6,))), 75_068_544),
    ],
)
def test_sizes_equal_the_published_models(config: ModelSettings, expected: int) -> None:
    assert config.parameters(256)[0] == expected
    with torch.device("meta"):
        model = (Hgrn if isinstance(config, HgrnModel) else Hnet)(config, 256)  # type: ignore[arg-type]
    assert sum(value.numel() for value in model.parameters()) == expected


FAMILIES = [
    hgrn(48, 2, block_size=24),
    hgrn(48, 2, block_size=24, conv_size=4, expand_ratio=2, lower_bound=True),
    hnet((32, 48), ((1, 0, 1), (1,)), block_size=24),
    hnet((32, 40, 48), ((1, 0, 1), (1, 0, 1), (1,)), block_size=24, conv_size=4),
]


def named(config: ModelSettings) -> str:
    return f"{type(config).__name__}-{config.layers}"


each = pytest.mark.parametrize("config", FAMILIES, ids=named)


def model_of(config: ModelSettings, n_vocab: int = 256) -> LanguageModel:
    return build(config, n_vocab, CPU, 1)  # type: ignore[arg-type]


def some_ids(batch: int, time: int, n_vocab: int = 256) -> torch.Tensor:
    return torch.randint(n_vocab, (batch, time), generator=torch.Generator().manual_seed(5))


@each
def test_the_first_loss_is_that_of_equal_chances(config: ModelSettings) -> None:
    with torch.no_grad():
        loss = model_of(config).loss(some_ids(4, 64), some_ids(4, 64).flip(0))
    assert float(loss.cross_entropy) / math.log(2) == pytest.approx(8, abs=0.3)


@extent.sample(2)
@each
def test_a_trained_model_continues_with_the_next_letter(config: ModelSettings) -> None:
    """A model trained on labels shifted twice would skip every second letter."""
    text = torch.tensor(list(b"abc" * 40))
    ids, targets = text[:96].view(1, 96), text[1:97].view(1, 96)
    model = model_of(config)
    optimizer = FlatOptimizer(model, Optimizer(kind="adamw", learning_rate=5e-3))
    for _ in range(60):
        model.loss(ids, targets).total.backward()
        optimizer.clip(float(optimizer.gradient_norm()))
        optimizer.update(5e-3)
        optimizer.clear()
    model.eval()
    state = model.start(1)
    continued = []
    with torch.no_grad():
        logits = model.step(torch.tensor([list(b"abcabc")]), state)
        for _ in range(9):
            continued.append(int(logits.argmax()))
            logits = model.step(torch.tensor([[continued[-1]]]), state)
    assert bytes(continued) == b"abcabcabc"


@each
def test_the_state_does_not_grow_with_the_text(config: ModelSettings) -> None:
    model = model_of(config).eval()
    state = model.start(2)
    size = state.nbytes
    with torch.no_grad():
        for _ in range(3):
            # Longer than `block_size` together.
            model.step(some_ids(2, 20), state)
    assert model.context is None
    assert state.nbytes == size


@each
def test_rounded_passes_in_fp32_stay_close(config: ModelSettings) -> None:
    """In fp32 a sum in another order may round to another code: close, not equal."""
    model, ids = model_of(config).eval(), some_ids(3, 40)
    with torch.no_grad():
        whole = model(ids)
        state = model.start(3)
        steps = torch.stack([model.step(ids[:, t : t + 1], state) for t in range(40)], 1)
    assert float((steps - whole).abs().mean() / whole.std()) < 0.05


@each
def test_padding_changes_nothing_to_the_last_bit(config: ModelSettings) -> None:
    model, ids = model_of(config).double().eval(), some_ids(2, 20)
    lengths = [7, 20]
    logits = []
    for padding in (0, 255):
        padded = ids.clone()
        padded[0, 7:] = padding
        with torch.no_grad():
            state = model.start(2)
            model.step(padded, state, lengths)
            logits.append(model.step(torch.tensor([[3], [4]]), state))
    assert torch.equal(*logits)


def test_stages_without_blocks_have_no_bounds() -> None:
    config = hnet((16, 24), ((1, 0, 0), (1,)), lower_bound=True, block_size=8)
    model = build(config, 20, CPU, 1)
    assert sum(one.numel() for one in model.parameters()) == config.parameters(20)[0]
    assert model(torch.arange(8)[None]).shape == (1, 8, 20)


def test_bounds_of_the_forget_gates_grow_with_depth() -> None:
    model = model_of(hgrn(16, 3, lower_bound=True)).double().eval()
    with torch.no_grad():
        # Forget gates of 0 leave only the bound: 0 in the first layer, 1/3 and 2/3 then.
        for name, value in model.named_parameters():
            if "forget.weight" in name:
                value.zero_()
    seen = []
    for block in model.stack.blocks:  # type: ignore[union-attr]
        block.mixer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))  # type: ignore[union-attr]
    with torch.no_grad():
        model(some_ids(1, 4))
    for layer, bound in enumerate(seen):
        torch.testing.assert_close(bound, torch.full((16,), layer / 3, dtype=torch.float64))


@pytest.mark.parametrize(
    "config", [one for one in FAMILIES if isinstance(one, HnetModel)], ids=named
)
def test_cuts_of_the_stages_nest(config: HnetModel) -> None:
    model = model_of(config).eval()
    assert isinstance(model, Hnet)
    with torch.no_grad():
        cuts = model.cuts(some_ids(3, 24))
    assert len(cuts) == len(config.d_model) - 1
    positions = torch.tensor([24, 24, 24])
    for stage, padding in cuts:
        assert bool(stage.boundary[:, 0].all())
        assert stage.probability.shape[1] == int(positions.max())
        if padding is not None:
            assert torch.equal(padding.counts, positions)
        assert bool((stage.counts <= positions).all())
        positions = stage.counts


def test_rows_without_a_boundary_skip_the_inner_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(hnet((16, 24), ((1, 0, 1), (1,)))).double().eval()
    assert isinstance(model, Hnet)
    rows = []
    forward = Stage.forward

    def counted(stage: Stage, x: torch.Tensor, *others: object) -> object:
        if stage.number:
            rows.append(len(x))
        return forward(stage, x, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Stage, "forward", counted)
    ids = some_ids(6, 30)
    with torch.no_grad():
        boundary = model.cuts(ids)[0][0].boundary
        rows.clear()
        state = model.start(6)
        for t in range(30):
            model.step(ids[:, t : t + 1], state)
    expected = [int(column.sum()) for column in boundary.unbind(1)]
    assert rows == [number for number in expected if number]
    assert len(set(expected)) > 2


def test_routers_and_residuals_learn_from_the_language_model_alone() -> None:
    config = hnet((16, 24, 32), ((1, 0, 1), (1, 0, 1), (1,)), ratio_loss_weight=0.0)
    model = model_of(config)
    model.loss(some_ids(4, 48), some_ids(4, 48).flip(0)).total.backward()
    for name, value in model.named_parameters():
        if any(part in name for part in ("router", "residual", "added_channels")):
            assert value.grad is not None
            assert bool(torch.isfinite(value.grad).all()), name
            assert float(value.grad.abs().sum()) > 0, name


def test_each_stage_has_its_learning_rate() -> None:
    model = model_of(
        hnet(
            (16, 24, 32),
            ((1, 0, 1), (1, 0, 1), (1,)),
            learning_rate_multipliers=(2.0, 1.5, 1.0),
        )
    )
    rates = {
        name: group.learning_rate_multiplier
        for group in model.parameter_groups()
        for name, _ in group.parameters
    }
    assert rates["token_embedding.weight"] == rates["head.weight"] == 2.0
    assert rates["stage.router.query.weight"] == rates["stage.decoder.norm.weight"] == 2.0
    assert rates["stage.inner.router.query.weight"] == 1.5
    assert rates["stage.inner.inner.encoder.blocks.0.mlp.expand.weight"] == 1.0


def test_routers_are_no_hidden_matrices_so_muon_does_not_update_them() -> None:
    model = model_of(hnet((16, 16, 24), ((1, 0, 1), (1, 0, 1), (1,))))
    roles = {name: group.role for group in model.parameter_groups() for name, _ in group.parameters}
    assert roles.keys() == {name for name, _ in model.named_parameters()}
    routing = {name for name, role in roles.items() if role == "routing"}
    assert routing == {
        f"stage.{inner}{name}.weight"
        for inner in ("", "inner.")
        for name in ("router.query", "router.key", "residual")
    }
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = FlatOptimizer(
        model, Optimizer(kind="muon", learning_rate=1e-4, muon_learning_rate=1.0)
    )
    model.loss(some_ids(2, 32), some_ids(2, 32).flip(0)).total.backward()
    optimizer.update(1e-4)
    for name, value in model.named_parameters():
        moved = float((value - before[name]).detach().abs().max())
        assert (moved < 1e-2) is (roles[name] != "hidden"), (name, moved)
