"""Checkpoints are kept, labelled, promoted, deleted and restored."""

import shutil
from pathlib import Path

import pytest

from slm_tui.errors import CheckpointError, RunError, SlmTuiError
from slm_tui.runs import checkpoints, store, trash
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint_dir
from tests.tui.made_runs import add_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    # The loss falls: step 90 is the best evaluated one.
    return add_run("one", checkpoints=(30, 60, 90), best=90)


def at(run: Run, step: int) -> Path:
    return run.checkpoints / checkpoint_dir.name_of(step)


def linked(run: Run) -> list[int]:
    found = [checkpoint_dir.linked(run.checkpoints, name) for name in ("best", "last")]
    return [checkpoint_dir.step_of(path) if path else -1 for path in found]


def test_a_kept_checkpoint_survives_the_clearing_up_and_a_released_one_does_not(run: Run) -> None:
    checkpoints.keep(at(run, 30), on=True)
    checkpoint_dir.clear_up(run.checkpoints, 0)
    assert [checkpoint_dir.step_of(one) for one in checkpoint_dir.all_in(run.checkpoints)] == [
        30,
        90,
    ]
    checkpoints.keep(at(run, 30), on=False)
    checkpoints.keep(at(run, 30), on=False)
    checkpoint_dir.clear_up(run.checkpoints, 0)
    assert not at(run, 30).exists()


def test_a_labelled_checkpoint_is_kept_and_found_by_its_label(run: Run) -> None:
    checkpoints.set_label(at(run, 60), "before-overfitting")
    assert checkpoint_dir.is_kept(at(run, 60))
    assert store.find_checkpoint("one@before-overfitting") == at(run, 60)
    checkpoints.set_label(at(run, 60), "")
    assert checkpoint_dir.label_of(at(run, 60)) == ""
    with pytest.raises(CheckpointError, match="no checkpoint before-overfitting"):
        store.find_checkpoint("one@before-overfitting")


@pytest.mark.parametrize("label", ["best", "last", "60", "step-000060", "a b", "../x", "x" * 99])
def test_labels_that_would_mean_something_else_are_refused(run: Run, label: str) -> None:
    with pytest.raises(SlmTuiError, match="label"):
        checkpoints.set_label(at(run, 30), label)
    assert checkpoint_dir.label_of(at(run, 30)) == ""


def test_two_checkpoints_of_a_run_cannot_share_a_label(run: Run) -> None:
    checkpoints.set_label(at(run, 30), "mine")
    with pytest.raises(CheckpointError, match="step 30 has it"):
        checkpoints.set_label(at(run, 60), "mine")


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "x" * 500, ""])
def test_a_hostile_label_is_no_label(run: Run, text: str) -> None:
    (at(run, 30) / "label").write_text(text)
    assert checkpoint_dir.label_of(at(run, 30)) == ""


def test_a_label_that_is_a_link_is_not_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (at(run, 30) / "label").symlink_to(tmp_path / "secret")
    assert checkpoint_dir.label_of(at(run, 30)) == ""


def test_a_promoted_checkpoint_is_the_best(run: Run) -> None:
    checkpoints.promote(at(run, 30))
    assert linked(run) == [30, 90]
    assert store.find_checkpoint("one") == at(run, 30)


def test_deleting_the_best_checkpoint_makes_the_next_best_the_best(run: Run) -> None:
    checkpoints.delete(at(run, 90))
    assert linked(run) == [60, 60]
    (item,) = trash.entries()
    assert (item.kind, item.name) == ("checkpoint", f"{run.id}@step-000090")
    trash.restore(item)
    assert linked(run) == [90, 90]
    assert trash.entries() == []


def test_deleting_another_checkpoint_leaves_the_links(run: Run) -> None:
    checkpoints.promote(at(run, 60))
    trashed = checkpoints.delete(at(run, 30))
    assert linked(run) == [60, 90]
    checkpoints.restore(trashed)
    assert linked(run) == [60, 90]


def test_erasing_every_checkpoint_leaves_no_link(run: Run) -> None:
    for step in (30, 60, 90):
        checkpoints.erase(at(run, step))
    assert linked(run) == [-1, -1]
    assert sorted(path.name for path in run.checkpoints.iterdir()) == []


def test_two_deleted_checkpoints_of_one_step_are_both_in_the_trash(run: Run) -> None:
    kept = at(run, 60).with_name("aside")
    shutil.copytree(at(run, 60), kept)
    checkpoints.delete(at(run, 60))
    kept.rename(at(run, 60))
    second = checkpoints.delete(at(run, 60))
    assert [one.name for one in trash.entries()] == [f"{run.id}@step-000060"] * 2
    assert checkpoints.restore(second) == at(run, 60)


def test_a_checkpoint_is_not_restored_over_another_or_without_its_run(run: Run) -> None:
    trashed = checkpoints.delete(at(run, 90))
    at(run, 90).mkdir()
    with pytest.raises(CheckpointError, match="another checkpoint"):
        checkpoints.restore(trashed)
    at(run, 90).rmdir()
    store.delete(run)
    with pytest.raises(CheckpointError, match=r"gone.*restore the run first"):
        checkpoints.restore(trashed)
    assert trashed.exists()


def test_a_run_that_trains_keeps_its_checkpoints(run: Run) -> None:
    with store.lock(run):
        for change in (checkpoints.delete, checkpoints.erase, checkpoints.promote):
            with pytest.raises(RunError, match="is being trained"):
                change(at(run, 30))
        checkpoints.keep(at(run, 30), on=True)
    assert checkpoint_dir.is_kept(at(run, 30))


def test_a_run_elsewhere_has_no_trash(run: Run, tmp_path: Path) -> None:
    away = Run(run.path.rename(tmp_path / "elsewhere"))
    with pytest.raises(RunError, match=r"not in.*for good"):
        checkpoints.delete(at(away, 30))
    checkpoints.erase(at(away, 30))
    assert not at(away, 30).exists()
