"""Early stopping, plateaus, warm-up and retention, in real runs and across resumes."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.live.session import Session
from slm_tui.runs.curves import Curves
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Saved, Stepped
from tests import extent
from tests.training.harness import Training, train

Make = Callable[..., Preset]
# Six stories to memorise: the validation loss falls, then rises.
BY_HEART: dict[str, Any] = {
    "data__documents": 6,
    "model__n_embd": 32,
    "model__dropout": 0.1,
    "schedule": {"kind": "constant"},
    "training__max_steps": 2000,
    "training__evaluate_every": 10,
    "training__evaluate_batches": 8,
    "training__sample_every": 10_000,
    "training__checkpoint_every": 25,
    "training__early_stop_patience": 40,
}


def rates(done: Training) -> dict[int, float]:
    return {event.step: event.learning_rate for event in done.of(Stepped)}


def test_an_early_stop_restores_the_best_weights(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(**BY_HEART), tmp_path)
    assert done.reason == "early stop"
    state = done.trainer.state
    assert state.best_step is not None
    assert 0 < state.best_step <= state.step - 40
    assert state.best_loss == min(done.evaluations.values())
    best, last = (checkpoint.linked(tmp_path, name) for name in ("best", "last"))
    assert best is not None
    assert best == last
    weights = checkpoint.read(best).weights()
    assert checkpoint.read(best).state.step == state.best_step
    assert all(torch.equal(weights[name], value) for name, value in done.weights.items())


def test_without_early_stop_restore_the_last_weights_stay(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(**BY_HEART, training__early_stop_restore=False), tmp_path)
    assert done.reason == "early stop"
    last = checkpoint.linked(tmp_path, "last")
    assert last is not None
    assert checkpoint.step_of(last) == done.trainer.state.step


def test_a_resume_continues_where_it_stopped_with_patience_reset(tiny: Make, home: Path) -> None:
    first = Session.start(tiny(**BY_HEART))
    assert first.wait(60)
    assert first.status.state == "stopped early"
    stopped_at = first.status.step
    more = Session.resume(first.run)
    assert more.wait(60)
    assert more.status.state == "stopped early"
    assert more.status.step >= stopped_at + 40
    # The same run with unlimited patience.
    patient = {**BY_HEART, "training__early_stop_patience": None}
    patient["training__max_steps"] = more.status.step
    whole = Session.start(tiny(**patient), "whole")
    assert whole.wait(60)
    curves, expected = Curves(more.run), Curves(whole.run)
    curves.read()
    expected.read()
    assert curves.steps.step == expected.steps.step
    assert curves.steps.loss == expected.steps.loss


def test_steps_added_after_an_early_stop_add_to_where_it_stopped(tiny: Make, home: Path) -> None:
    first = Session.start(tiny(**BY_HEART))
    assert first.wait(60)
    stopped_at = first.status.step
    assert stopped_at < first.status.max_steps - 5
    more = Session.resume(first.run, more_steps=5)
    assert more.wait(60)
    assert (more.status.state, more.status.step) == ("done", stopped_at + 5)
    assert more.run.info().max_steps == stopped_at + 5


def test_an_improvement_below_min_delta_does_not_count(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**{**BY_HEART, "training__early_stop_patience": 20})
    loose = train(preset, tmp_path / "loose")
    strict = train(
        tiny(**{**BY_HEART, "training__early_stop_patience": 20}, training__early_stop_min_delta=3),
        tmp_path / "strict",
    )
    assert strict.trainer.state.best_step == 0
    assert strict.trainer.state.step == 20
    assert loose.trainer.state.step > 20


def test_a_kill_before_linking_the_best_does_not_lose_it(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(training__evaluate_every=5, training__checkpoint_every=1000)
    train(preset, tmp_path, wishes={11: Control.stop})
    best = checkpoint.linked(tmp_path, "best")
    assert best is not None
    assert checkpoint.step_of(best) == 10
    # The state between renaming the checkpoint and setting the link.
    checkpoint.discard(tmp_path / "step-000011")
    checkpoint.link(tmp_path, "best", "step-000005")
    second = train(preset, tmp_path, resume=True, wishes={11: Control.stop})
    assert min(second.losses) == 11
    assert checkpoint.linked(tmp_path, "best") == best


def test_a_kill_between_the_renames_of_a_replacement_loses_no_checkpoint(
    tiny: Make, tmp_path: Path
) -> None:
    train(tiny(), tmp_path, wishes={8: Control.stop})
    path = tmp_path / "step-000008"
    before = checkpoint.read(path).weights()
    os.replace(path, tmp_path / ".writing-old-step-000008")
    checkpoint.sweep(tmp_path)
    after = checkpoint.read(path).weights()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not list(tmp_path.glob(".writing-*"))


PLATEAU: dict[str, Any] = {
    "optimizer": {"learning_rate": 1.0},
    "schedule": {
        "kind": "constant",
        "warmup_steps": 4,
        "plateau_factor": 0.5,
        "plateau_patience": 6,
        "plateau_cooldown": 4,
        "plateau_floor": 0.3,
    },
    "training__max_steps": 60,
    "training__evaluate_every": 2,
}


def test_a_plateau_reduces_the_rate_by_its_factor_down_to_its_floor(
    tiny: Make, tmp_path: Path
) -> None:
    done = train(tiny(**PLATEAU), tmp_path)
    used = rates(done)
    lowered = [step for step in range(6, 61) if used[step] < used[step - 1]]
    assert [used[step] for step in lowered] == [0.5, 0.3]
    # Patience, cooldown and patience again: each late by at most one evaluation.
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(lowered))
    best_before = min(step for step in done.evaluations if step >= 4)
    assert lowered[0] >= best_before + 6
    assert used[60] == 0.3


@extent.sample(2)
@pytest.mark.parametrize("stop_after", [9, 12, 13, 22, 30])
def test_plateau_detection_continues_exactly_after_a_resume(
    tiny: Make, tmp_path: Path, stop_after: int
) -> None:
    whole = train(tiny(**PLATEAU), tmp_path / "whole")
    first = train(tiny(**PLATEAU), tmp_path / "parts", wishes={stop_after: Control.stop})
    second = train(tiny(**PLATEAU), tmp_path / "parts", resume=True)
    assert {**rates(first), **rates(second)} == rates(whole)
    assert {**first.losses, **second.losses} == whole.losses


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"warmup_fraction": 0.5}, [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1]),
        ({"warmup_steps": 3}, [1 / 3, 2 / 3, 1, 1]),
        ({"warmup_steps": 4, "warmup_start_ratio": 0.2}, [0.2, 0.4, 0.6, 0.8, 1]),
        ({"warmup_steps": 0}, [1, 1]),
    ],
)
def test_the_log_of_a_run_shows_its_warm_up(
    tiny: Make, home: Path, schedule: dict[str, Any], expected: list[float]
) -> None:
    session = Session.start(tiny(schedule={"kind": "constant", **schedule}))
    assert session.wait(60)
    curves = Curves(session.run)
    curves.read()
    logged = curves.steps.learning_rate[: len(expected)]
    assert logged == pytest.approx([0.01 * part for part in expected])


def test_multiples_of_keep_every_are_kept(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(
        training__checkpoint_every=1,
        training__keep_checkpoints=2,
        training__keep_every=5,
        training__evaluate_every=1000,
    )
    done = train(preset, tmp_path)
    assert len(done.of(Saved)) >= 12
    steps = [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)]
    # The last one, two more, and the multiples of 5.
    assert steps == [5, 9, 10, 11, 12]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_merged_passes_train_like_separate_ones(tiny: Make, tmp_path: Path, kind: str) -> None:
    preset = tiny(
        optimizer={"kind": kind, "learning_rate": 0.01},
        training__micro_batch=2,
        training__accumulation=6,
    )

    def one_by_one(trainer: Any) -> None:
        assert trainer._stepper.at_once == 12
        trainer._stepper.at_once = 2

    merged = train(preset, tmp_path / "merged")
    separate = train(preset, tmp_path / "separate", patch=one_by_one)
    # In the first steps: later ones amplify differences in rounding.
    for step in range(1, 7):
        assert separate.losses[step] == pytest.approx(merged.losses[step], rel=1e-5)
    assert merged.trainer.state.tokens_seen == separate.trainer.state.tokens_seen
