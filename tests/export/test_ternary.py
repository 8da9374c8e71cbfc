"""Exporting ternary weights: what is written is used like any other checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slm_tui.cli import main
from slm_tui.config.preset import Preset
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from tests import limits
from tests.conftest import make_tiny

Capture = pytest.CaptureFixture[str]
HGRN = {"kind": "hgrn", "n_layer": 2, "n_embd": 16, "block_size": 16}


def trained(preset: Preset) -> Run:
    session = Session.start(preset)
    assert session.wait(limits.LIMIT)
    assert session.status.state == "done", session.status.error
    return session.run


@pytest.fixture
def run(home: Path) -> Run:
    return trained(make_tiny(model=HGRN))


def generated(spec: str, capsys: Capture) -> str:
    command = ["generate", spec, "--prompt", "Once", "--max-tokens", "20", "--temperature", "0"]
    assert main([*command, "--json"]) == 0
    return str(json.loads(capsys.readouterr().out.splitlines()[0])["text"])


def test_an_export_generates_the_same_text(run: Run, tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "packed"
    assert main(["export", run.id, str(target), "--format", "ternary"]) == 0
    output = capsys.readouterr().out
    assert "times smaller" in output
    assert f"slm-tui generate {target}" in output
    before = checkpoint.read(store.find_checkpoint(run.id)).model(torch.device("cpu"))
    after = checkpoint.read(store.find_checkpoint(str(target))).model(torch.device("cpu"))
    ids = torch.arange(60).view(2, 30)
    with torch.no_grad():
        assert torch.equal(before(ids), after(ids))
    assert generated(run.id, capsys) == generated(str(target), capsys)


def test_a_new_run_starts_from_an_export(run: Run, tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "packed"
    assert main(["export", run.id, str(target), "--format", "ternary", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bytes_after"] < report["bytes_before"] / 3
    assert report["ternary_weights"] < report["parameters"]
    assert main(["train", "--from", str(target), "--name", "fork"]) == 0
    capsys.readouterr()
    last = store.find(run.id).info()
    fork = store.find("fork").info()
    # It goes on from the trained weights: better than before training, from its first step on.
    assert fork.best_loss is not None
    assert last.best_loss is not None
    assert fork.best_loss <= last.best_loss + 0.1


@pytest.mark.parametrize("command", ["runs show", "evaluate"])
def test_an_export_can_be_looked_at(
    command: str, run: Run, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "packed"
    assert main(["export", run.id, str(target), "--format", "ternary"]) == 0
    words = command.split()
    options = ["--documents", "2", "--samples", "1"] if words == ["evaluate"] else []
    assert main([*words, str(target), *options]) == 0
    assert "packed" in capsys.readouterr().out


def test_an_export_cannot_be_resumed_and_says_what_works(
    run: Run, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "packed"
    assert main(["export", run.id, str(target), "--format", "ternary"]) == 0
    names = sorted(path.name for path in target.iterdir())
    capsys.readouterr()
    assert main(["train", "--resume", str(target), "--steps", "2"]) == 1
    error = capsys.readouterr().err
    assert "was exported without optimizer state" in error
    assert f"slm-tui train --from {target}" in error
    assert sorted(path.name for path in target.iterdir()) == names


def test_a_model_without_ternary_weights_is_refused(tmp_path: Path, capsys: Capture) -> None:
    run = trained(make_tiny())
    target = tmp_path / "packed"
    assert main(["export", run.id, str(target), "--format", "ternary"]) == 1
    assert "has no ternary weights: its model is gpt" in capsys.readouterr().err
    assert not target.exists()


def test_nothing_is_overwritten_and_nothing_half_written_stays(
    run: Run, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    assert main(["export", run.id, str(there), "--format", "ternary"]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["export", run.id, str(tmp_path / "no" / "where"), "--format", "ternary"]) == 1
    assert "cannot be written" in capsys.readouterr().err

    def full(*_: object) -> Callable[..., None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "write_info", full)
    assert main(["export", run.id, str(tmp_path / "full"), "--format", "ternary"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "full").exists()
