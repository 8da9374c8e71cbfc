"""`python -m tests.benchmarks --record`: records results of a clean commit only."""

import csv
import math
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests import limits
from tests.benchmarks.figures import Figure
from tests.benchmarks.history import COLUMNS, HISTORY, ROOT, History, HistoryError, Machine

FIGURE = Figure("training, tiny", 0.98765432, "x", 0.97, remark="0.95 to 1.02, 5 rounds")


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    command = ["git", *identity, *arguments]
    return limits.run(command, cwd=root, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def rows(root: Path) -> list[dict[str, str]]:
    with (root / HISTORY).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_result_is_recorded_with_its_commit_and_machine(repository: Path) -> None:
    History(repository).append([FIGURE])
    (row,) = rows(repository)
    assert tuple(row) == COLUMNS
    assert datetime.fromisoformat(row["date"]).utcoffset() is not None
    assert git(repository, "rev-parse", "HEAD").startswith(row["commit"])
    here = Machine.this()
    assert (row["processor"], row["cores"]) == (here.processor, str(here.cores))
    assert (row["torch"], row["gpu"]) == (here.torch, here.gpu)
    assert (row["name"], row["figure"], row["unit"]) == ("training, tiny", "0.987654", "x")
    assert row["remark"] == FIGURE.remark


def test_recording_again_appends_below_one_header(repository: Path) -> None:
    History(repository).append([FIGURE])
    # Recorded results do not count as a change of the tree.
    History(repository).append([FIGURE, Figure("paint", 1.5, "s")])
    assert [row["name"] for row in rows(repository)] == [FIGURE.name, FIGURE.name, "paint"]


def test_what_could_not_be_measured_is_left_out(repository: Path) -> None:
    History(repository).append([Figure("gpu", math.nan, ""), FIGURE])
    assert [row["name"] for row in rows(repository)] == [FIGURE.name]


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_a_tree_that_differs_from_its_commit_is_refused(repository: Path, name: str) -> None:
    (repository / name).write_text("2\n")
    with pytest.raises(HistoryError, match=name):
        History(repository)
    assert not (repository / HISTORY).exists()


def test_outside_a_repository_nothing_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="commit is unknown"):
        History(tmp_path)


def test_the_history_of_this_repository_has_the_current_columns() -> None:
    with (ROOT / HISTORY).open(encoding="utf-8", newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_the_command_refuses_a_changed_tree_before_it_measures(repository: Path) -> None:
    shutil.copytree(ROOT / "tests" / "benchmarks", repository / "tests" / "benchmarks")
    (repository / "tests" / "__init__.py").touch()
    done = limits.run(
        [sys.executable, "-m", "tests.benchmarks", "--record", "--only", "paint"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--record: the working tree differs from its commit (tests/): commit or stash the changes\n"
    )
