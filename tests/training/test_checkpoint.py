"""Checkpoints: whole or not there, verified when read, kept by a policy."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.preset import Preset
from slm_tui.corpus.tokenizers import byte_tokenizer
from slm_tui.errors import CheckpointError
from slm_tui.training import checkpoint
from slm_tui.training.checkpoint import Snapshot, TrainingState
from tests.conftest import make_tiny
from tests.training.harness import train

Make = Callable[..., Preset]
FILES = [
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "tokenizer.json",
    "manifest.json",
]


def snapshot(step: int, **changes: object) -> Snapshot:
    state = TrainingState(step=step, max_steps=100, n_vocab=256, preset=make_tiny().to_dict())
    for name, value in changes.items():
        setattr(state, name, value)
    weights = {"a": torch.full((3, 2), float(step))}
    moments = {"a.exp_avg": torch.zeros(3, 2), "step": torch.tensor(float(step))}
    return Snapshot(weights, moments, state, byte_tokenizer().to_json())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, snapshot(7, learning_rate_multiplier=0.5, best_loss=1.25))
    found = checkpoint.read(path)
    assert (path.name, found.state.step) == ("step-000007", 7)
    assert (found.state.learning_rate_multiplier, found.state.best_loss) == (0.5, 1.25)
    assert torch.equal(found.weights()["a"], torch.full((3, 2), 7.0))
    assert float(found.moments()["step"]) == 7
    assert found.tokenizer().fingerprint == byte_tokenizer().fingerprint
    assert found.preset == make_tiny()


def test_nothing_on_disk_is_a_pickle(tiny: Make, tmp_path: Path) -> None:
    train(tiny(training__max_steps=4), tmp_path)
    names = {path.name for path in (tmp_path / "step-000004").iterdir()}
    assert names == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_in_a_file_is_noticed(tmp_path: Path, name: str) -> None:
    path = checkpoint.write(tmp_path, snapshot(7)) / name
    whole = path.read_bytes()
    chance = random.Random(name)
    places = range(len(whole)) if len(whole) < 400 else chance.sample(range(len(whole)), 400)
    for place in places:
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << chance.randrange(8)
        path.write_bytes(spoiled)
        with pytest.raises(CheckpointError):
            checkpoint.read(path.parent)
    path.write_bytes(whole)
    checkpoint.read(path.parent)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "missing", "longer"])
def test_a_file_that_is_cut_missing_or_longer_is_noticed(
    tmp_path: Path, name: str, damage: str
) -> None:
    path = checkpoint.write(tmp_path, snapshot(7)) / name
    if damage == "missing":
        path.unlink()
    else:
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else raw + b"x")
    with pytest.raises(CheckpointError):
        checkpoint.read(path.parent)


def test_a_checkpoint_of_another_format_is_refused_by_name(tmp_path: Path) -> None:
    from slm_tui import manifest

    path = checkpoint.write(tmp_path, snapshot(7))
    values = manifest.unsealed((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(manifest.sealed({**values, "format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.read(path)


def test_the_newest_whole_one_is_found_and_the_damaged_named(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.write(tmp_path, snapshot(step))
    (tmp_path / "step-000003" / "state.json").write_text("{}")
    found, wrong = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.state.step == 2
    assert len(wrong) == 1
    assert "step-000003" in wrong[0]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])
    assert checkpoint.newest(tmp_path / "nowhere") == (None, [])


def test_a_whole_checkpoint_of_the_step_is_not_written_again(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, snapshot(7))
    before = (path / "model.safetensors").stat()
    checkpoint.write(tmp_path, snapshot(7, best_loss=1.0))
    assert (path / "model.safetensors").stat().st_ino == before.st_ino


def test_a_change_of_the_run_at_the_same_step_is_written(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(7), keep=True)
    path = checkpoint.write(tmp_path, snapshot(7, learning_rate_multiplier=0.5))
    assert checkpoint.read(path).state.learning_rate_multiplier == 0.5
    assert checkpoint.is_kept(path)
    checkpoint.write(tmp_path, snapshot(7, learning_rate_multiplier=0.5, max_steps=200))
    assert checkpoint.read(path).state.max_steps == 200
    assert [path.name for path in tmp_path.iterdir()] == ["step-000007"]


def test_a_half_written_checkpoint_is_never_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(tmp_path, snapshot(1))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for target in ("save_file", "_fsync", "os.replace"):
        with monkeypatch.context() as patched:
            owner = checkpoint.os if target == "os.replace" else checkpoint
            patched.setattr(owner, target.removeprefix("os."), full)
            with pytest.raises(OSError, match="No space left"):
                checkpoint.write(tmp_path, snapshot(2))
        assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_what_a_killed_save_left_is_swept_away(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(1))
    (tmp_path / ".writing-abc").mkdir()
    (tmp_path / "step-000002").mkdir()
    (tmp_path / "step-000002" / "model.safetensors").write_bytes(b"half")
    assert [path.name for path in checkpoint.all_in(tmp_path)] == ["step-000001"]
    checkpoint.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_links_are_moved_and_followed(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.write(tmp_path, snapshot(step))
        checkpoint.link(tmp_path, "last", checkpoint.name_of(step))
    assert checkpoint.linked(tmp_path, "last") == tmp_path / "step-000002"
    assert checkpoint.linked(tmp_path, "best") is None
    checkpoint.discard(tmp_path / "step-000002")
    assert checkpoint.linked(tmp_path, "last") is None


def test_where_there_are_no_links_a_file_holds_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refused)
    checkpoint.write(tmp_path, snapshot(1))
    checkpoint.link(tmp_path, "best", "step-000001")
    assert not (tmp_path / "best").is_symlink()
    assert checkpoint.linked(tmp_path, "best") == tmp_path / "step-000001"


def test_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    outside = checkpoint.write(tmp_path / "outside", snapshot(5))
    inside = tmp_path / "inside"
    checkpoint.write(inside, snapshot(1))
    (inside / "best").symlink_to(outside)
    assert checkpoint.linked(inside, "best") is None


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.integers(1, 60), unique=True, max_size=12).map(sorted),
    manual=st.sets(st.integers(1, 60), max_size=4),
    best=st.integers(1, 60),
    keep=st.integers(1, 5),
)
def test_the_newest_periodic_ones_best_last_and_manual_stay(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[int],
    manual: set[int],
    best: int,
    keep: int,
) -> None:
    directory = tmp_path_factory.mktemp("policy")
    for step in steps:
        path = directory / checkpoint.name_of(step)
        path.mkdir()
        (path / "manifest.json").touch()
        if step in manual:
            (path / "keep").touch()
    if steps:
        checkpoint.link(directory, "last", checkpoint.name_of(steps[-1]))
        if best in steps:
            checkpoint.link(directory, "best", checkpoint.name_of(best))
    checkpoint.clear_up(directory, keep)
    left = {checkpoint.step_of(path) for path in checkpoint.all_in(directory)}
    special = (manual & set(steps)) | set(steps[-1:]) | ({best} & set(steps))
    periodic = [step for step in steps if step not in special]
    assert left == special | set(periodic[-keep:])


def test_a_run_keeps_what_the_policy_says(tiny: Make, tmp_path: Path) -> None:
    from slm_tui.training.control import Control

    preset = tiny(
        training__checkpoint_every=1,
        training__evaluate_every=1000,
        training__keep_checkpoints=2,
        training__max_steps=9,
    )
    train(preset, tmp_path, wishes={3: Control.save})
    left = [checkpoint.step_of(path) for path in checkpoint.all_in(tmp_path)]
    assert 3 in left
    assert left[-3:] == [7, 8, 9]
    assert len(left) == 4
    assert checkpoint.linked(tmp_path, "last") == tmp_path / "step-000009"
    assert checkpoint.linked(tmp_path, "best") == tmp_path / "step-000009"


def test_best_is_the_checkpoint_of_the_lowest_validation_loss(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(
        optimizer__learning_rate=0.5, schedule={"kind": "constant"}, training__evaluate_every=1
    )
    done = train(preset, tmp_path)
    lowest = min((loss, step) for step, loss in done.evaluations.items() if step)[1]
    best = checkpoint.linked(tmp_path, "best")
    if done.evaluations[lowest] < done.evaluations[0]:
        assert best is not None
        assert checkpoint.step_of(best) == lowest
    else:
        assert best is None


def test_damaged_ones_are_set_aside_not_overwritten(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.write(tmp_path, snapshot(step))
    checkpoint.set_aside(tmp_path, 1)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["damaged-step-000002", "damaged-step-000003", "step-000001"]


def test_weights_of_another_shape_or_model_are_refused(tiny: Make, tmp_path: Path) -> None:
    from slm_tui.models.build import build

    small = build(make_tiny().model, 256, torch.device("cpu"), 1)
    wide = build(make_tiny(model__n_embd=32).model, 256, torch.device("cpu"), 1)
    deep = build(make_tiny(model__n_layer=2).model, 256, torch.device("cpu"), 1)
    weights = {name: value.detach() for name, value in small.named_parameters()}
    with pytest.raises(CheckpointError, match="another size"):
        checkpoint.load_weights(wide, weights)
    with pytest.raises(CheckpointError, match="another model"):
        checkpoint.load_weights(deep, weights)


def test_an_entry_of_a_newer_version_in_the_state_is_ignored(tmp_path: Path) -> None:
    from slm_tui import manifest

    path = checkpoint.write(tmp_path, snapshot(7))
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "mood": "good"}))
    values = manifest.unsealed((path / "manifest.json").read_text())
    values["sha256"]["state.json"] = manifest.digest(path / "state.json")
    (path / "manifest.json").write_text(manifest.sealed(values))
    assert checkpoint.read(path).state == snapshot(7).state
