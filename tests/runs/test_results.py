"""`results.json`: every field as the tables of experiments define it, in files of any version."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import fixed_windows
from slm_tui.corpus.prepare import prepare
from slm_tui.evaluation.loss import split_loss
from slm_tui.live.session import Session
from slm_tui.models.build import build
from slm_tui.runs import results
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from slm_tui.training.checkpoint import load_weights
from slm_tui.training.events import Event, Stepped, TrainingEvaluated
from tests import released
from tests.training.harness import train

Make = Callable[..., Preset]


def trained(preset: Preset) -> Run:
    session = Session.start(preset, "it")
    assert session.wait(60)
    assert not session.status.error
    return session.run


def test_train_losses_are_means_since_the_evaluation_before(tiny: Make, home: Path) -> None:
    run = trained(tiny(training__evaluate_every=5))
    curves = Curves(run)
    curves.read()
    logged = dict(zip(curves.steps.step, curves.steps.loss, strict=True))
    values = json.loads((run.path / "results.json").read_text())
    outcome = values["training_results"]
    assert values["format"] == results.FORMAT.version == 2
    assert outcome["evaluated_steps"] == [0, 5, 10, 12]
    initial, *means = outcome["train_losses"]
    spans = (range(1, 6), range(6, 11), range(11, 13))
    expected = [sum(logged[step] for step in span) / len(span) for span in spans]
    assert means == pytest.approx(expected)
    assert initial == outcome["initial_train_loss"]
    assert outcome["last_step_train_loss"] == logged[12]
    assert "mean_train_losses" not in outcome


def test_the_final_train_loss_is_evaluated_on_the_training_text(tiny: Make, home: Path) -> None:
    preset = tiny(training__evaluate_batches=3, model__dropout=0.2)
    run = trained(preset)
    newest, _ = checkpoint.newest(run.checkpoints)
    assert newest is not None
    corpus = prepare(preset)
    model = build(preset.model, corpus.tokenizer.n_vocab, torch.device("cpu"), None)
    load_weights(model, newest.weights())
    most = preset.training.evaluate_batches * preset.training.micro_batch
    windows = fixed_windows(corpus.train, preset.model.block_size, most)
    lengths = torch.from_numpy(corpus.tokenizer.byte_lengths().astype("int64"))
    score = split_loss(model, windows, lengths, preset.training.micro_batch)
    assert score is not None
    outcome = results.read(run.path)["training_results"]
    assert outcome["final_train_loss"] == pytest.approx(score.nats_per_token, rel=1e-5)
    assert outcome["final_train_loss"] < outcome["initial_train_loss"]
    assert outcome["final_val_loss"] == run.info().val_loss
    assert run.info().last_train_loss == outcome["final_train_loss"]


def test_it_is_measured_before_the_first_step_and_after_the_last(
    tiny: Make, tmp_path: Path
) -> None:
    done = train(tiny(), tmp_path)
    assert [one.step for one in done.of(TrainingEvaluated)] == [0, 12]
    more = train(tiny(), tmp_path, resume=True, more_steps=3)
    assert [one.step for one in more.of(TrainingEvaluated)] == [15]


def test_a_run_that_was_stopped_has_no_final_train_loss(tiny: Make, home: Path) -> None:
    session: list[Session] = []

    def stop(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 6:
            session[0].stop()

    session.append(Session.start(tiny(), "it", sinks=(stop,)))
    assert session[0].wait(60)
    run = session[0].run
    outcome = results.read(run.path)["training_results"]
    assert outcome["initial_train_loss"] is not None
    assert outcome["final_train_loss"] is None
    assert run.info().last_train_loss == outcome["last_step_train_loss"]
    more = Session.resume(run)
    assert more.wait(60)
    assert results.read(run.path)["training_results"]["final_train_loss"] is not None


def test_the_evaluations_of_the_training_text_are_events(tiny: Make, home: Path) -> None:
    run = trained(tiny())
    with (run.path / "events.jsonl").open() as file:
        logged = [json.loads(line) for line in file]
    measured = [one for one in logged if one["event"] == "training_evaluated"]
    info = run.info()
    assert [one["step"] for one in measured] == [0, 12]
    assert [one["loss"] for one in measured] == [info.initial_train_loss, info.final_train_loss]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({}, 1.0),
        ({"fraction": 0.25}, 0.25),
        ({"characters": 3000}, "characters 3000"),
    ],
)
def test_the_part_of_the_text_is_a_fraction_if_it_is_one(
    tiny: Make, limit: dict[str, Any], expected: object
) -> None:
    preset = tiny(data={"kind": "file", "path": "text.txt", "limit": limit})
    assert results.settings_of(preset)["dataset_subset"] == expected


def test_all_fields_of_an_experiment_are_there(tiny: Make, home: Path) -> None:
    values = results.read(trained(tiny()).path)
    assert {"experiment_name", "description", "config", "generated_samples"} <= set(values)
    assert set(values["config"]) >= {
        "vocab_size",
        "n_embd",
        "n_layer",
        "n_head",
        "block_size",
        "batch_size",
        "learning_rate",
        "max_iters",
        "dropout",
        "dataset_subset",
    }
    assert {"total_parameters", "training_time_seconds"} <= set(values["model_info"])
    outcome = values["training_results"]
    names = ("final_train_loss", "final_val_loss", "best_val_loss", "train_losses", "val_losses")
    assert all(outcome[name] is not None for name in names)
    assert len(outcome["train_losses"]) == len(outcome["val_losses"])
    assert len(values["generated_samples"]) == len(tiny().sampling.prompts)


# Files of earlier versions.


def test_results_with_means_besides_are_read(tmp_path: Path) -> None:
    outcome = {
        "final_train_loss": 2.0,
        "train_losses": [None, 2.5, 2.0],
        "mean_train_losses": [None, 3.0, 2.2],
    }
    (tmp_path / "results.json").write_text(json.dumps({"training_results": outcome, "x": 1}))
    assert results.read(tmp_path) == {
        "x": 1,
        "training_results": {
            "train_losses": [None, 3.0, 2.2],
            "initial_train_loss": None,
            "final_train_loss": None,
            "last_step_train_loss": 2.0,
        },
    }


def test_released_results_are_read(tmp_path: Path) -> None:
    paths = sorted(Path(released.__file__).parent.glob("*/runs/*/results.json"))
    assert paths
    for path in paths:
        shutil.copy(path, tmp_path / "results.json")
        outcome = results.read(tmp_path)["training_results"]
        assert outcome["last_step_train_loss"] > 0
        assert len(outcome["train_losses"]) == len(outcome["val_losses"])


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 99}', '{"format": "x"}'])
def test_damaged_and_newer_results_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match="."):
        results.read(tmp_path)
