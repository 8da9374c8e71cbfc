"""A resumed run equals the uninterrupted run: the same losses bit for bit, the same weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batches
from slm_tui.corpus.prepare import prepare
from slm_tui.errors import TrainingError
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Evaluated, Sampled
from slm_tui.training.trainer import Trainer
from tests import extent
from tests.training.harness import Training, train

Make = Callable[..., Preset]
# 3 documents have about 60 windows: 12 steps of 8 sequences see them more than once.
ACROSS_AN_EPOCH = {
    "data__documents": 3,
    "model__dropout": 0.2,
    "training__accumulation": 2,
    "training__max_steps": 16,
}


def assert_same(ended: Training, whole: Training, parts: list[Training]) -> None:
    losses: dict[int, float] = {}
    for part in [*parts, ended]:
        losses |= part.losses
    assert losses == whole.losses
    assert ended.weights.keys() == whole.weights.keys()
    for name, weight in whole.weights.items():
        assert torch.equal(ended.weights[name], weight), name
    for name, moment in whole.trainer.optimizer.state().items():
        assert torch.equal(ended.trainer.optimizer.state()[name], moment), name


def lose_checkpoints_after(step: int, directory: Path) -> None:
    for path in checkpoint.all_in(directory):
        if checkpoint.step_of(path) > step:
            checkpoint.discard(path)


@extent.sample(4)
@pytest.mark.parametrize("stop_after", [1, 4, 5, 6, 9, 10, 15])
def test_a_run_stopped_anywhere_resumes_exactly(
    tiny: Make, tmp_path: Path, stop_after: int
) -> None:
    preset = tiny(**ACROSS_AN_EPOCH)
    whole = train(preset, tmp_path / "whole")
    first = train(preset, tmp_path / "parts", wishes={stop_after: Control.stop})
    assert first.reason == "stopped"
    assert max(first.losses) == stop_after
    second = train(preset, tmp_path / "parts", resume=True)
    assert second.reason == "done"
    assert min(second.losses) == stop_after + 1
    assert_same(second, whole, [first])


MODELS: list[dict[str, object]] = [
    {"kind": "gpt", "n_layer": 1, "n_embd": 16, "block_size": 16, "ngram_order": 3},
    {"kind": "gpt", "n_layer": 2, "n_embd": 16, "block_size": 16, "value_embeddings": True},
    {"kind": "hgrn", "n_layer": 2, "n_embd": 16, "block_size": 16, "conv_size": 4},
    {"kind": "hnet", "d_model": [16, 24], "num_blocks": [[1, 0, 1], [1]], "block_size": 16},
]


@extent.sample(5)
@pytest.mark.parametrize("model", MODELS, ids=lambda one: one["kind"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_family_resumes_exactly(
    tiny: Make, tmp_path: Path, model: dict[str, object], optimizer: str
) -> None:
    preset = tiny(model=model, optimizer__kind=optimizer, training__accumulation=2)
    whole = train(preset, tmp_path / "whole")
    first = train(preset, tmp_path / "parts", wishes={5: Control.stop})
    assert first.reason == "stopped"
    second = train(preset, tmp_path / "parts", resume=True)
    assert second.reason == "done"
    assert_same(second, whole, [first])


def test_a_run_resumes_exactly_where_its_windows_become_whole(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**ACROSS_AN_EPOCH, schedule__length_warmup_fraction=0.5)
    whole = train(preset, tmp_path / "whole")
    for stop_after in (7, 8, 9):
        first = train(preset, tmp_path / str(stop_after), wishes={stop_after: Control.stop})
        second = train(preset, tmp_path / str(stop_after), resume=True)
        assert_same(second, whole, [first])


def test_the_exact_resume_test_crosses_an_epoch(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**ACROSS_AN_EPOCH)
    corpus = prepare(preset)
    batches = Batches(corpus.train, 16, 8, preset.training.seed)
    assert preset.training.max_steps * 8 > batches.windows


def test_a_run_resumes_from_a_periodic_checkpoint_after_a_crash(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**ACROSS_AN_EPOCH)
    whole = train(preset, tmp_path / "whole")
    train(preset, tmp_path / "parts", wishes={11: Control.stop})
    lose_checkpoints_after(8, tmp_path / "parts")
    second = train(preset, tmp_path / "parts", resume=True)
    assert min(second.losses) == 9
    assert {step: whole.losses[step] for step in second.losses} == second.losses
    assert all(torch.equal(second.weights[name], whole.weights[name]) for name in whole.weights)


def test_a_run_resumes_from_a_manual_checkpoint(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**ACROSS_AN_EPOCH, training__checkpoint_every=1000)
    whole = train(preset, tmp_path / "whole")
    train(preset, tmp_path / "parts", wishes={7: Control.save, 9: Control.stop})
    lose_checkpoints_after(7, tmp_path / "parts")
    second = train(preset, tmp_path / "parts", resume=True)
    assert min(second.losses) == 8
    assert {step: whole.losses[step] for step in second.losses} == second.losses


def test_evaluating_and_sampling_do_not_change_losses(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**ACROSS_AN_EPOCH)
    plain = train(preset, tmp_path / "plain")
    watched = train(
        preset,
        tmp_path / "watched",
        wishes={3: Control.evaluate, 4: Control.sample, 7: Control.save},
    )
    assert watched.losses == plain.losses


def test_three_interruptions_change_nothing(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(**ACROSS_AN_EPOCH)
    whole = train(preset, tmp_path / "whole")
    parts = [train(preset, tmp_path / "parts", wishes={3: Control.stop})]
    for step in (8, 12):
        wishes = {step: Control.stop}
        parts.append(train(preset, tmp_path / "parts", resume=True, wishes=wishes))
    ended = train(preset, tmp_path / "parts", resume=True)
    assert_same(ended, whole, parts)


def test_evaluations_and_samples_equal_those_of_an_uninterrupted_run(
    tiny: Make, tmp_path: Path
) -> None:
    preset = tiny(**ACROSS_AN_EPOCH)
    whole = train(preset, tmp_path / "whole")
    first = train(preset, tmp_path / "parts", wishes={5: Control.stop})
    second = train(preset, tmp_path / "parts", resume=True)
    assert {**first.evaluations, **second.evaluations} == whole.evaluations
    texts = {event.step: event.text for event in [*first.of(Sampled), *second.of(Sampled)]}
    assert texts == {event.step: event.text for event in whole.of(Sampled)}


def test_a_resume_at_an_evaluation_step_evaluates_once(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(training__evaluate_every=4, training__checkpoint_every=4)
    train(preset, tmp_path / "run", wishes={4: Control.stop})
    # As if killed between the checkpoint and its evaluation.
    newest, _ = checkpoint.newest(tmp_path / "run")
    assert newest is not None
    assert newest.state.evaluated_step < newest.state.step
    second = train(preset, tmp_path / "run", resume=True)
    assert [event.step for event in second.of(Evaluated)] == [4, 8, 12]


def test_the_learning_rate_multiplier_survives_a_resume(tiny: Make, tmp_path: Path) -> None:
    def halve(control: Control) -> None:
        control.scale_learning_rate(0.5)

    def halve_and_stop(control: Control) -> None:
        control.scale_learning_rate(0.5)
        control.stop()

    preset = tiny(**ACROSS_AN_EPOCH)
    whole = train(preset, tmp_path / "whole", wishes={8: halve})
    # Step 8 already has a periodic checkpoint when the rate changes.
    first = train(preset, tmp_path / "parts", wishes={8: halve_and_stop})
    second = train(preset, tmp_path / "parts", resume=True)
    assert second.trainer.state.learning_rate_multiplier == 0.5
    assert_same(second, whole, [first])


def test_an_extension_survives_a_resume(tiny: Make, tmp_path: Path) -> None:
    def extend_and_stop(control: Control) -> None:
        control.extend(3)
        control.stop()

    preset = tiny()
    train(preset, tmp_path, wishes={8: extend_and_stop})
    second = train(preset, tmp_path, resume=True)
    assert second.trainer.state.step == 15


def test_a_finished_run_can_be_extended(tiny: Make, tmp_path: Path) -> None:
    preset = tiny()
    train(preset, tmp_path)
    more = train(preset, tmp_path, resume=True, more_steps=5)
    assert more.reason == "done"
    assert sorted(more.losses) == [13, 14, 15, 16, 17]


def test_patience_keeps_counting_after_a_resume(tiny: Make, tmp_path: Path) -> None:
    # A rate of 1 makes the validation loss rise at once.
    preset = tiny(
        optimizer__learning_rate=1.0,
        schedule={"kind": "constant"},
        training__max_steps=60,
        training__evaluate_every=2,
        training__early_stop_patience=8,
    )
    whole = train(preset, tmp_path / "whole")
    assert whole.reason == "early stop"
    ended = max(whole.losses)
    first = train(preset, tmp_path / "parts", wishes={ended - 3: Control.stop})
    second = train(preset, tmp_path / "parts", resume=True)
    assert second.reason == "early stop"
    assert max(second.losses) == ended
    assert_same(second, whole, [first])


def test_elapsed_time_and_tokens_continue_after_a_resume(tiny: Make, tmp_path: Path) -> None:
    preset = tiny()
    first = train(preset, tmp_path, wishes={6: Control.stop})
    second = train(preset, tmp_path, resume=True)
    assert second.trainer.state.tokens_seen == 12 * preset.tokens_per_step
    assert second.trainer.state.elapsed_seconds > first.trainer.state.elapsed_seconds


def test_another_text_is_rejected(tiny: Make, tmp_path: Path) -> None:
    train(tiny(), tmp_path, wishes={6: Control.stop})
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    other = prepare(tiny(data__seed=1))
    with pytest.raises(TrainingError, match="not the one this run was trained on"):
        Trainer(newest.preset, other, tmp_path, lambda event: None, resume=newest)


def test_another_vocabulary_is_rejected(tiny: Make, tmp_path: Path) -> None:
    train(tiny(training__max_steps=2), tmp_path)
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    preset = tiny(tokenizer={"kind": "bpe", "vocab_size": 300})
    with pytest.raises(TrainingError, match="another vocabulary"):
        Trainer(preset, prepare(preset), tmp_path, lambda event: None, initial=newest)


def test_a_fork_starts_from_only_the_weights(tiny: Make, tmp_path: Path) -> None:
    trained = train(tiny(), tmp_path / "first")
    newest, _ = checkpoint.newest(tmp_path / "first")
    assert newest is not None
    preset = tiny(training__seed=1)
    fork = Trainer(
        preset, prepare(preset), tmp_path / "fork", lambda event: None, Control(), initial=newest
    )
    assert fork.state.step == 0
    for name, weight in fork.optimizer.weights_by_name().items():
        assert torch.equal(weight, trained.weights[name])
    assert float(fork.optimizer.state()["step"]) == 0


def test_threads_and_micro_batch_of_the_checkpoint_are_reused(tiny: Make, tmp_path: Path) -> None:
    train(tiny(), tmp_path, wishes={4: Control.stop})
    newest, _ = checkpoint.newest(tmp_path)
    assert newest is not None
    shrunk = replace(newest, state=replace(newest.state, micro_batch=2))
    trainer = Trainer(
        newest.preset, prepare(newest.preset), tmp_path, lambda event: None, resume=shrunk
    )
    assert trainer._stepper.at_once == 2
    assert torch.get_num_threads() == 1
