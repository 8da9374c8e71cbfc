"""Checkpoints: complete or absent, verified when read, kept according to a policy."""

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui import manifest
from slm_tui.config.preset import Preset
from slm_tui.corpus.tokenizers import byte_tokenizer
from slm_tui.errors import CheckpointError
from slm_tui.training import checkpoint, checkpoint_dir
from slm_tui.training.checkpoint import CheckpointSnapshot, TrainingState
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


def snapshot(step: int, **changes: object) -> CheckpointSnapshot:
    state = TrainingState(step=step, max_steps=100, n_vocab=256, preset=make_tiny().to_dict())
    for name, value in changes.items():
        setattr(state, name, value)
    weights = {"a": torch.full((3, 2), float(step))}
    moments = {"a.exp_avg": torch.zeros(3, 2), "step": torch.tensor(float(step))}
    return CheckpointSnapshot(weights, moments, state, byte_tokenizer().to_json())


def test_a_checkpoint_round_trips(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, snapshot(7, learning_rate_multiplier=0.5, best_loss=1.25))
    loaded = checkpoint.read(path)
    assert (path.name, loaded.state.step) == ("step-000007", 7)
    assert (loaded.state.learning_rate_multiplier, loaded.state.best_loss) == (0.5, 1.25)
    assert torch.equal(loaded.weights()["a"], torch.full((3, 2), 7.0))
    assert float(loaded.moments()["step"]) == 7
    assert loaded.tokenizer().fingerprint == byte_tokenizer().fingerprint
    assert loaded.preset == make_tiny()


def test_nothing_on_disk_is_a_pickle(tiny: Make, tmp_path: Path) -> None:
    train(tiny(training__max_steps=4), tmp_path)
    names = {path.name for path in (tmp_path / "step-000004").iterdir()}
    assert names == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_in_a_file_is_detected(tmp_path: Path, name: str) -> None:
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
def test_a_truncated_missing_or_longer_file_is_detected(
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


def test_a_checkpoint_of_another_format_is_rejected_by_name(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, snapshot(7))
    values = manifest.unsealed((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(manifest.sealed({**values, "format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.read(path)


def test_the_newest_valid_checkpoint_is_found_and_damaged_ones_reported(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.write(tmp_path, snapshot(step))
    (tmp_path / "step-000003" / "state.json").write_text("{}")
    newest, wrong = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest.state.step == 2
    assert len(wrong) == 1
    assert "step-000003" in wrong[0]


def test_no_checkpoint_is_not_an_error(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])
    assert checkpoint.newest(tmp_path / "nowhere") == (None, [])


def test_an_existing_checkpoint_of_the_step_is_not_written_again(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, snapshot(7))
    before = (path / "model.safetensors").stat()
    checkpoint.write(tmp_path, snapshot(7, best_loss=1.0))
    assert (path / "model.safetensors").stat().st_ino == before.st_ino


def test_a_changed_run_is_saved_again_at_the_same_step(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(7), keep=True)
    path = checkpoint.write(tmp_path, snapshot(7, learning_rate_multiplier=0.5))
    assert checkpoint.read(path).state.learning_rate_multiplier == 0.5
    assert checkpoint.is_kept(path)
    checkpoint.write(tmp_path, snapshot(7, learning_rate_multiplier=0.5, max_steps=200))
    assert checkpoint.read(path).state.max_steps == 200
    assert [path.name for path in tmp_path.iterdir()] == ["step-000007"]


def test_a_partially_written_checkpoint_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(tmp_path, snapshot(1))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for owner, target in ((checkpoint, "write_tensors"), (os, "fsync"), (os, "rename")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, target, full)
            with pytest.raises(OSError, match="No space left"):
                checkpoint.write(tmp_path, snapshot(2))
        assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_remains_of_a_killed_save_are_removed(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(1))
    for name in (".writing-ab12_xyz", ".writing-0a1b2c3d", ".discarding-step-000004"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".best.0123abcd").symlink_to("step-000001")
    (tmp_path / ".last-4711").write_text("step-000001")
    assert [path.name for path in checkpoint.all_in(tmp_path)] == ["step-000001"]
    checkpoint.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_only_temporary_names_are_removed(tmp_path: Path) -> None:
    """What a user put there stays: copies, notes, and checkpoints without a manifest."""
    checkpoint.write(tmp_path, snapshot(1))
    names = {"step-000020-backup", "step-000002", ".writing-notes", ".writing-old-x", "my.best.old"}
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"mine")
    checkpoint.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, "step-000001"}


def test_a_checkpoint_without_a_manifest_is_reported_and_set_aside(
    tmp_path: Path,
) -> None:
    (tmp_path / "step-000007").mkdir()
    (tmp_path / "step-000007" / "model.safetensors").write_bytes(b"mine")
    assert checkpoint_dir.invalid_in(tmp_path) == ["checkpoint step-000007 has no manifest.json"]
    checkpoint.write(tmp_path, snapshot(7))
    assert checkpoint.read(tmp_path / "step-000007").state.step == 7
    assert (tmp_path / "damaged-step-000007" / "model.safetensors").read_bytes() == b"mine"
    assert checkpoint_dir.invalid_in(tmp_path) == []


def test_a_misnamed_checkpoint_is_rejected_and_never_removed(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        checkpoint.write(tmp_path, snapshot(step))
    shutil.copytree(tmp_path / "step-000010", tmp_path / "step-000099")
    with pytest.raises(CheckpointError, match="is the checkpoint of step 10 under another name"):
        checkpoint.read(tmp_path / "step-000099")
    newest, wrong = checkpoint.newest(tmp_path)
    assert newest is not None
    assert newest.state.step == 30
    assert "step-000099" in wrong[0]
    checkpoint_dir.clear_up(tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"step-000030", "step-000099"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"model.safetensors": "0" * 64},
        {**dict.fromkeys(checkpoint_dir.PAYLOAD, "0" * 64), "extra.bin": "0" * 64},
        {**dict.fromkeys(checkpoint_dir.PAYLOAD, "0" * 64), "../../run.json": "0" * 64},
        dict.fromkeys(checkpoint_dir.PAYLOAD, "no checksum"),
        dict.fromkeys(checkpoint_dir.PAYLOAD, 7),
        [],
    ],
)
def test_a_manifest_must_list_exactly_the_files_of_a_checkpoint(
    tmp_path: Path, change: Any
) -> None:
    path = checkpoint.write(tmp_path, snapshot(7))
    values = manifest.unsealed((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(manifest.sealed({**values, "sha256": change}))
    with pytest.raises(CheckpointError):
        checkpoint.read(path)


def test_state_and_manifest_must_agree_on_the_step(tmp_path: Path) -> None:
    path = checkpoint.write(tmp_path, snapshot(7))
    change_state(path, step=8)
    with pytest.raises(CheckpointError, match=r"state.json is of step 8, the manifest of 7"):
        checkpoint.read(path)


def change_state(path: Path, **changes: object) -> None:
    """Change entries of a checkpoint's state, with a matching checksum."""
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, **changes}))
    values = manifest.unsealed((path / "manifest.json").read_text())
    values["sha256"]["state.json"] = manifest.digest(path / "state.json")
    (path / "manifest.json").write_text(manifest.sealed(values))


@pytest.mark.parametrize(
    "change",
    [
        {"step": -7},
        {"step": "7"},
        {"step": True},
        {"max_steps": 1e400},
        {"elapsed_seconds": "soon"},
        {"tokens_seen": 2**70},
        {"guard": []},
        {"guard": {"seen": float("inf")}},
        {"corpus": "../../../etc"},
        {"n_vocab": 10**12},
        {"preset": []},
        {"loss_scale": 0},
    ],
)
def test_a_state_entry_of_the_wrong_type_is_rejected_by_name(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = checkpoint.write(tmp_path, snapshot(7))
    change_state(path, **change)
    with pytest.raises(CheckpointError, match=next(iter(change))):
        checkpoint.read(path)


def test_links_are_moved_and_followed(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.write(tmp_path, snapshot(step))
        checkpoint.link(tmp_path, "last", checkpoint.name_of(step))
    assert checkpoint.linked(tmp_path, "last") == tmp_path / "step-000002"
    assert checkpoint.linked(tmp_path, "best") is None
    checkpoint.discard(tmp_path / "step-000002")
    assert checkpoint.linked(tmp_path, "last") is None


def test_without_links_a_file_holds_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refused)
    checkpoint.write(tmp_path, snapshot(1))
    checkpoint.link(tmp_path, "best", "step-000001")
    assert not (tmp_path / "best").is_symlink()
    assert checkpoint.linked(tmp_path, "best") == tmp_path / "step-000001"


def test_a_link_cannot_lead_elsewhere(tmp_path: Path) -> None:
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
def test_the_newest_best_last_and_manual_checkpoints_are_kept(
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
        sums = dict.fromkeys(checkpoint_dir.PAYLOAD, "0" * 64)
        text = manifest.sealed({"format": checkpoint_dir.FORMAT, "step": step, "sha256": sums})
        (path / "manifest.json").write_text(text)
        if step in manual:
            (path / "keep").touch()
    if steps:
        checkpoint.link(directory, "last", checkpoint.name_of(steps[-1]))
        if best in steps:
            checkpoint.link(directory, "best", checkpoint.name_of(best))
    checkpoint_dir.clear_up(directory, keep)
    left = {checkpoint.step_of(path) for path in checkpoint.all_in(directory)}
    special = (manual & set(steps)) | set(steps[-1:]) | ({best} & set(steps))
    periodic = [step for step in steps if step not in special]
    assert left == special | set(periodic[-keep:])


def test_a_run_follows_its_retention_policy(tiny: Make, tmp_path: Path) -> None:
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


def test_best_is_the_checkpoint_with_the_lowest_validation_loss(tiny: Make, tmp_path: Path) -> None:
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


def test_damaged_checkpoints_are_set_aside_not_overwritten(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.write(tmp_path, snapshot(step))
    checkpoint_dir.set_aside(checkpoint_dir.later_than(tmp_path, 1), "damaged")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["damaged-step-000002", "damaged-step-000003", "step-000001"]
    # Again: what was set aside before stays, too.
    checkpoint.write(tmp_path, snapshot(2))
    checkpoint_dir.set_aside(checkpoint_dir.later_than(tmp_path, 1), "damaged")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:2] == ["damaged-step-000002", "damaged-step-000002-2"]


def test_weights_of_another_shape_or_model_are_rejected(tiny: Make, tmp_path: Path) -> None:
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
    path = checkpoint.write(tmp_path, snapshot(7))
    change_state(path, mood="good")
    assert checkpoint.read(path).state == snapshot(7).state


@pytest.mark.parametrize("both", [True, False])
def test_a_copied_run_may_have_a_directory_instead_of_a_link(tmp_path: Path, both: bool) -> None:
    """`scp -r`, `cp -rL` and zip follow links: `best` and `last` become copies."""
    for step in (1, 2):
        checkpoint.write(tmp_path, snapshot(step))
    for name, step in (("best", 1), ("last", 2)):
        shutil.copytree(tmp_path / checkpoint.name_of(step), tmp_path / name)
        if not both:
            shutil.rmtree(tmp_path / checkpoint.name_of(step))
    expected = "step-000001" if both else "best"
    target = checkpoint.linked(tmp_path, "best")
    assert target == tmp_path / expected
    assert checkpoint.read(target).state.step == 1
    assert checkpoint_dir.linked_step(target) == 1
    # A new link replaces the copy, and nothing is lost.
    checkpoint.write(tmp_path, snapshot(3))
    for name in ("best", "last"):
        checkpoint.link(tmp_path, name, "step-000003")
        assert checkpoint.linked(tmp_path, name) == tmp_path / "step-000003"
    left = [checkpoint.read(path).state.step for path in checkpoint.all_in(tmp_path)]
    assert left == [1, 2, 3]
    assert {path.name for path in tmp_path.iterdir() if path.is_symlink()} == {"best", "last"}


def test_a_directory_named_best_that_is_not_a_checkpoint_is_kept(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "notes.txt").write_text("mine")
    checkpoint.write(tmp_path, snapshot(1))
    assert checkpoint.linked(tmp_path, "best") is None
    checkpoint.link(tmp_path, "best", "step-000001")
    assert checkpoint.linked(tmp_path, "best") == tmp_path / "step-000001"
    assert (tmp_path / "copied-best" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("target", ["../other/step-000001", "/etc", "..", "", "step-000001/.."])
def test_a_link_may_hold_only_a_name(tmp_path: Path, target: str) -> None:
    checkpoint.write(tmp_path / "other", snapshot(1))
    inside = tmp_path / "inside"
    checkpoint.write(inside, snapshot(1))
    (inside / "best").unlink(missing_ok=True)
    if target:
        (inside / "best").symlink_to(target)
    assert checkpoint.linked(inside, "best") is None
    (inside / "last").write_text(target)
    assert checkpoint.linked(inside, "last") is None


def test_linked_checkpoints_do_not_belong_to_the_run(tmp_path: Path) -> None:
    """A resume that followed them would clean up another run."""
    other, own = tmp_path / "other", tmp_path / "own"
    for step in (1, 2, 3):
        checkpoint.write(other, snapshot(step))
    checkpoint.write(own, snapshot(5))
    for step in (1, 2, 3):
        (own / checkpoint.name_of(step)).symlink_to(other / checkpoint.name_of(step))
    assert [path.name for path in checkpoint.all_in(own)] == ["step-000005"]
    assert "is a symbolic link" in checkpoint_dir.invalid_in(own)[0]
    checkpoint.sweep(own)
    checkpoint_dir.clear_up(own, 1)
    checkpoint.write(own, snapshot(2))
    assert [path.name for path in checkpoint.all_in(other)] == [
        checkpoint.name_of(step) for step in (1, 2, 3)
    ]
    for path in checkpoint.all_in(other):
        checkpoint.read(path)


def test_a_link_instead_of_the_checkpoint_directory_is_rejected(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "other", snapshot(1))
    (tmp_path / "checkpoints").symlink_to(tmp_path / "other")
    assert checkpoint.all_in(tmp_path / "checkpoints") == []
    assert checkpoint.linked(tmp_path / "checkpoints", "last") is None
    with pytest.raises(CheckpointError, match="a symbolic link, not a directory"):
        checkpoint_dir.check_place(tmp_path / "checkpoints")
    with pytest.raises(OSError, match="a symbolic link, not a directory"):
        checkpoint.write(tmp_path / "checkpoints", snapshot(2))
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["step-000001"]


def test_a_failed_sync_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        checkpoint.write(tmp_path, snapshot(1))
    monkeypatch.undo()
    checkpoint.write(tmp_path, snapshot(1))
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        checkpoint.link(tmp_path, "best", "step-000001")


def test_a_run_that_was_moved_away_is_not_recreated(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.write(tmp_path / "gone" / "checkpoints", snapshot(1))
    assert not (tmp_path / "gone").exists()
