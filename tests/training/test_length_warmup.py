"""Steps on halves of the windows: the same tokens, each half on its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch
from slm_tui.models.build import build
from slm_tui.training.control import Control
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.stepper import Stepper
from slm_tui.training.trainer import Trainer
from tests.training.harness import train

Make = Callable[..., Preset]
CPU = torch.device("cpu")
MODELS: list[dict[str, Any]] = [
    {"kind": "gpt", "n_layer": 1, "n_embd": 16, "block_size": 16, "position": "rope"},
    {"kind": "hgrn", "n_layer": 1, "n_embd": 16, "block_size": 16},
    {"kind": "hnet", "d_model": [16, 24], "num_blocks": [[1, 0, 1], [1]], "block_size": 16},
]


def stepper_of(preset: Preset) -> tuple[Stepper, FlatOptimizer]:
    model = build(preset.model, 61, CPU, 3).train()
    optimizer = FlatOptimizer(model, preset.optimizer)
    return Stepper(model, optimizer, preset, CPU, "fp32"), optimizer


def batch_of(sequences: int, block: int) -> Batch:
    tokens = torch.randint(61, (sequences, block + 1), generator=torch.Generator().manual_seed(1))
    return Batch(tokens[:, :-1].numpy().copy(), tokens[:, 1:].numpy().copy())


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one["kind"])
def test_a_step_trains_on_each_half_of_each_window(tiny: Make, model: dict[str, Any]) -> None:
    batch = batch_of(4, 16)
    halves = Batch(batch.ids.reshape(8, 8), batch.targets.reshape(8, 8))
    changes = {"model": model, "training__max_steps": 4, "training__micro_batch": 4}
    short, short_weights = stepper_of(tiny(**changes, schedule__length_warmup_fraction=0.5))
    plain, plain_weights = stepper_of(tiny(**changes))
    plain.at_once = 8
    for step in range(2):
        ours, theirs = short.step(batch, 1e-3, step), plain.step(halves, 1e-3, step)
        assert ours.loss == theirs.loss
    assert torch.equal(short_weights.weights, plain_weights.weights)
    # From here on the windows are whole.
    ours, theirs = short.step(batch, 1e-3, 2), plain.step(batch, 1e-3, 2)
    assert ours.loss == theirs.loss


def test_passes_hold_as_many_tokens_as_before(tiny: Make) -> None:
    """Memory is the limit of a pass, and half windows need no more of it."""
    batch = batch_of(4, 16)
    preset = tiny(model=MODELS[0], training__micro_batch=4, schedule__length_warmup_fraction=1.0)
    whole, _ = stepper_of(preset)
    parts, _ = stepper_of(preset)
    shapes: list[tuple[int, ...]] = []
    forward = parts.forward.__call__

    def noted(ids: torch.Tensor, targets: torch.Tensor) -> Any:
        shapes.append(tuple(ids.shape))
        return forward(ids, targets)

    parts.forward = noted  # type: ignore[assignment]
    parts.at_once = 2
    parts.forward.notices = []  # type: ignore[attr-defined]
    result = parts.step(batch, 1e-3, 0)
    assert shapes == [(4, 8), (4, 8)]
    assert result.loss == pytest.approx(whole.step(batch, 1e-3, 0).loss, rel=1e-5)


def test_a_captured_step_is_forgotten_when_the_windows_become_whole(tiny: Make) -> None:
    preset = tiny(model=MODELS[0], training__max_steps=4, schedule__length_warmup_fraction=0.5)
    stepper, _ = stepper_of(preset)
    stepper._divide(1)
    before = stepper._key()
    stepper._divide(2)
    assert stepper._key() != before


def test_tokens_and_steps_are_counted_as_ever(tiny: Make, tmp_path: Path) -> None:
    plain = train(tiny(training__max_steps=6), tmp_path / "plain")
    short = train(
        tiny(training__max_steps=6, schedule__length_warmup_fraction=0.5), tmp_path / "short"
    )
    assert short.trainer.state.tokens_seen == plain.trainer.state.tokens_seen
    assert short.losses.keys() == plain.losses.keys()
    assert short.losses != plain.losses


def test_time_that_has_passed_counts_as_steps(tiny: Make, tmp_path: Path) -> None:
    """A run that ends by time does not stay with halves until its time is used up."""
    preset = tiny(
        training__max_steps=100,
        training__max_minutes=1.0,
        schedule__length_warmup_fraction=0.5,
    )
    trainers: list[Trainer] = []
    windows: dict[int, int] = {}

    def patch(trainer: Trainer) -> None:
        trainers.append(trainer)

    def late(_: Control) -> None:
        trainers[0].state.elapsed_seconds = 31.0

    def noted(name: int) -> Callable[[Control], None]:
        return lambda _: windows.update({name: trainers[0]._stepper._windows})

    wishes = {2: noted(2), 3: late, 5: noted(5), 6: Control.stop}
    train(preset, tmp_path / "run", wishes=wishes, patch=patch)
    assert windows == {2: 2, 5: 1}
