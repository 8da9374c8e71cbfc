"""fp16 on the CPU: the scale is found without losing a step, is stored, and changes no gradient."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.preset import Preset
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Stepped
from slm_tui.training.precision import LossScale
from slm_tui.training.trainer import Trainer
from tests.training.harness import Training, train

Make = Callable[..., Preset]
HALF: dict[str, Any] = {"training__precision": "fp16", "model__dropout": 0.2}


def steep(trainer: Trainer) -> None:
    """A loss a hundred times larger: its gradient overflows at the initial scale."""
    whole = trainer.model.loss

    def loss(ids: Any, targets: Any) -> Any:
        result = whole(ids, targets)
        return replace(result, total=result.total * 500)

    trainer.model.loss = loss  # type: ignore[method-assign]


def norms(done: Training) -> list[float]:
    return [event.gradient_norm for event in done.of(Stepped)]


def test_an_overflowing_gradient_is_recomputed_and_no_step_is_lost(
    tiny: Make, tmp_path: Path
) -> None:
    half = train(tiny(**HALF), tmp_path / "half", patch=steep)
    whole = train(tiny(model__dropout=0.2), tmp_path / "whole", patch=steep)
    assert half.trainer.state.loss_scale < 2.0**16
    assert half.trainer.state.skipped_steps == 0
    assert half.warnings == []
    assert sorted(half.losses) == list(range(1, 13))
    assert half.trainer.state.tokens_seen == whole.trainer.state.tokens_seen
    # The same batch again, with the same dropout: the loss is that of fp32 except for rounding.
    assert half.losses == pytest.approx(whole.losses, rel=5e-3)


def test_the_gradient_is_unscaled_before_norm_and_clipping(tiny: Make, tmp_path: Path) -> None:
    clipped = {"optimizer": {"learning_rate": 0.01, "gradient_clip": 0.3}}
    half = train(tiny(**clipped, training__precision="fp16"), tmp_path / "half")
    whole = train(tiny(**clipped), tmp_path / "whole")
    assert min(norms(whole)) > 0.3
    assert norms(half) == pytest.approx(norms(whole), rel=2e-2)
    assert half.losses == pytest.approx(whole.losses, rel=5e-3)


def test_a_resumed_run_continues_with_the_same_scale(tiny: Make, tmp_path: Path) -> None:
    whole = train(tiny(**HALF), tmp_path / "whole", patch=steep)
    first = train(tiny(**HALF), tmp_path / "parts", patch=steep, wishes={5: Control.stop})
    newest, _ = checkpoint.newest(tmp_path / "parts")
    assert newest is not None
    assert newest.state.loss_scale == first.trainer._stepper.scale.value < 2.0**16
    assert newest.state.loss_scale_calm == 5
    second = train(tiny(**HALF), tmp_path / "parts", patch=steep, resume=True)
    assert {**first.losses, **second.losses} == whole.losses
    assert second.trainer._stepper.scale == whole.trainer._stepper.scale


def test_a_run_stopped_before_its_first_step_keeps_the_initial_scale(
    tiny: Make, tmp_path: Path
) -> None:
    def stop(trainer: Trainer) -> None:
        trainer.control.stop()

    train(tiny(**HALF), tmp_path, patch=stop)
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest.state.step == 0
    assert newest.state.loss_scale == 2.0**16
    second = train(tiny(**HALF), tmp_path, resume=True)
    assert second.losses == train(tiny(**HALF), tmp_path / "whole").losses


def test_a_loss_that_no_scale_helps_is_skipped_and_the_scale_stays(
    tiny: Make, tmp_path: Path
) -> None:
    def patch(trainer: Trainer) -> None:
        whole, calls = trainer.optimizer.gradient_norm, []

        def gradient_norm() -> Any:
            result = whole()
            batches = trainer.state.step
            calls.append(batches)
            return result * float("inf") if batches == 6 else result

        trainer.optimizer.gradient_norm = gradient_norm  # type: ignore[method-assign]

    done = train(tiny(**HALF), tmp_path, patch=patch)
    assert sorted(set(range(1, 13)) - set(done.losses)) == [7]
    assert done.trainer.state.loss_scale == 2.0**16


def test_a_scale_reduced_to_one_grows_again() -> None:
    scale = LossScale.of("fp16")
    while scale.overflowed():
        pass
    assert scale.value == 1.0
    for _ in range(1000):
        scale.succeeded()
    assert scale.value == 2.0
    other = LossScale.of("fp32")
    for _ in range(1000):
        other.succeeded()
    assert (other.value, other.calm) == (1.0, 0)
