"""The loop: what it does at every step, the requests it handles, and what it does on errors."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.generation.completions import complete
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import Loss
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import (
    Changed,
    Continued,
    Evaluated,
    Failed,
    Finished,
    Paused,
    Requested,
    Sampled,
    Saved,
    Started,
    Stepped,
)
from slm_tui.training.trainer import Trainer
from tests.training.harness import train

Make = Callable[..., Preset]


def test_the_same_seed_trains_the_same_model(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(model__dropout=0.3)
    one, two = train(preset, tmp_path / "one"), train(preset, tmp_path / "two")
    assert one.losses == two.losses
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


def test_another_seed_trains_another_model(tiny: Make, tmp_path: Path) -> None:
    one = train(tiny(), tmp_path / "one")
    two = train(tiny(training__seed=43), tmp_path / "two")
    assert one.losses != two.losses


def test_global_random_state_has_no_effect(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(model__dropout=0.3)
    torch.manual_seed(1)
    one = train(preset, tmp_path / "one")
    torch.manual_seed(2)
    assert train(preset, tmp_path / "two").losses == one.losses


def test_the_loss_falls(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(training__max_steps=60, training__evaluate_every=30), tmp_path)
    assert done.losses[60] < done.losses[1] - 1.5
    assert done.evaluations[60] < done.evaluations[0] - 1.5


def test_an_untrained_model_is_a_uniform_guess(tiny: Make, tmp_path: Path) -> None:
    import math

    done = train(tiny(training__max_steps=2), tmp_path)
    assert done.evaluations[0] == pytest.approx(math.log(256), abs=0.05)


def test_evaluations_come_at_the_start_every_interval_and_the_end(
    tiny: Make, tmp_path: Path
) -> None:
    done = train(tiny(), tmp_path)
    assert list(done.evaluations) == [0, 5, 10, 12]
    assert [event.step for event in done.of(Sampled)] == [6, 12]
    assert isinstance(done.events[0], Started)
    assert done.events[-1] == Finished(12, "done")


def test_the_periodic_checkpoint_comes_before_the_evaluation(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(training__max_steps=4, training__evaluate_every=4)
    done = train(preset, tmp_path, wishes={4: lambda control: None})
    saving = [type(event).__name__ for event in done.events]
    assert saving.index("Saving") < saving.index("Evaluated", saving.index("Stepped"))


def test_log_every_thins_the_log_and_keeps_the_last_step(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(training__log_every=5), tmp_path)
    assert list(done.losses) == [5, 10, 12]


def test_accumulation_equals_one_large_batch(tiny: Make, tmp_path: Path) -> None:
    whole = train(tiny(training__micro_batch=8), tmp_path / "whole")
    parts = train(tiny(training__micro_batch=2, training__accumulation=4), tmp_path / "parts")
    assert list(parts.losses.values()) == pytest.approx(list(whole.losses.values()), rel=1e-4)
    for name, weight in whole.weights.items():
        torch.testing.assert_close(parts.weights[name], weight, rtol=1e-3, atol=1e-4)


def test_a_validation_split_too_short_to_score_is_not_an_error(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(data__split={"validation": 0.0}), tmp_path)
    assert done.reason == "done"
    assert done.evaluations == {}


def test_early_stopping_never_exceeds_its_patience(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(
        optimizer__learning_rate=1.0,
        schedule={"kind": "constant"},
        training__max_steps=80,
        training__evaluate_every=2,
        training__early_stop_patience=6,
    )
    done = train(preset, tmp_path)
    assert done.reason == "early stop"
    assert done.trainer.state.best_step is not None
    assert max(done.losses) - done.trainer.state.best_step >= 6
    assert (tmp_path / "last").exists()


# Requests.


def test_a_pause_lasts_until_training_is_continued(tiny: Make, tmp_path: Path) -> None:
    def pause_for_a_moment(control: Control) -> None:
        control.pause()
        threading.Timer(0.05, control.resume).start()

    done = train(tiny(), tmp_path, wishes={3: pause_for_a_moment})
    kinds = [type(event) for event in done.events]
    assert done.of(Paused) == [Paused(3)]
    assert done.of(Continued) == [Continued(3)]
    between = kinds[kinds.index(Paused) : kinds.index(Continued)]
    assert Stepped not in between
    assert done.reason == "done"


def test_a_pause_can_be_ended_by_stop(tiny: Make, tmp_path: Path) -> None:
    def pause_and_stop(control: Control) -> None:
        control.pause()
        threading.Timer(0.05, control.stop).start()

    done = train(tiny(), tmp_path, wishes={3: pause_and_stop})
    assert done.reason == "stopped"
    assert max(done.losses) == 3


def test_requests_are_handled_during_a_pause(tiny: Make, tmp_path: Path) -> None:
    def pause_save_stop(control: Control) -> None:
        control.pause()
        control.save()
        threading.Timer(0.05, control.stop).start()

    done = train(tiny(), tmp_path, wishes={3: pause_save_stop})
    assert [event.kind for event in done.of(Saved)][:1] == ["manual"]
    assert checkpoint.is_kept(tmp_path / "step-000003")


@pytest.mark.parametrize("step", [1, 4, 7])
def test_stop_acts_at_the_next_boundary_and_saves(tiny: Make, tmp_path: Path, step: int) -> None:
    done = train(tiny(), tmp_path, wishes={step: Control.stop})
    assert done.events[-1] == Finished(step, "stopped")
    newest, wrong = checkpoint.newest(tmp_path)
    assert newest is not None
    assert (newest.state.step, wrong) == (step, [])


def test_save_evaluate_and_sample_act_at_the_requested_step(tiny: Make, tmp_path: Path) -> None:
    wishes = {1: Control.save, 2: Control.evaluate, 3: Control.sample}
    done = train(tiny(), tmp_path, wishes=wishes)
    requests = [(event.step, event.verb) for event in done.of(Requested)]
    assert requests == [(1, "save"), (2, "evaluate"), (3, "sample")]
    assert [event.step for event in done.of(Saved) if event.kind == "manual"] == [1]
    assert 2 in [event.step for event in done.of(Evaluated)]
    assert 3 in [event.step for event in done.of(Sampled)]


def test_the_rate_is_multiplied_from_the_next_step_on(tiny: Make, tmp_path: Path) -> None:
    def halve(control: Control) -> None:
        control.scale_learning_rate(0.5)

    done = train(tiny(schedule={"kind": "constant"}), tmp_path, wishes={3: halve, 5: halve})
    rates = {event.step: event.learning_rate for event in done.of(Stepped)}
    assert (rates[3], rates[4], rates[6]) == (0.01, 0.005, 0.0025)
    assert [event.value for event in done.of(Changed)] == [0.5, 0.25]


def test_extending_moves_the_end(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(), tmp_path, wishes={12: lambda control: control.extend(3)})
    assert done.of(Changed) == [Changed(12, "max_steps", 15.0)]
    assert max(done.losses) == 15


def test_samples_come_in_prompt_order_and_equal_separate_ones(tiny: Make, tmp_path: Path) -> None:
    prompts = ("Once upon", "The", "A much longer prompt than the others", "")
    preset = tiny(sampling__prompts=prompts, training__sample_every=10**6)
    done = train(preset, tmp_path)
    result = done.of(Sampled)
    assert [event.prompt for event in result] == list(prompts)
    model, tokenizer = done.trainer.model.eval(), done.trainer.corpus.tokenizer
    chosen = SamplingSettings.of(preset.sampling)
    begin = done.trainer.corpus.begins_documents
    for event in result:
        assert event.text == complete(model, tokenizer, event.prompt, chosen, begin=begin)


def test_stop_interrupts_sampling(tiny: Make, tmp_path: Path) -> None:
    tokens = 0

    def stop_at_the_third_token(trainer: Trainer) -> None:
        whole = trainer.model.step

        def step(ids: Tensor, state: Any, lengths: Any = None) -> Tensor:
            nonlocal tokens
            tokens += 1
            if tokens == 3:
                trainer.control.stop()
            return whole(ids, state, lengths)

        trainer.model.step = step  # type: ignore[method-assign]

    preset = tiny(sampling__max_tokens=1000, training__sample_every=1)
    done = train(preset, tmp_path, patch=stop_at_the_third_token)
    assert (done.reason, tokens) == ("stopped", 3)
    # An interrupted text is not presented as a sample.
    assert done.of(Sampled) == []
    assert done.trainer.state.sampled_step == -1


# Errors.


class Poison:
    """Makes the loss NaN during the given updates, counted from 0."""

    def __init__(self, calls: set[int]) -> None:
        self.calls = calls
        self.count = 0

    def __call__(self, trainer: Trainer) -> None:
        whole = trainer.model.loss

        def loss(ids: Tensor, targets: Tensor) -> Loss:
            result = whole(ids, targets)
            bad = self.count in self.calls
            self.count += 1
            if not bad:
                return result
            return Loss(result.total * float("nan"), result.cross_entropy * float("nan"))

        trainer.model.loss = loss  # type: ignore[method-assign]


def test_a_step_that_is_not_finite_is_skipped_and_counted(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(), tmp_path, patch=Poison({2, 6}))
    assert done.reason == "done"
    assert sorted(set(range(1, 13)) - set(done.losses)) == [3, 7]
    assert done.trainer.state.skipped_steps == 2
    assert [text for text in done.warnings if "not finite" in text]
    assert all(bool(torch.isfinite(weight).all()) for weight in done.weights.values())


def test_a_skipped_step_changes_no_weight(tiny: Make, tmp_path: Path) -> None:
    everything = Poison(set(range(4)))
    done = train(tiny(training__max_steps=4), tmp_path / "nan", patch=everything)
    preset = tiny(training__max_steps=4)
    fresh = Trainer(preset, prepare(preset), tmp_path / "fresh", lambda event: None)
    for name, weight in fresh.optimizer.weights_by_name().items():
        assert torch.equal(done.weights[name], weight)


def test_five_skipped_steps_in_a_row_go_back_once_with_half_the_rate(
    tiny: Make, tmp_path: Path
) -> None:
    # Updates 5 to 9 fail. Step 8 gets no checkpoint: its weights are those that failed.
    done = train(tiny(), tmp_path, patch=Poison(set(range(5, 10))))
    assert done.reason == "done"
    back = [text for text in done.warnings if text.startswith("back to step")]
    assert back == ["back to step 5 with half the learning rate"]
    assert done.of(Changed) == [Changed(5, "learning_rate", 0.5)]
    assert done.trainer.state.learning_rate_multiplier == 0.5
    assert max(done.losses) == 12


def test_text_after_the_restored_step_is_seen_again(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(
        training__checkpoint_every=5,
        training__evaluate_every=4,
        training__early_stop_min_delta=100.0,
    )
    done = train(preset, tmp_path, patch=Poison(set(range(5, 10))))
    # The evaluation of step 8 was among the skipped steps, and not a best worth a checkpoint.
    assert [text for text in done.warnings if text.startswith("back to step 5")]
    assert [event.step for event in done.of(Evaluated)].count(8) == 2


def test_a_run_that_stays_non_finite_stops_with_the_evidence(tiny: Make, tmp_path: Path) -> None:
    done = train(tiny(training__max_steps=60), tmp_path, patch=Poison(set(range(5, 200))))
    assert done.reason is None
    (failed,) = done.of(Failed)
    assert "not finite (loss nan" in failed.error
    assert "learning rate was 0.01, then half of it" in failed.error
    assert "optimizer.learning_rate" in failed.error
    assert checkpoint.newest(tmp_path)[0] is not None


def test_without_a_checkpoint_to_go_back_to_training_stops(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(training__checkpoint_every=1000, training__evaluate_every=1000)
    done = train(preset, tmp_path, patch=Poison(set(range(50))))
    assert done.reason is None
    assert max([0, *done.losses]) == 0


class Crowded:
    """Raises an out-of-memory error for more than `most` sequences at a time."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most = most
        self.error = error
        self.calls: list[int] = []

    def __call__(self, trainer: Trainer) -> None:
        whole = trainer.model.loss

        def loss(ids: Tensor, targets: Tensor) -> Loss:
            self.calls.append(len(ids))
            if len(ids) > self.most:
                raise self.error
            return whole(ids, targets)

        trainer.model.loss = loss  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_micro_batch_and_replays_the_step(
    tiny: Make, tmp_path: Path, error: Exception
) -> None:
    preset = tiny(training__micro_batch=8)
    plain = train(preset, tmp_path / "plain")
    full = train(preset, tmp_path / "full", patch=Crowded(3, error))
    assert full.reason == "done"
    assert full.trainer.state.micro_batch == 2
    assert list(full.losses.values()) == pytest.approx(list(plain.losses.values()), rel=1e-4)
    assert len([text for text in full.warnings if "memory ran out" in text]) == 2
    newest, _ = checkpoint.newest(tmp_path / "full")
    assert newest is not None
    assert newest.state.micro_batch == 2


def test_an_odd_micro_batch_is_halved_without_losing_a_sequence(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(training__micro_batch=7)
    plain = train(preset, tmp_path / "plain")
    full = train(preset, tmp_path / "full", patch=Crowded(5, MemoryError()))
    assert list(full.losses.values()) == pytest.approx(list(plain.losses.values()), rel=1e-4)


def test_the_error_for_no_memory_with_one_sequence_says_what_to_do(
    tiny: Make, tmp_path: Path
) -> None:
    done = train(tiny(), tmp_path, patch=Crowded(0, MemoryError()))
    (failed,) = done.of(Failed)
    assert "memory ran out with one sequence" in failed.error
    assert "model.block_size" in failed.error


def test_another_runtime_error_is_not_mistaken_for_out_of_memory(
    tiny: Make, tmp_path: Path
) -> None:
    done = train(tiny(), tmp_path, patch=Crowded(0, RuntimeError("size mismatch")))
    (failed,) = done.of(Failed)
    assert failed.error == "RuntimeError: size mismatch"


def test_progress_is_saved_before_an_error_is_reported(tiny: Make, tmp_path: Path) -> None:
    def break_after_six(trainer: Trainer) -> None:
        whole = trainer._stepper.launch

        def step(batch: Any, rate: float, number: int, *more: Any) -> Any:
            if number == 6:
                raise ZeroDivisionError("a bug")
            return whole(batch, rate, number, *more)

        trainer._stepper.launch = step  # type: ignore[method-assign]

    done = train(tiny(), tmp_path, patch=break_after_six)
    assert done.of(Failed) == [Failed(6, "ZeroDivisionError: a bug")]
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest.state.step == 6
