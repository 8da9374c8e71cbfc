"""`slm-tui checkpoints` changes checkpoints and says what it did."""

import json
from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.runs.store import Run
from tests.tui.made_runs import add_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return add_run("one", checkpoints=(30, 60, 90), best=90)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["checkpoints", *arguments]) == status
    out, error = capsys.readouterr()
    return error if status else out


def test_every_change_by_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is kept" in said(capsys, "keep", "one@30")
    assert "no longer kept" in said(capsys, "release", "one@30")
    assert "is labelled mine" in said(capsys, "label", "one@30", "mine")
    assert f"{run.id}@30 is now the best" in said(capsys, "promote", "one@mine")
    listed = [line.split() for line in said(capsys, "list", "one").splitlines()]
    assert [line[0] for line in listed] == ["90", "60", "30"]
    assert listed[2][2:] == ["best", "kept", "mine"]
    first = json.loads(said(capsys, "list", "one", "--json").splitlines()[-1])
    assert (first["step"], first["best"], first["label"]) == (30, True, "mine")
    said_so = said(capsys, "delete", "one@mine")
    assert "30" not in [line.split()[0] for line in said(capsys, "list", "one").splitlines()]
    # The command that it prints works.
    command = said_so.strip().rpartition("slm-tui ")[2].split()
    assert main(command) == 0
    capsys.readouterr()
    assert "mine" in said(capsys, "list", "one")
    assert "has no label" in said(capsys, "label", "one@30")
    assert said(capsys, "delete", "--for-good", "one@30").startswith("deleted")
    error = said(capsys, "restore", "one@30", status=1)
    assert "is not deleted" in error


def test_mistakes_are_explained(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "it has 30, 60, 90" in said(capsys, "keep", "one@40", status=1)
    assert "there is no run" in said(capsys, "list", "two", status=1)
    assert "would mean another checkpoint" in said(capsys, "label", "one@30", "60", status=1)
