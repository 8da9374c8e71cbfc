"""Runs and checkpoints of other versions: older ones resume exactly, newer ones are kept."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui import __version__, manifest, paths
from slm_tui.config.migrations import SCHEMA
from slm_tui.errors import PresetError, RunError
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint, checkpoint_dir
from slm_tui.training.state import FORMAT
from slm_tui.versions import rename
from tests.conftest import make_tiny

NEEDED = f"use a version of slm-tui newer than {__version__}"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def run(home: Path) -> Run:
    session = Session.start(make_tiny())
    assert session.wait(60)
    assert session.status.state == "done", session.status.error
    return session.run


def change_state(path: Path, change: Change) -> None:
    """Rewrite `state.json` of the checkpoint at `path`, checksums and all."""
    file = path / "state.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    contents = manifest.unsealed((path / "manifest.json").read_text())
    contents["sha256"]["state.json"] = manifest.digest(file)
    (path / "manifest.json").write_text(manifest.sealed(contents))


def resumed(run: Run) -> Session:
    session = Session.resume(run, more_steps=4)
    assert session.wait(60)
    return session


def losses(run: Run) -> dict[int, float]:
    curves = Curves(run)
    curves.read()
    return dict(zip(curves.steps.step, curves.steps.loss, strict=True))


def state_of(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((path / "state.json").read_text())
    return result


def test_new_checkpoints_record_their_versions(run: Run) -> None:
    values = state_of(run.checkpoints / "step-000012")
    assert next(iter(values)) == "format"
    assert values["format"] == FORMAT.version
    assert values["preset"]["schema"] == SCHEMA.version
    assert (run.path / "preset.toml").read_text().startswith(f"schema = {SCHEMA.version}\n")


def test_a_run_of_an_older_version_resumes_exactly(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Run(paths.runs_dir() / "old-20260101-000000")
    shutil.copytree(run.path, old.path, symlinks=True)

    def write_as_before(values: dict[str, Any]) -> None:
        values.pop("format")
        values["rate_factor"] = values.pop("learning_rate_multiplier")
        values["preset"].pop("schema")
        values["preset"]["training"]["updates"] = values["preset"]["training"].pop("max_steps")

    for path in checkpoint.all_in(old.checkpoints):
        change_state(path, write_as_before)
    text = (old.path / "preset.toml").read_text()
    text = text.removeprefix("schema = 1\n").replace("\nmax_steps =", "\nupdates =")
    (old.path / "preset.toml").write_text(text)
    with pytest.raises(PresetError, match=r"training\.updates: no such setting"):
        old.preset()

    monkeypatch.setattr(SCHEMA, "migrations", [rename("training.updates", "training.max_steps")])
    monkeypatch.setattr(FORMAT, "migrations", [rename("rate_factor", "learning_rate_multiplier")])
    assert old.preset() == make_tiny()
    assert checkpoint.read(old.checkpoints / "step-000012").preset == make_tiny()
    for one in (run, old):
        session = resumed(one)
        assert session.status.state == "done", session.status.error
    assert losses(old) == losses(run)
    assert max(losses(old)) == 16
    assert state_of(old.checkpoints / "step-000016")["format"] == 2
    # The preset of a checkpoint keeps its content and version until it is changed.
    assert checkpoint.read(old.checkpoints / "step-000016").preset == make_tiny()
    # If its own file is lost, the preset comes from the checkpoint.
    (old.path / "preset.toml").unlink()
    assert old.preset() == make_tiny()


def newer_state(values: dict[str, Any]) -> None:
    values["format"] = 99
    values["step"] = "of another type"


def newer_preset(values: dict[str, Any]) -> None:
    values["preset"] = {"schema": 99, "warp": 9}


@pytest.mark.parametrize(
    ("change", "says"),
    [(newer_state, "state.json has format 99"), (newer_preset, "the preset has schema 99")],
)
def test_a_newer_checkpoint_is_rejected_but_not_called_damaged(
    run: Run, change: Change, says: str
) -> None:
    newest = run.checkpoints / "step-000012"
    change_state(newest, change)
    before = sorted(path.name for path in run.checkpoints.iterdir())
    with pytest.raises(checkpoint.ForeignFormatError, match=says) as caught:
        checkpoint.read(newest)
    assert NEEDED in str(caught.value)
    with pytest.raises(checkpoint.ForeignFormatError):
        checkpoint.newest(run.checkpoints)
    session = resumed(run)
    assert session.status.state == "failed"
    assert says in session.status.error
    assert NEEDED in session.status.error
    assert sorted(path.name for path in run.checkpoints.iterdir()) == before
    assert max(losses(run)) == 12


def test_a_newer_preset_of_a_run_is_rejected(run: Run) -> None:
    (run.path / "preset.toml").write_text('schema = 99\nname = "tiny"\n')
    with pytest.raises(PresetError, match="the preset has schema 99") as caught:
        run.preset()
    assert NEEDED in str(caught.value)


def test_a_newer_checkpoint_is_neither_removed_nor_overwritten(run: Run) -> None:
    older = run.checkpoints / "step-000004"
    change_state(older, newer_state)
    checkpoint.link(run.checkpoints, "best", "step-000012")
    checkpoint_dir.clear_up(run.checkpoints, keep_last=1)
    assert older.is_dir()
    last = checkpoint.read(run.checkpoints / "step-000012")
    last.state.step = 4
    snapshot = checkpoint.CheckpointSnapshot(
        last.weights(), last.moments(), last.state, last.tokenizer().to_json()
    )
    checkpoint.write(run.checkpoints, snapshot)
    assert checkpoint.read(older).state.step == 4
    assert state_of(run.checkpoints / "foreign-step-000004")["format"] == 99


def test_a_run_is_not_rebuilt_from_data_older_than_its_newest_version(run: Run) -> None:
    change_state(run.checkpoints / "step-000012", newer_state)
    (run.path / "run.json").unlink()
    with pytest.raises(RunError, match="state.json has format 99") as caught:
        run.info()
    assert NEEDED in str(caught.value)
    (run.path / "preset.toml").unlink()
    with pytest.raises(PresetError, match="state.json has format 99"):
        run.preset()


def test_a_newer_run_is_not_called_damaged(run: Run) -> None:
    values = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**values, "format": 99, "state": "warping"}))
    with pytest.raises(RunError, match="run.json has format 99") as caught:
        run.info()
    assert NEEDED in str(caught.value)
    assert "damaged" not in str(caught.value)
    assert store.all_runs()
