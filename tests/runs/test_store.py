"""Runs on disk: created atomically, found by any name, moved to the trash and back."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.errors import CheckpointError, RunError, SlmTuiError
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from tests import limits
from tests.training.test_checkpoint import snapshot

Make = Callable[..., Preset]


def created_run(tiny: Make, name: str, created: float | None = None) -> Run:
    run = store.create(tiny(), name)
    info = run.info()
    info.state = "stopped"
    info.created = info.created if created is None else created
    run.write_info(info)
    return run


def test_a_new_run_has_the_requested_name_and_preset(tiny: Make) -> None:
    run = store.create(tiny(), "first")
    assert run.id.startswith("first-20")
    assert run.path.parent == paths.runs_dir()
    assert run.preset() == tiny()
    info = run.info()
    assert (info.name, info.preset, info.max_steps) == ("first", "tiny", 12)


def test_runs_started_in_the_same_second_have_distinct_names(tiny: Make) -> None:
    ids = [store.create(tiny(), "same").id for _ in range(5)]
    assert len(set(ids)) == 5
    assert {run.id for run in store.all_runs()} == set(ids)


def test_the_newest_comes_first(tiny: Make) -> None:
    created_run(tiny, "b", 200.0), created_run(tiny, "a", 300.0), created_run(tiny, "c", 100.0)
    assert [run.info().name for run in store.all_runs()] == ["a", "b", "c"]
    assert store.find("last").info().name == "a"


def test_a_run_is_found_by_name_prefix_label_and_path(tiny: Make) -> None:
    one, two = created_run(tiny, "alpha"), created_run(tiny, "beta")
    assert store.find(one.id) == one
    assert store.find("bet") == two
    assert store.find("alpha") == one
    assert store.find(str(two.path)) == two
    store.rename(two, "gamma")
    assert store.find("gamma") == two


def test_an_exact_name_takes_precedence_over_longer_ones(tiny: Make) -> None:
    first, second = store.create(tiny(), "same"), store.create(tiny(), "same")
    assert second.id.startswith(first.id) or first.id[:-1] == second.id[:-1]
    assert store.find(first.id) == first


def test_a_name_that_matches_none_or_several_is_explained(tiny: Make) -> None:
    with pytest.raises(RunError, match="no runs yet"):
        store.find("last")
    created_run(tiny, "ab"), created_run(tiny, "ac")
    with pytest.raises(RunError, match="'a' matches 2 runs.*use more"):
        store.find("a")
    with pytest.raises(RunError, match="there is no run 'x'.*runs list"):
        store.find("x")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "~nobody-has-this-name", "a\0b", ".."])
def test_odd_names_give_a_one_line_error(name: str) -> None:
    for ask in (store.find, store.find_checkpoint):
        with pytest.raises(RunError, match="there is no run"):
            ask(name)


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "x" * 300, "", " ", "last", "a\n", ".x"])
def test_an_invalid_name_creates_nothing(tiny: Make, name: str) -> None:
    if name:
        with pytest.raises(SlmTuiError, match="run name"):
            store.create(tiny(), name)
        assert store.all_runs() == []
    run = created_run(tiny, "good")
    with pytest.raises(SlmTuiError, match="run name"):
        store.rename(run, name)
    assert run.info().name == "good"


def test_an_unwritable_directory_is_reported_in_one_line(tiny: Make, home: Path) -> None:
    (home / "data").write_text("a file in the way")
    with pytest.raises(RunError, match="cannot create a run.*SLM_TUI_HOME"):
        store.create(tiny())


def test_a_damaged_run_is_listed_and_hides_no_other(tiny: Make) -> None:
    good, bad = created_run(tiny, "good"), created_run(tiny, "bad")
    for text in ("", "{", "[]", '{"created": "x"}x', "null"):
        (bad.path / "run.json").write_text(text)
        with pytest.raises(RunError, match="is damaged"):
            bad.info()
        assert set(store.all_runs()) == {good, bad}
        assert store.find("good") == good


def test_entries_of_a_later_version_are_ignored(tiny: Make) -> None:
    run = created_run(tiny, "it")
    values = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**values, "mood": "good"}))
    assert run.info().name == "it"


# Which runs are live.


def test_a_run_whose_process_died_reads_as_interrupted(tiny: Make) -> None:
    run = store.create(tiny())
    with store.lock(run):
        assert run.info().state == "preparing"
    assert run.info().state == "interrupted"


def test_a_killed_process_releases_its_run(tiny: Make) -> None:
    run = store.create(tiny())
    child = os.fork()
    if child == 0:
        with store.lock(run):
            (run.path / "held").touch()
            time.sleep(60)
        os._exit(1)
    limits.until((run.path / "held").exists)
    assert run.info().state == "preparing"
    with pytest.raises(RunError, match="is being trained"), store.lock(run):
        pass
    os.kill(child, 9)
    limits.reap(child)
    assert run.info().state == "interrupted"


def test_a_run_on_another_host_is_live_while_its_heartbeat_is_recent(tiny: Make) -> None:
    run = store.create(tiny())
    info = run.info()
    info.state, info.host = "running", "elsewhere"
    info.heartbeat = time.time()
    run.write_info(info)
    assert run.info().state == "running"
    info.heartbeat -= 60
    run.write_info(info)
    assert run.info().state == "interrupted"


def test_a_run_cannot_be_locked_twice(tiny: Make) -> None:
    run = store.create(tiny())
    with store.lock(run), pytest.raises(RunError, match="is being trained"), store.lock(run):
        pass
    with store.lock(run):
        pass


def test_concurrent_checks_do_not_mistake_each_other_for_the_owner(tiny: Make) -> None:
    run = created_run(tiny, "idle")
    wrong: list[bool] = []

    def look() -> None:
        wrong.extend(True for _ in range(300) if store.is_locked(run.path))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    limits.join(*threads)
    assert wrong == []


# Trash.


def test_a_deleted_run_is_in_the_trash_and_restored_completely(tiny: Make) -> None:
    run = created_run(tiny, "gone")
    checkpoint.write(run.checkpoints, snapshot(3))
    where = store.delete(run)
    assert store.all_runs() == []
    assert store.trashed() == [where]
    assert store.restore(run.id) == run
    assert checkpoint.read(run.checkpoints / "step-000003").state.step == 3
    assert store.trashed() == []


def test_a_deleted_run_is_found_by_its_exact_name_first(tiny: Make) -> None:
    first = created_run(tiny, "same")
    second = store.create(tiny(), "same")
    longer = first.path.with_name(first.id + "-2") if second.id != first.id + "-2" else second.path
    if longer != second.path:
        second.path.rename(longer)
    store.delete(first), store.delete(Run(longer))
    with pytest.raises(RunError, match="matches 2 deleted runs"):
        store.restore("same")
    assert store.restore(first.id).id == first.id
    assert store.restore("same").id == longer.name


def test_deleting_twice_loses_neither(tiny: Make) -> None:
    run = created_run(tiny, "twice")
    store.delete(run)
    run.path.mkdir()
    Run(run.path).write_info(store.RunInfo(name="other", state="done"))
    store.delete(run)
    assert len(store.trashed()) == 2
    restored = store.restore(store.trashed()[0])
    assert restored.id == run.id


def test_restoring_never_overwrites_a_run(tiny: Make) -> None:
    run = created_run(tiny, "gone")
    store.delete(run)
    run.path.mkdir()
    with pytest.raises(RunError, match="exists"):
        store.restore(run.id)
    with pytest.raises(RunError, match="is not deleted"):
        store.restore("nothing-like-it")


def test_a_run_being_trained_is_neither_deleted_nor_renamed(tiny: Make) -> None:
    run = store.create(tiny())
    with store.lock(run):
        with pytest.raises(RunError, match="is being trained"):
            store.delete(run)
        with pytest.raises(RunError, match="is being trained"):
            store.rename(run, "other")
    assert run.path.is_dir()


# Checkpoints by name.


@pytest.fixture
def saved(tiny: Make) -> Run:
    run = created_run(tiny, "it")
    for step in (250, 500, 750):
        checkpoint.write(run.checkpoints, snapshot(step))
    checkpoint.link(run.checkpoints, "best", "step-000500")
    checkpoint.link(run.checkpoints, "last", "step-000750")
    return run


@pytest.mark.parametrize(
    ("which", "step"), [("", 500), ("@best", 500), ("@last", 750), ("@250", 250), ("@0250", 250)]
)
def test_checkpoints_are_found_by_run_and_step(saved: Run, which: str, step: int) -> None:
    assert checkpoint.step_of(store.find_checkpoint(f"it{which}")) == step
    assert checkpoint.step_of(store.find_checkpoint(f"{saved.id}{which}")) == step


def test_a_checkpoint_may_be_a_path_or_a_directory_name(saved: Run) -> None:
    path = saved.checkpoints / "step-000250"
    assert store.find_checkpoint(str(path)) == path
    assert store.find_checkpoint("it@step-000250") == path


@pytest.mark.parametrize("which", ["300", "x", "../checkpoints/step-000250", "²", "-1", "/"])
def test_the_error_for_a_missing_checkpoint_lists_the_existing_ones(saved: Run, which: str) -> None:
    with pytest.raises(CheckpointError, match="has no checkpoint .*it has 250, 500, 750"):
        store.find_checkpoint(f"it@{which}")


def test_without_links_the_newest_checkpoint_is_used(saved: Run) -> None:
    for name in ("best", "last"):
        (saved.checkpoints / name).unlink()
    assert checkpoint.step_of(store.checkpoint_of(saved)) == 750


def test_a_run_without_checkpoints_is_reported(tiny: Make) -> None:
    created_run(tiny, "new")
    with pytest.raises(CheckpointError, match="none was saved"):
        store.find_checkpoint("new")
