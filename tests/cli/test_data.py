"""`slm-tui data` prepares, counts and prints; scripts can rely on its output."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.cli import main
from slm_tui.corpus.progress import Progress
from slm_tui.verbs.data import progress_line

PRESET = """
name = "plays"
[data]
kind = "file"
path = "{path}"
split = {{ validation = 0.3 }}
[tokenizer]
kind = "bytes"
[model]
kind = "gpt"
n_layer = 1
n_head = 1
n_embd = 8
block_size = 8
"""


@pytest.fixture
def plays(tmp_path: Path) -> str:
    text = tmp_path / "plays.txt"
    text.write_text("<|endoftext|>".join(f"play number {n}, line {n * n}" for n in range(20)))
    preset = tmp_path / "plays.toml"
    preset.write_text(PRESET.format(path=text))
    return str(preset)


def making() -> list[Path]:
    return list(paths.corpora_dir().glob(".making-*"))


def test_prepare_makes_the_corpus_once_and_says_where(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "prepare", plays]) == 0
    first = capsys.readouterr()
    directory = Path(first.out.splitlines()[-1])
    assert (directory / "train.bin").is_file()
    assert "cutting into tokens" in first.err
    assert main(["data", "prepare", plays]) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "cutting" not in second.err
    assert making() == []


@pytest.mark.parametrize("what", ["prepare", "stats"])
def test_json_is_one_object_and_nothing_else(
    plays: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", what, plays, "--json"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    assert json.loads(out)["preset"] == "plays"
    assert json.loads(out)["parts"]["train"]["documents"] == 14


def test_stats_name_parts_lengths_tokens_and_epochs(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "stats", plays]) == 0
    out = capsys.readouterr().out
    for words in ("train", "val", "bytes/token", "epochs", "most frequent tokens", "' '"):
        assert words in out


def test_settings_can_be_changed_for_one_call(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "stats", plays, "--set", "data.limit.documents=5", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert parts["train"]["documents"] + parts["val"]["documents"] <= 6


def test_the_same_seed_prints_the_same_documents(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["data", "sample", plays, "--count", "3", "--seed", "5"]
    assert main(ask) == 0
    first = capsys.readouterr().out
    assert main(ask) == 0
    assert capsys.readouterr().out == first
    assert first.count("play number") == 3


def test_sampled_documents_come_from_the_part_that_was_asked_for(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "sample", plays, "--part", "val", "--count", "99", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(one["text"] for one in found) == sorted(
        f"play number {n}, line {n * n}" for n in range(14, 20)
    )
    assert {one["part"] for one in found} == {"val"}


def test_an_empty_part_is_explained(plays: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sample", plays, "--part", "test"]) == 1
    told = capsys.readouterr()
    assert "has no documents" in told.err
    assert told.out == ""


@pytest.mark.parametrize("arguments", [["stats", "no-such-preset"], ["sample", "", "--count", "0"]])
def test_what_cannot_be_done_is_one_line_on_stderr(
    plays: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [one or plays for one in arguments]
    main(["data", "prepare", plays])
    capsys.readouterr()
    assert main(["data", *arguments]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child")
def test_an_interruption_leaves_nothing_half_written_and_exits_130() -> None:
    command = [sys.executable, "-m", "slm_tui", "data", "prepare", "stories-tiny"]
    child = subprocess.Popen(
        [*command, "--set", "data.documents=2000000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    try:
        assert "writing stories" in child.stderr.readline()
        deadline = time.monotonic() + 20
        while not making() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert making()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert list(paths.corpora_dir().iterdir()) == []


def test_the_progress_line_has_share_rate_and_time_left() -> None:
    told = Progress("cutting into tokens", 5e6, 20e6, seconds=2.0)
    line = progress_line(told, 120)
    for words in ("cutting into tokens", "25%", "5.00 MB of 20.0 MB", "2.50 MB/s", "00:06 left"):
        assert words in line
    stories = progress_line(Progress("writing stories", 500, 1000, "stories", 2.0), 120)
    for words in ("50%", "500 of 1,000 stories", "250 stories/s", "00:02 left"):
        assert words in stories


def test_a_progress_line_says_only_what_is_known() -> None:
    assert progress_line(Progress("opening the dataset", 0, None, "share"), 80) == (
        "opening the dataset…"
    )
    assert progress_line(Progress("reading", 3402, None, "documents"), 80) == (
        "reading…  3,402 documents"
    )
    begun = progress_line(Progress("reading", 0, 100), 80)
    assert "0%" in begun
    assert "left" not in begun
    assert "/s" not in begun


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_a_progress_line_fits_into_its_terminal(width: int) -> None:
    for told in (
        Progress("cutting into tokens", 123_456_789, 999_999_999, seconds=100.0),
        Progress("reading", 123_456, None, "documents", 100.0),
    ):
        assert len(progress_line(told, width)) <= width
