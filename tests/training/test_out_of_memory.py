"""Memory that really runs out: the system refuses it, at the moment that each test is about."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.corpus.prepare import prepare
from slm_tui.errors import TrainingError
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.training import checkpoint
from slm_tui.training.allocator import keep_big_blocks
from slm_tui.training.events import Evaluated, Event, Failed, Saving, Started, Stepped, Warned
from slm_tui.training.trainer import Trainer
from tests import extent
from tests.conftest import make_tiny
from tests.training.forks import FullMemory, map_every_tensor, run
from tests.training.harness import train

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's memory limit"),
]
# About 100 MB of activations in one pass.
LARGE: dict[str, Any] = {
    "data__documents": 200,
    "model__n_layer": 4,
    "model__n_embd": 64,
    "model__block_size": 64,
    "training__micro_batch": 64,
    "training__precision": "fp32",
    "training__evaluate_every": 1000,
    "training__sample_every": 1000,
    "training__checkpoint_every": 1000,
    "training__max_steps": 3,
}
ROOM = 60 * 2**20
MUON = {"kind": "muon", "learning_rate": 0.01}


def large(**changes: Any) -> Any:
    return make_tiny(**{**LARGE, **changes})


class Scarce:
    """Takes the memory when `begins` is true, and frees it when `ends` is."""

    def __init__(
        self, room: int, begins: Callable[[Event], bool], ends: Callable[[Event], bool]
    ) -> None:
        self._room, self._begins, self._ends = room, begins, ends
        self._full: FullMemory | None = None
        self.was_full = False

    def __call__(self, trainer: Trainer) -> None:
        whole = trainer._sink

        def sink(event: Event) -> None:
            whole(event)
            self.see(event)

        trainer._sink = trainer._observer._sink = sink

    def see(self, event: Event) -> None:
        if self._full is None and not self.was_full and self._begins(event):
            self._full, self.was_full = FullMemory(self._room), True
        elif self._full is not None and self._ends(event):
            self._full.free()
            self._full = None


def at_step(step: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Stepped) and event.step == step


def is_warning(event: Event) -> bool:
    return isinstance(event, Warned)


def trained(
    home: Path, changes: dict[str, Any], scarce: Any = None, allocator: Any = map_every_tensor
) -> Any:
    """Losses, evaluations, warnings, failures, sequences at once, and finished checkpoints."""
    allocator()
    # If the machine has a GPU, the first backward pass starts a thread for it.
    torch.ones(1, requires_grad=True).sum().backward()
    done = train(large(**changes), home / "run", patch=scarce)
    return {
        "losses": list(done.losses.values()),
        "evaluations": done.evaluations,
        "warnings": done.warnings,
        "failures": [event.error for event in done.of(Failed)],
        "at_once": done.trainer.state.micro_batch,
        "saved": [checkpoint.step_of(path) for path in checkpoint.all_in(home / "run")],
    }


def trained_in_little(home: Path, changes: dict[str, Any], allocator: Any) -> Any:
    scarce = Scarce(ROOM, lambda event: isinstance(event, Started), is_warning)
    return trained(home, changes, scarce, allocator)


@extent.sample(1)
@pytest.mark.parametrize(
    ("changes", "allocator"),
    [({}, map_every_tensor), ({}, keep_big_blocks), ({"optimizer": MUON}, keep_big_blocks)],
    ids=["adamw", "adamw, free blocks kept", "muon, free blocks kept"],
)
def test_a_pass_that_does_not_fit_is_split(
    home: Path, changes: dict[str, Any], allocator: Any
) -> None:
    result = run(trained_in_little, home / "little", home / "little", changes, allocator)
    plain = run(trained, home / "much", home / "much", changes)
    assert result["failures"] == []
    assert result["at_once"] < plain["at_once"] == 64
    assert any(text.startswith("memory ran out: now") for text in result["warnings"])
    assert result["losses"] == pytest.approx(plain["losses"], rel=1e-4)
    assert result["evaluations"] == pytest.approx(plain["evaluations"], rel=1e-4)
    assert result["saved"] == [3]


def trained_with_scarce_backward(home: Path) -> Any:
    full: list[FullMemory] = []

    def patch(trainer: Trainer) -> None:
        whole = trainer.model.loss

        def loss(ids: torch.Tensor, targets: torch.Tensor) -> Any:
            result = whole(ids, targets)
            if not full:
                full.append(FullMemory(0))
            return result

        trainer.model.loss = loss  # type: ignore[method-assign]
        Scarce(0, lambda event: False, is_warning)(trainer)
        inner = trainer._sink

        def sink(event: Event) -> None:
            inner(event)
            if is_warning(event) and full:
                full[0].free()

        trainer._sink = sink

    return trained(home, {}, patch)


def test_a_failed_backward_pass_leaves_no_gradient(home: Path) -> None:
    result = run(trained_with_scarce_backward, home / "little", home / "little")
    plain = run(trained, home / "much", home / "much", {})
    assert result["failures"] == []
    assert result["at_once"] < 64
    assert result["losses"] == pytest.approx(plain["losses"], rel=1e-4)


# A vocabulary whose logits take most of the memory of an evaluation.
WORDY: dict[str, Any] = {
    "tokenizer": {"kind": "gpt2", "vocab_size": 20_000},
    "model__n_layer": 1,
    "model__n_embd": 8,
    "model__block_size": 32,
    "training__micro_batch": 32,
    "training__evaluate_every": 2,
    "training__evaluate_batches": 1,
}


def evaluated_in(room: int, home: Path) -> Any:
    def ends(event: Event) -> bool:
        left_out = isinstance(event, Warned) and "is skipped" in event.message
        return isinstance(event, Evaluated) or left_out

    return trained(home, WORDY, Scarce(room, at_step(2), ends))


def test_an_evaluation_that_does_not_fit_is_split(home: Path) -> None:
    result = run(evaluated_in, home / "little", 90 * 2**20, home / "little")
    plain = run(trained, home / "much", home / "much", WORDY)
    assert any("memory ran out while evaluating: now" in text for text in result["warnings"])
    assert result["evaluations"] == pytest.approx(plain["evaluations"], rel=1e-5)
    assert result["losses"] == plain["losses"]


def test_an_evaluation_without_memory_is_skipped_and_training_continues(home: Path) -> None:
    result = run(evaluated_in, home, 0, home)
    assert any("this evaluation is skipped" in text for text in result["warnings"])
    # The memory is available again at step 3.
    assert list(result["evaluations"]) == [0, 3]
    assert result["failures"] == []
    assert len(result["losses"]) == 3


def sampled_in_little(home: Path) -> Any:
    changes = {"training__sample_every": 2, "model__block_size": 512, "training__micro_batch": 4}
    return trained(home, changes, Scarce(0, at_step(2), is_warning))


def test_a_sample_that_does_not_fit_is_skipped_and_training_continues(home: Path) -> None:
    result = run(sampled_in_little, home, home)
    assert any("this sample is skipped" in text for text in result["warnings"])
    assert result["failures"] == []
    assert len(result["losses"]) == 3


def saved_in_little(home: Path) -> Any:
    changes = {"training__checkpoint_every": 1}
    return trained(home, changes, Scarce(0, lambda event: event == Saving(2), is_warning))


def test_a_checkpoint_that_does_not_fit_is_skipped_and_the_next_is_saved(home: Path) -> None:
    result = run(saved_in_little, home, home)
    assert any("the checkpoint at step 2 is skipped" in text for text in result["warnings"])
    assert result["failures"] == []
    assert result["saved"] == [1, 3]


def written_in_little(home: Path) -> Any:
    whole = checkpoint.write

    def write(*arguments: Any, **options: Any) -> Path:
        full = FullMemory(0)
        try:
            return whole(*arguments, **options)
        finally:
            full.free()

    checkpoint.write = write
    return trained(home, {"training__max_steps": 2})


def test_writing_without_memory_is_an_error_and_does_not_kill_the_process(home: Path) -> None:
    result = run(written_in_little, home, home)
    # Writing needs little memory, and may find that much among what was freed before.
    assert bool(result["failures"]) != (result["saved"] == [2])
    for failure in result["failures"]:
        # The training thread, which runs next to the writer, may be the first to find none.
        assert "memory ran out" in failure
        assert "resume the run" in failure


def updated_in_little(home: Path) -> Any:
    def patch(trainer: Trainer) -> None:
        whole = trainer.optimizer.update

        def update(learning_rate: float) -> None:
            full = FullMemory(0) if trainer.state.step == 3 else None
            try:
                whole(learning_rate)
            finally:
                # There is space again to save what must not be saved.
                if full is not None:
                    full.free()

        trainer.optimizer.update = update  # type: ignore[method-assign]

    # One layer: if bf16 is emulated, each product of this width takes a second.
    changes = {"optimizer": MUON, "training__checkpoint_every": 2, "model__n_embd": 256}
    changes |= {"model__n_layer": 1}
    changes |= {"training__micro_batch": 4, "training__max_steps": 5}
    result = trained(home, changes, patch)
    result["whole"] = trained(home / "whole", changes)["losses"]
    rest = train(large(**changes), home / "run", resume=True)
    result["rest"] = list(rest.losses.values())
    return result


def test_an_update_that_fails_midway_is_never_saved(home: Path) -> None:
    result = run(updated_in_little, home, home)
    (failure,) = result["failures"]
    assert failure.startswith("memory ran out: ")
    assert result["saved"] == [2]
    assert result["rest"] == result["whole"][2:]


def built_in_little(changes: dict[str, Any]) -> str:
    map_every_tensor()
    preset = large(**changes)
    corpus = prepare(preset)
    full = FullMemory(ROOM)
    try:
        Trainer(preset, corpus, Path("nowhere"), lambda event: None)
    except TrainingError as error:
        return str(error)
    finally:
        full.free()
    return ""


def started_in_little(changes: dict[str, Any]) -> Any:
    map_every_tensor()
    preset = large(**changes)
    prepare(preset)
    full = FullMemory(ROOM)
    session = Session.start(preset)
    assert session.wait(60)
    full.free()
    return session.status.state, session.status.error, [run.id for run in store.all_runs()]


def test_the_error_for_a_model_that_does_not_fit_says_what_to_do(home: Path) -> None:
    huge = {"model__n_layer": 8, "model__n_embd": 512}
    text = run(built_in_little, home, huge)
    assert text.startswith("there is not enough memory for this model: ")
    assert text.endswith("reduce model.n_embd or model.n_layer, or close other programs")
    state, error, runs = run(started_in_little, home, huge)
    assert (state, error) == ("failed", text)
    assert runs == []


def session_in_little() -> Any:
    map_every_tensor()
    scarce = Scarce(ROOM, lambda event: isinstance(event, Started), is_warning)
    session = Session.start(large(training__max_steps=4), sinks=(scarce.see,))
    assert session.wait(60)
    losses: list[float] = []
    more = Session.resume(
        session.run,
        more_steps=1,
        sinks=(lambda event: losses.append(event.loss) if isinstance(event, Stepped) else None,),
    )
    assert more.wait(60)
    newest, _ = checkpoint.newest(session.run.checkpoints)
    assert newest is not None
    events = (session.run.path / "events.jsonl").read_text()
    return session.status.state, more.status.state, newest.state, events


def test_a_run_completes_with_smaller_passes_and_resumes_with_them(home: Path) -> None:
    first, second, state, events = run(session_in_little, home)
    assert (first, second) == ("done", "done")
    assert state.step == 5
    assert state.micro_batch < 64
    assert events.count("memory ran out: now 2 passes of 32 sequences, same step") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_pass_that_does_not_fit_a_gpu_is_split(
    home: Path,
) -> None:  # pragma: no cover
    plain = train(large(training__device="cuda", training__precision="fp32"), home / "much")
    total = torch.cuda.get_device_properties(0).total_memory
    gc.collect()
    torch.cuda.empty_cache()
    # What remains: the weights of the run above, and cuBLAS workspaces.
    room = torch.cuda.memory_reserved() + 70e6
    try:
        torch.cuda.set_per_process_memory_fraction(room / total)
        result = train(large(training__device="cuda", training__precision="fp32"), home / "little")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.trainer.state.micro_batch < 64
    assert any("memory ran out" in text for text in result.warnings)
    assert list(result.losses.values()) == pytest.approx(list(plain.losses.values()), rel=1e-4)
