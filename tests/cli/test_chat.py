"""`slm-tui chat` works through pipes: text to stdout, everything else to stderr."""

import io
import sys
from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.runs import conversation
from slm_tui.runs.store import Run
from tests.tui.made_runs import add_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return add_run("one", checkpoints=(30, 60), best=60)


def chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *lines: str
) -> tuple[str, str]:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert main(["chat", "one", "--device", "cpu"]) == 0
    out, error = capsys.readouterr()
    return out, error


def test_lines_are_continued_and_an_empty_line_continues_the_last(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, error = chat(monkeypatch, capsys, "/max 5", "Once", "", "/quit", "never read")
    first, second = (one for one in conversation.read(run.path))
    assert (first.prompt, first.tokens, first.step) == ("Once", 5, 60)
    assert second.prompt == first.prompt + first.text
    assert out == f"{first.prompt}{first.text}\n{second.prompt}{second.text}\n"
    assert "one" in error
    assert "max tokens 5" in error


def test_it_begins_with_the_sampling_of_the_preset(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sampling = run.preset().sampling
    _, error = chat(monkeypatch, capsys, "/temp", "/max")
    assert f"T {sampling.temperature:.2f}" in error
    assert f"max tokens is {sampling.max_tokens}" in error


def test_mistakes_are_explained_and_the_chat_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("", "/temp hot", "/tmp 1", "/model", "/model nobody", "/side", "/max 2", "Hi")
    out, error = chat(monkeypatch, capsys, *lines)
    assert "there is no text to continue" in error
    assert "/temp hot is invalid" in error
    assert "did you mean /temp?" in error
    assert "/model needs a checkpoint" in error
    assert "there is no run 'nobody'" in error
    assert "/side needs the full screen" in error
    assert out.startswith("Hi")


def test_the_conversation_is_saved_shown_and_cleared(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "talk.txt"
    lines = ("/max 2", "/samples 2", "Hi", f"/save {file}", f"/save {file}", "/model one@30", "Ho")
    out, error = chat(monkeypatch, capsys, *lines, "/history", "/history clear")
    assert file.read_text().count("Hi") == 2
    assert "already exists" in error
    assert out.count("[step 60]") == 2
    assert out.count("[step 30]") == 2
    assert conversation.read(run.path) == []


def test_a_missing_run_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "nobody"]) == 1
    assert "there is no run" in capsys.readouterr().err
