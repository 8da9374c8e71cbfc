"""Steps whose results are read several at once, as on a GPU, are the same training."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batches
from slm_tui.training import stepper as stepping
from slm_tui.training.control import Control
from slm_tui.training.device_text import DeviceText
from slm_tui.training.events import (
    Changed,
    Evaluated,
    Failed,
    Paused,
    Saved,
    Saving,
    Skipped,
    Stepped,
    WentBack,
)
from slm_tui.training.lookahead import MOST, Lookahead
from slm_tui.training.trainer import Trainer
from tests.training.harness import Training, train

Make = Callable[..., Preset]
QUIET: dict[str, Any] = {
    "schedule": {"kind": "constant"},
    "training__max_steps": 120,
    "training__evaluate_every": 1000,
    "training__sample_every": 1000,
    "training__checkpoint_every": 50,
}


class Ahead:
    """Patches a trainer to launch as many steps as possible before it reads their results.

    Args:
        poison: makes the gradients of these steps infinite, each once.
        text: whether the device holds the text.
    """

    def __init__(self, poison: range = range(0), *, text: bool = True) -> None:
        self.poison = set(poison)
        self.text = text
        self.reads: list[int] = []
        # Done after these steps were launched, maybe before they are read.
        self.wishes: dict[int, Callable[[Control], object]] = {}

    def __call__(self, trainer: Trainer) -> None:
        stepper = trainer._stepper
        run = stepper._on_device(trainer.corpus.train if self.text else None)
        stepper._device_step = run
        stepper._lookahead = Lookahead(clock=lambda: 0.0)
        read, whole = run.read, run._gradients

        def counted() -> Any:
            numbers = read()
            self.reads.append(len(numbers))
            return numbers

        def poisoned(ids: torch.Tensor, targets: torch.Tensor) -> Any:
            found = whole(ids, targets)
            if trainer.state.step + 1 in self.poison:
                self.poison.remove(trainer.state.step + 1)
                trainer.optimizer.gradients[3] = math.inf
            return found

        launch = stepper.launch

        def launching(*arguments: Any) -> None:
            launch(*arguments)
            wish = self.wishes.pop(trainer.state.step + 1, None)
            if wish is not None:
                wish(trainer.control)

        stepper.launch = launching  # type: ignore[method-assign]
        run.read = counted  # type: ignore[method-assign]
        run._gradients = poisoned


class OneByOne(Ahead):
    """The same, but each result is read before the next step."""

    def __call__(self, trainer: Trainer) -> None:
        super().__call__(trainer)
        trainer._stepper._lookahead._clock = iter(range(10**6)).__next__


def story(done: Training) -> list[tuple[Any, ...]]:
    """What happened, in order, without times and sizes."""
    kept = []
    for event in done.events:
        if isinstance(event, Stepped):
            tokens = event.tokens_seen
            kept.append((event.step, tokens, event.loss, event.gradient_norm, event.learning_rate))
        elif isinstance(event, Changed | Skipped | WentBack):
            kept.append((type(event), vars(event)))
        elif not isinstance(event, Saved):
            kept.append((type(event), event.__dict__.get("step")))
    return kept


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    # nan and inf compare by their text.
    return [repr(part) for part in one] == [repr(part) for part in other]


def test_losses_events_and_weights_are_those_of_results_read_one_by_one(
    tiny: Make, tmp_path: Path
) -> None:
    preset = tiny(**QUIET)
    one, ahead = OneByOne(), Ahead()
    expected = train(preset, tmp_path / "one", patch=one)
    done = train(preset, tmp_path / "ahead", patch=ahead)
    assert set(one.reads) == {1}
    assert max(ahead.reads) > 20
    assert sum(ahead.reads) == 120
    assert same(story(done), story(expected))
    for name, weight in expected.weights.items():
        assert torch.equal(weight, done.weights[name])


def test_a_text_on_the_device_changes_nothing(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**QUIET)
    expected = train(preset, tmp_path / "host", patch=Ahead(text=False))
    assert not expected.trainer._stepper.cuts_windows
    done = train(preset, tmp_path / "device", patch=Ahead())
    assert done.trainer._stepper.cuts_windows
    assert done.losses == expected.losses


def test_everything_that_is_due_comes_at_its_step(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**QUIET | {"training__evaluate_every": 30, "training__sample_every": 40})
    expected = train(preset, tmp_path / "one", patch=OneByOne())
    done = train(preset, tmp_path / "ahead", patch=Ahead())
    assert same(story(done), story(expected))
    assert done.evaluations == expected.evaluations


def test_steps_that_are_not_finite_are_reported_in_their_order(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**QUIET)
    ahead = Ahead(range(70, 73))
    expected = train(preset, tmp_path / "one", patch=OneByOne(range(70, 73)))
    done = train(preset, tmp_path / "ahead", patch=ahead)
    assert [event.step for event in done.of(Skipped)] == [70, 71, 72]
    assert max(ahead.reads) > 20
    assert same(story(done), story(expected))
    assert done.trainer.state.skipped_steps == 3


def test_going_back_discards_the_steps_that_were_launched_meanwhile(
    tiny: Make, tmp_path: Path
) -> None:
    preset = tiny(**QUIET)
    expected = train(preset, tmp_path / "one", patch=OneByOne(range(70, 75)))
    done = train(preset, tmp_path / "ahead", patch=Ahead(range(70, 75)))
    assert [event.step for event in done.of(WentBack)] == [50]
    assert done.reason == "done"
    assert same(story(done), story(expected))
    for name, weight in expected.weights.items():
        assert torch.equal(weight, done.weights[name])


def test_a_second_failure_ends_the_run_with_a_checkpoint(tiny: Make, tmp_path: Path) -> None:
    ahead = Ahead(range(70, 75))

    def patch(trainer: Trainer) -> None:
        ahead(trainer)
        inner = trainer._sink

        def sink(event: Any) -> None:
            inner(event)
            if isinstance(event, WentBack):
                ahead.poison = set(range(80, 85))

        trainer._sink = sink

    done = train(tiny(**QUIET), tmp_path, patch=patch)
    (failed,) = done.of(Failed)
    assert failed.cause == "not finite"
    assert "5 steps in a row" in failed.error
    assert [event.step for event in done.of(Skipped)] == [*range(70, 75), *range(80, 85)]
    last = done.of(Saved)[-1]
    assert last.step == failed.step >= 84


def test_a_stopped_run_has_reported_every_step_and_resumes_exactly(
    tiny: Make, tmp_path: Path
) -> None:
    preset = tiny(**QUIET)
    whole = train(preset, tmp_path / "whole", patch=Ahead())
    ahead = Ahead()
    ahead.wishes = {40: Control.stop}
    first = train(preset, tmp_path / "parts", patch=ahead)
    assert first.reason == "stopped"
    # The rest of its turn was not waited for.
    assert [event.step for event in first.of(Stepped)] == list(range(1, 41))
    rest = train(preset, tmp_path / "parts", patch=Ahead(), resume=True)
    assert {**first.losses, **rest.losses} == whole.losses


def slower(control: Control) -> None:
    control.scale_learning_rate(0.5)


@pytest.mark.parametrize("step", [40, 50, 76])
def test_a_request_in_the_middle_comes_after_the_steps_before_it(
    step: int, tiny: Make, tmp_path: Path
) -> None:
    """Also where a checkpoint is due, and after steps with which training goes back."""
    stories = []
    preset = tiny(**QUIET | {"training__evaluate_every": 50})
    for kind, name in ((OneByOne, "one"), (Ahead, "ahead")):
        ahead = kind(range(70, 75))
        ahead.wishes = {step: slower}
        done = train(preset, tmp_path / name, patch=ahead)
        stories.append(story(done))
        changed = done.of(Changed)
        if step < 70:
            assert changed[0].step == step
            before = done.events[: done.events.index(changed[0])]
            assert done.losses
            assert [one.step for one in before if isinstance(one, Stepped)][-1] == step
        assert [event.step for event in done.of(WentBack)] == [50]
    if step < 70:
        assert same(*stories)


def test_what_is_due_after_going_back_is_done_whatever_is_requested(
    tiny: Make, tmp_path: Path
) -> None:
    preset = tiny(**QUIET | {"training__evaluate_every": 50})
    ahead = Ahead(range(70, 75))
    ahead.wishes = {76: slower}
    done = train(preset, tmp_path, patch=ahead)
    (back,) = done.of(WentBack)
    after = done.events[done.events.index(back) :]
    evaluated = [event.step for event in after if isinstance(event, Evaluated)]
    saved = [event.step for event in after if isinstance(event, Saving)]
    assert evaluated[:2] == [50, 100]
    assert saved[0] == 50


def test_training_that_is_blocked_in_the_middle_has_reported_every_step(
    tiny: Make, tmp_path: Path
) -> None:
    ahead = Ahead()
    ahead.wishes = {40: lambda control: control.block("a test", "the disk is full")}

    def patch(trainer: Trainer) -> None:
        ahead(trainer)
        inner = trainer._sink

        def sink(event: Any) -> None:
            inner(event)
            if isinstance(event, Paused):
                trainer.control.unblock("a test")

        trainer._sink = sink

    done = train(tiny(**QUIET), tmp_path, patch=patch)
    (paused,) = done.of(Paused)
    before = done.events[: done.events.index(paused)]
    assert [event.step for event in before if isinstance(event, Stepped)] == list(range(1, 41))
    assert len(done.losses) == 120


def test_an_error_while_launching_loses_no_result(tiny: Make, tmp_path: Path) -> None:
    """Nor anything else of the steps before it: the checkpoint is that of steps read at once."""
    states, messages = [], []
    for kind, name in ((OneByOne, "one"), (Ahead, "ahead")):
        ahead = kind(range(70, 73))

        def patch(trainer: Trainer, ahead: Ahead = ahead) -> None:
            ahead(trainer)
            run = trainer._stepper._device_step
            assert run is not None
            launch = run.launch
            full = [80]

            def failing(*arguments: Any) -> None:
                if trainer.state.step == 99:
                    raise RuntimeError("the device is gone")
                if trainer.state.step in full:
                    full.clear()
                    raise torch.OutOfMemoryError("CUDA out of memory")
                launch(*arguments)

            run.launch = failing  # type: ignore[method-assign]

        done = train(tiny(**QUIET), tmp_path / name, patch=patch)
        (failed,) = done.of(Failed)
        assert "the device is gone" in failed.error
        assert list(done.losses) == [step for step in range(1, 100) if step not in range(70, 73)]
        assert done.of(Saved)[-1].step == 99
        state = dict(vars(done.trainer.state))
        assert state.pop("elapsed_seconds") == done.of(Stepped)[-1].elapsed_seconds
        states.append(repr(state))
        messages.append(done.warnings)
    assert states[0] == states[1]
    assert messages[0] == messages[1]
    assert any("memory ran out" in message for message in messages[0])


def test_a_run_that_ends_by_time_is_evaluated_at_its_end(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**QUIET | {"training__max_minutes": 0.01, "training__max_steps": 100_000})
    ahead = Ahead()
    ahead.wishes = {30: slower}
    done = train(preset, tmp_path, patch=ahead)
    assert done.reason == "done"
    last = done.trainer.state.step
    assert done.of(Evaluated)[-1].step == last == done.of(Stepped)[-1].step
    assert done.trainer.state.elapsed_seconds >= 0.6


def test_single_steps_are_read_while_compiling_is_decided(tiny: Make, tmp_path: Path) -> None:
    ahead = Ahead()
    done = train(tiny(**QUIET | {"training__compile": "auto"}), tmp_path, patch=ahead)
    assert not done.trainer._stepper.forward.is_measuring
    assert set(ahead.reads[:16]) == {1}
    assert max(ahead.reads) > 10


def test_a_large_text_is_given_up_before_passes_get_smaller(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(tiny(**QUIET), tmp_path / "one", patch=OneByOne())
    for least, at_once in ((1, 4), (1 << 40, 2)):
        monkeypatch.setattr(stepping, "_LARGE_TEXT", least)
        full = [5]

        def patch(trainer: Trainer, full: list[int] = full) -> None:
            Ahead()(trainer)
            run = trainer._stepper._device_step
            assert run is not None
            whole = run._gradients

            def scarce(ids: torch.Tensor, targets: torch.Tensor) -> Any:
                found = whole(ids, targets)
                if trainer.state.step in full:
                    full.clear()
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return found

            run._gradients = scarce

        done = train(tiny(**QUIET), tmp_path / str(least), patch=patch)
        stepper = done.trainer._stepper
        assert stepper.at_once == at_once
        assert stepper.cuts_windows == (at_once == 2)
        (said,) = done.warnings
        assert ("no longer holds the text" in said) == (at_once == 4)
        assert done.losses == pytest.approx(expected.losses, rel=1e-4)


def test_as_many_steps_are_launched_as_take_a_tenth_of_a_second() -> None:
    now = 0.0
    ahead = Lookahead(clock=lambda: now)

    def launch_and_read(seconds: float) -> int:
        nonlocal now
        count = 0
        while not ahead.is_over:
            ahead.launch()
            count += 1
        now += seconds * count
        ahead.read()
        return count

    # The first is slow, then more and more are tried.
    assert [launch_and_read(seconds) for seconds in (2.0, 0.001, 0.001)] == [1, 1, 2]
    counts = [launch_and_read(0.001) for _ in range(10)]
    assert counts[:3] == [4, 8, 16]
    assert set(counts[6:]) <= {99, 100}
    assert max(launch_and_read(1e-6) for _ in range(5)) == MOST
    # Steps have become slow: one reading is late, not more.
    launch_and_read(0.05)
    assert launch_and_read(0.05) == 2
    assert launch_and_read(0.5) == 2
    assert launch_and_read(0.5) == 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
def test_windows_cut_by_a_device_are_those_of_the_host(kind: type, tmp_path: Path) -> None:
    most = min(np.iinfo(kind).max, 2**31)
    tokens = np.random.default_rng(0).integers(0, most, 997, endpoint=True).astype(kind)
    tokens[:3] = most
    tokens.tofile(tmp_path / "tokens")
    mapped = np.memmap(tmp_path / "tokens", dtype=kind, mode="r")
    batches = Batches(mapped, 16, 5, seed=1)
    text = DeviceText.of(mapped, 16, torch.device("cpu"))
    assert text is not None
    for step in range(30):
        ids, targets = text.windows(torch.from_numpy(batches.windows_of(step).starts))
        expected = batches.batch(step)
        assert torch.equal(ids, torch.from_numpy(expected.ids))
        assert torch.equal(targets, torch.from_numpy(expected.targets))


def test_a_text_that_would_fill_the_device_stays_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = np.zeros(1000, np.uint16)
    for free, fits in ((8 * 2000 - 8, False), (8 * 2000, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_, free=free: (free, 1 << 40))
        monkeypatch.setattr(DeviceText, "__init__", lambda *_: None)
        assert (DeviceText.of(tokens, 16, torch.device("cuda")) is not None) == fits
