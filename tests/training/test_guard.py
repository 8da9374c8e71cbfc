"""Trainings that really fail: overflowing weights, damaged texts, far too high rates; and ones
that only look wild, which must not be reported."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config import library, overrides
from slm_tui.config.preset import Preset
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Failed
from slm_tui.training.guard import Guard
from slm_tui.training.stepper import StepResult
from slm_tui.training.trainer import Trainer
from tests import extent
from tests.training.harness import Training, train

Make = Callable[..., Preset]
QUIET: dict[str, Any] = {
    "schedule": {"kind": "constant"},
    "optimizer": {"learning_rate": 0.01, "gradient_clip": 0},
    "training__max_steps": 240,
    "training__evaluate_every": 1000,
    "training__sample_every": 1000,
    "training__checkpoint_every": 25,
}


def raise_rate(control: Control) -> None:
    control.scale_learning_rate(200)


def back(done: Training) -> list[str]:
    return [text for text in done.warnings if text.startswith("back to step")]


def spikes(done: Training) -> list[str]:
    return [text for text in done.warnings if text.startswith("loss spike")]


class Change:
    """Changes a weight of the running model after a step."""

    def __init__(self, how: Callable[[torch.Tensor], None]) -> None:
        self.how = how
        self.trainer: Trainer | None = None

    def __call__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def now(self, _: Control) -> None:
        assert self.trainer is not None
        weights = dict(self.trainer.model.named_parameters())
        with torch.no_grad():
            self.how(weights["token_embedding.weight"])


def test_a_far_too_high_rate_goes_back_once_and_is_halved(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(**QUIET), tmp_path, wishes={120: raise_rate})
    assert done.reason == "done"
    assert back(done) == ["back to step 100 with half the learning rate"]
    # Half of what it was at the checkpoint, not when training failed.
    assert done.trainer.state.learning_rate_multiplier == 0.5
    assert done.losses[240] < 4


def test_a_second_failure_stops_training_with_the_evidence(tiny: Make, tmp_path: Path) -> None:
    again: list[int] = []

    def patch(trainer: Trainer) -> None:
        inner = trainer._sink

        def sink(event: Any) -> None:
            inner(event)
            if getattr(event, "message", "").startswith("back to step"):
                again.append(1)
                trainer.control.scale_learning_rate(400)

        trainer._sink = sink

    done = train(tiny(**QUIET), tmp_path, wishes={120: raise_rate}, patch=patch)
    assert again == [1]
    assert done.reason is None
    (failed,) = done.of(Failed)
    assert "worse than a uniform guess (5.55), after it had been 3." in failed.error
    assert "the learning rate was 0.01, then half of it" in failed.error
    assert "try a tenth of optimizer.learning_rate" in failed.error
    # No earlier training is lost.
    loaded = checkpoint.read(tmp_path / "step-000100")
    assert loaded.state.train_loss is not None
    assert loaded.state.train_loss < 4


def test_a_rate_that_overflows_at_once_stops_with_the_evidence(tiny: Make, tmp_path: Path) -> None:
    optimizer = {"learning_rate": 1.0, "gradient_clip": 0, "weight_decay": 10}
    done = train(tiny(**{**QUIET, "optimizer": optimizer}), tmp_path)
    (failed,) = done.of(Failed)
    assert "is not finite" in failed.error
    assert "for 5 steps in a row: the learning rate was 1; try optimizer" in failed.error
    assert done.trainer.state.skipped_steps == 5
    assert "try optimizer.learning_rate=0.003" in failed.error


def test_an_infinite_weight_is_discarded(tiny: Make, tmp_path: Path) -> None:
    poison = Change(lambda weight: weight[0, 0].fill_(float("inf")))
    # If every step were saved, all intact checkpoints would be deleted.
    preset = tiny(
        **{**QUIET, "training__checkpoint_every": 1, "training__max_steps": 90},
        training__keep_checkpoints=1,
    )
    done = train(preset, tmp_path, patch=poison, wishes={30: poison.now})
    assert done.reason == "done"
    assert back(done) in (
        ["back to step 29 with half the learning rate"],
        ["back to step 30 with half the learning rate"],
    )
    assert done.trainer.state.skipped_steps == 5
    assert all(bool(torch.isfinite(weight).all()) for weight in done.weights.values())
    assert done.losses[90] < 4


def test_a_gradient_that_overflows_while_the_loss_is_finite_is_skipped(
    tiny: Make, tmp_path: Path
) -> None:
    def patch(trainer: Trainer) -> None:
        embedding = dict(trainer.model.named_parameters())["token_embedding.weight"]
        calls: list[int] = []

        def overflow(gradient: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            return gradient * 1e38 * 1e10 if len(calls) in (3, 7) else gradient

        embedding.register_hook(overflow)

    done = train(tiny(), tmp_path, patch=patch)
    assert done.reason == "done"
    assert sorted(set(range(1, 13)) - set(done.losses)) == [3, 7]
    assert done.trainer.state.skipped_steps == 2


def test_a_spike_is_reported_once_and_training_recovers(tiny: Make, tmp_path: Path) -> None:
    swell = Change(lambda weight: weight.mul_(30))
    done = train(tiny(**QUIET), tmp_path, patch=swell, wishes={100: swell.now})
    assert done.reason == "done"
    assert len(spikes(done)) == 1
    assert back(done) == []
    assert done.losses[101] > done.losses[100] + 1
    assert done.losses[240] < done.losses[100] + 0.5


def test_a_damaged_passage_of_the_text_is_reported_as_a_spike(tiny: Make, tmp_path: Path) -> None:
    chance = random.Random(0)
    noise = "".join(chr(chance.randrange(0x21, 0x7F)) for _ in range(40))
    text = "the cat sat on the mat. " * 200
    file = tmp_path / "text.txt"
    file.write_text(text[:2400] + noise + text[2400:])
    preset = tiny(
        **{**QUIET, "training__max_steps": 400},
        data={"kind": "file", "path": str(file), "split": {"validation": 0.1}},
        training__micro_batch=1,
    )
    done = train(preset, tmp_path / "run")
    assert done.reason == "done"
    assert 1 <= len(spikes(done)) <= 3
    assert back(done) == []
    assert done.losses[400] < 1


def test_a_resumed_run_goes_back_where_an_uninterrupted_one_does(
    tiny: Make, tmp_path: Path
) -> None:
    whole = train(tiny(**QUIET), tmp_path / "whole", wishes={120: raise_rate})
    stop = {120: raise_rate, 135: Control.stop}
    first = train(tiny(**QUIET), tmp_path / "parts", wishes=stop)
    second = train(tiny(**QUIET), tmp_path / "parts", resume=True)
    assert back(second) == back(whole) != []
    assert max(first.losses) == 135
    assert {**first.losses, **second.losses} == whole.losses
    assert second.trainer._guard.has_gone_back


def test_checkpoints_saved_after_the_failure_are_not_resumed(tiny: Make, tmp_path: Path) -> None:
    wishes: dict[int, Any] = {120: raise_rate, 140: Control.save}

    def patch(trainer: Trainer) -> None:
        inner = trainer._sink

        def sink(event: Any) -> None:
            inner(event)
            if getattr(event, "message", "").startswith("back to step"):
                newest, _ = checkpoint.newest(tmp_path)
                assert newest is not None
                steps.append(newest.state.step)

        trainer._sink = sink

    steps: list[int] = []
    done = train(tiny(**QUIET), tmp_path, wishes=wishes, patch=patch)
    assert back(done) == ["back to step 100 with half the learning rate"]
    # The state that a process killed at this moment would leave.
    assert steps == [100]
    assert (tmp_path / "diverged-step-000140").is_dir()


def shipped(name: str, *changes: str) -> Preset:
    return overrides.apply(library.get(name), list(changes))


SHORT = ("training.max_steps=150", "data.documents=300", "training.micro_batch=4")
NO_LOOKS = ("training.evaluate_every=1000", "training.sample_every=1000", "training.threads=1")


@extent.sample(1)
@pytest.mark.slow
@pytest.mark.parametrize("wild", ["overfit", "stories", "dropout", "letters", "high rate"])
def test_a_noisy_loss_raises_no_alarm(tiny: Make, tmp_path: Path, wild: str) -> None:
    letters = tmp_path / "letters.txt"
    chance = random.Random(0)
    letters.write_text("".join(chance.choice("aaab\n") for _ in range(3000)))
    file = {"kind": "file", "path": str(letters), "split": {"validation": 0.1}}
    one = {**QUIET, "training__max_steps": 400, "training__micro_batch": 1}
    presets: dict[str, Callable[[], Preset]] = {
        "overfit": lambda: shipped("educational-tiny", *NO_LOOKS),
        "stories": lambda: shipped("stories-tiny", *NO_LOOKS, *SHORT),
        "dropout": lambda: tiny(**one, model__dropout=0.7),
        "letters": lambda: tiny(**one, data=file, tokenizer={"kind": "chars"}),
        "high rate": lambda: tiny(**{**one, "optimizer": {"learning_rate": 0.1}}),
    }
    done = train(presets[wild](), tmp_path / "run")
    assert done.reason == "done"
    assert done.warnings == []


def watched(guard: Guard, losses: list[float]) -> list[int]:
    """The steps at which the guard reports that training is broken."""
    found = []
    for step, loss in enumerate(losses):
        done = StepResult(loss, 1.0, True)
        if guard.is_broken(done):
            found.append(step)
            break
        guard.spike(step, done)
    return found


def test_a_model_that_never_learns_is_stopped() -> None:
    # ln 100 is 4.6: worse than a uniform guess from the first step on, and not getting better.
    rng = random.Random(1)
    assert watched(Guard(100), [6 + rng.gauss(0, 0.5) for _ in range(600)])
    # It begins high and falls, as after a fork to another text; or it guesses uniformly.
    assert not watched(Guard(100), [12 * 0.998**step for step in range(600)])
    assert not watched(Guard(100), [4.7 + rng.gauss(0, 0.1) for _ in range(600)])


def test_a_rate_a_hundred_times_too_high_is_stopped_although_the_model_learns_a_little() -> None:
    # ln 100 is 4.6: better than a uniform guess, but level.
    rng = random.Random(1)
    level = [3.5 + rng.gauss(0, 0.2) for _ in range(600)]
    assert watched(Guard(100, 50), level)
    assert not watched(Guard(100, 3), level)
    assert not watched(Guard(100), level)
    # It gets better, or has learned much.
    assert not watched(Guard(100, 50), [3.5 * 0.999**step for step in range(600)])
    assert not watched(Guard(100, 50), [2.5 + rng.gauss(0, 0.2) for _ in range(600)])


def test_a_run_at_such_a_rate_goes_back(tiny: Make, tmp_path: Path) -> None:
    optimizer = {"learning_rate": 1.0, "gradient_clip": 1.0}
    done = train(tiny(**{**QUIET, "optimizer": optimizer, "training__max_steps": 900}), tmp_path)
    assert any(text.endswith("with half the learning rate") for text in done.warnings)


def test_a_resumed_guard_counts_on() -> None:
    losses = [6.0] * 600
    whole = watched(Guard(100), losses)
    first, second = Guard(100), Guard(100)
    assert not watched(first, losses[:150])
    second.load_state(first.state())
    assert [150 + step for step in watched(second, losses[150:])] == whole
    losses = [3.5] * 600
    whole = watched(Guard(100, 50), losses)
    first, second = Guard(100, 50), Guard(100, 50)
    assert not watched(first, losses[:200])
    second.load_state(first.state())
    assert [200 + step for step in watched(second, losses[200:])] == whole
