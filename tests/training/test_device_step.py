"""Steps whose decisions are made on the device, as on a GPU: the same training, fewer launches.

Without a GPU the same operations run on the CPU, and a stand-in that runs them again takes the
place of the captured graph.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.training.device_step import DeviceStep
from slm_tui.training.events import Skipped, Warned
from slm_tui.training.trainer import Trainer
from tests.training.harness import Training, train

Make = Callable[..., Preset]
SHORT = {"training__max_steps": 12, "training__gradient_norms": True}


def on_device(trainer: Trainer) -> None:
    stepper = trainer._stepper
    stepper._device_step = stepper._on_device(trainer.corpus.train)


def losses(done: Training) -> list[float]:
    return list(done.losses) if isinstance(done.losses, list) else list(done.losses.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": {"kind": "muon", "learning_rate": 3e-3}},
        {"optimizer": {"gradient_clip": 0.05, "learning_rate": 3e-3}},
        {"training__micro_batch": 2, "training__accumulation": 4},
        {"model__dropout": 0.2},
    ],
    ids=["adamw", "muon", "clipped", "accumulated", "dropout"],
)
def test_the_losses_are_those_of_steps_that_the_host_decides(
    tiny: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    preset = tiny(**SHORT, **changes)
    plain = train(preset, tmp_path / "plain")
    ours = train(preset, tmp_path / "ours", patch=on_device)
    assert ours.reason == "done"
    assert losses(ours) == pytest.approx(losses(plain), rel=1e-4)


def test_a_step_that_is_not_finite_changes_nothing(tiny: Make, tmp_path: Path) -> None:
    """The step is skipped and reported, and weights, moments and counts are as before."""
    for kind in ("adamw", "muon"):
        preset = tiny(**SHORT, optimizer={"kind": kind, "learning_rate": 3e-3})
        trainers: list[Trainer] = []
        snapshots: list[dict[str, torch.Tensor]] = []

        def patch(
            trainer: Trainer, trainers: list[Any] = trainers, snapshots: list[Any] = snapshots
        ) -> None:
            trainers.append(trainer)
            on_device(trainer)
            step = trainer._stepper._device_step
            assert step is not None
            whole = step._gradients

            def poisoned(ids: torch.Tensor, targets: torch.Tensor) -> Any:
                found = whole(ids, targets)
                if trainer.state.step == 5:
                    snapshots.append(trainer.optimizer.snapshot())
                    trainer.optimizer.gradients[3] = math.nan
                elif trainer.state.step == 6:
                    snapshots.append(trainer.optimizer.snapshot())
                return found

            step._gradients = poisoned

        done = train(preset, tmp_path / kind, patch=patch)
        assert [event.step for event in done.of(Skipped)] == [6]
        before, after = snapshots
        for name, values in before.items():
            assert torch.equal(values, after[name]), (kind, name)
        assert trainers[0].optimizer.is_finite()


class Again:
    """In place of a graph: replaying runs the captured operations again."""

    def __init__(self) -> None:
        self.run: Callable[[], object] = lambda: None
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        self.run()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Again]:
    """The functions of torch.cuda that a capture uses, on the CPU. Captured operations do not run,
    so the weights are put back afterwards."""
    made: list[Again] = []

    class Stream:
        def __init__(self, *_: object) -> None: ...
        def wait_stream(self, other: object) -> None: ...

    @contextmanager
    def stream(_: object) -> Iterator[None]:
        yield

    def graph() -> Again:
        made.append(Again())
        return made[-1]

    @contextmanager
    def capturing(_: Again, **__: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: Stream())
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (1 << 40, 1 << 40))
    return made


def captured(graphs: list[Again], wrong: float = 0.0) -> Callable[[Trainer], None]:
    """Patches a trainer to capture; a replay is off by `wrong` times the weights."""

    def patch(trainer: Trainer) -> None:
        stepper = trainer._stepper
        step = stepper._on_device(trainer.corpus.train)
        step._replays = True
        run, optimizer = step._run, trainer.optimizer

        def again() -> None:
            step._numbers = run()
            if wrong:
                with torch.no_grad():
                    optimizer.weights.mul_(1 + wrong)

        def capturing() -> torch.Tensor:
            if graphs and graphs[-1].replays == 0 and not step.is_replayed:
                saved = optimizer.snapshot()
                graphs[-1].run = again
                numbers = run()
                optimizer.restore(saved)
                return numbers
            return run()

        step._run = capturing  # type: ignore[method-assign]
        stepper._device_step = step

    return patch


def test_a_captured_step_that_agrees_is_replayed(
    tiny: Make, tmp_path: Path, graphs: list[Again]
) -> None:
    plain = train(tiny(**SHORT), tmp_path / "plain", patch=on_device)
    ours = train(tiny(**SHORT), tmp_path / "ours", patch=captured(graphs))
    assert ours.warnings == []
    assert [graph.replays for graph in graphs] == [12]
    assert losses(ours) == losses(plain)


def test_a_captured_step_that_differs_is_not_used_and_said(
    tiny: Make, tmp_path: Path, graphs: list[Again]
) -> None:
    plain = train(tiny(**SHORT), tmp_path / "plain", patch=on_device)
    ours = train(tiny(**SHORT), tmp_path / "ours", patch=captured(graphs, wrong=0.1))
    (said,) = ours.of(Warned)
    assert said.message == "steps are not replayed as a CUDA graph: its weights differ"
    assert losses(ours) == losses(plain)


def test_a_capture_that_fails_is_said_and_training_goes_on(
    tiny: Make, tmp_path: Path, graphs: list[Again], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def fails(_: Again, **__: object) -> Iterator[None]:
        raise RuntimeError("operation not permitted when stream is capturing")
        yield

    plain = train(tiny(**SHORT), tmp_path / "plain", patch=on_device)

    def replaying(trainer: Trainer) -> None:
        on_device(trainer)
        assert trainer._stepper._device_step is not None
        trainer._stepper._device_step._replays = True

    monkeypatch.setattr(torch.cuda, "graph", fails)
    ours = train(tiny(**SHORT), tmp_path / "ours", patch=replaying)
    (said,) = ours.of(Warned)
    assert "operation not permitted" in said.message
    assert losses(ours) == losses(plain)


def test_a_smaller_pass_is_captured_anew(tiny: Make, tmp_path: Path, graphs: list[Again]) -> None:
    done = train(tiny(**SHORT), tmp_path / "run", patch=captured(graphs))
    stepper = done.trainer._stepper
    step = stepper._device_step
    assert isinstance(step, DeviceStep)
    assert step.is_replayed
    stepper.at_once = 1
    assert stepper._of_graph != stepper._key()
