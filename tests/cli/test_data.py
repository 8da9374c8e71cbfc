"""`slm-tui data` prepares corpora and prints statistics; scripts can rely on its output."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.cli import main
from slm_tui.commands.progress_line import progress_text
from slm_tui.corpus.progress import Progress
from tests import limits

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


def test_prepare_builds_the_corpus_once_and_prints_its_path(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "prepare", plays]) == 0
    first = capsys.readouterr()
    directory = Path(first.out.splitlines()[-1])
    assert (directory / "train.bin").is_file()
    assert "tokenizing" in first.err
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


def test_sampled_documents_come_from_the_requested_split(
    plays: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "sample", plays, "--part", "val", "--count", "99", "--json"]) == 0
    result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(one["text"] for one in result) == sorted(
        f"play number {n}, line {n * n}" for n in range(14, 20)
    )
    assert {one["part"] for one in result} == {"val"}


@pytest.mark.parametrize(
    "words", [["--split", "validation"], ["--split", "val"], ["--part", "validation"]]
)
def test_splits_have_the_same_names_as_in_evaluate(
    plays: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "sample", plays, *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "validation"
    assert main(["data", "sample", plays, *words]) == 0
    assert capsys.readouterr().out.startswith("── validation ")


def test_the_old_name_of_split_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "sample", "--help"])
    out = capsys.readouterr().out
    assert "--split {train,validation,test}" in out
    assert "--part" not in out


def test_an_empty_split_is_explained(plays: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sample", plays, "--split", "test"]) == 1
    output = capsys.readouterr()
    assert "has no documents" in output.err
    assert output.out == ""


@pytest.mark.parametrize("arguments", [["stats", "no-such-preset"], ["sample", "", "--count", "0"]])
def test_an_error_is_one_line_on_stderr(
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
    child = limits.start(
        [*command, "--set", "data.documents=2000000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    try:
        assert "generating stories" in child.stderr.readline()
        deadline = time.monotonic() + 20
        while not making() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert making()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait(30)
    assert child.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert list(paths.corpora_dir().iterdir()) == []


def test_the_progress_line_has_share_rate_and_time_left() -> None:
    line = progress_text(Progress("downloading", 4e6, 16e6, "bytes", seconds=2.0), 100)
    for part in ("downloading", "25%", "4.00 MB of 16.0 MB", "2.00 MB/s", "00:06 left"):
        assert part in line
    stories = progress_text(Progress("generating stories", 3000, 4000, "stories", seconds=2.0), 100)
    assert "1.50k stories/s" in stories
    unknown = progress_text(Progress("reading", 3000, None, "documents", seconds=2.0), 100)
    assert "3,000 documents" in unknown
    assert "left" not in unknown
    assert "left" not in progress_text(Progress("generating stories"), 100)


@pytest.mark.parametrize("width", [10, 40, 79])
def test_the_progress_line_keeps_to_its_width(width: int) -> None:
    progress = Progress("tokenizing", 12_345_678, 987_654_321, "bytes", seconds=123.0)
    assert len(progress_text(progress, width)) <= width


def test_data_reads_any_named_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "my texts"
    directory.mkdir()
    (directory / "one.txt").write_text("a first little text. " * 200)
    (directory / "two.md").write_text("a second, longer one. " * 300)
    (directory / "bad.txt").write_bytes(b"caf\xe9 " * 20)
    refuse = ["--set", "data.on_encoding_error=refuse"]
    assert main(["data", "stats", str(directory), "--json", *refuse]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "1 of 3 files cannot be used: bad.txt (byte 3 is 0xe9)" in message
    assert main(["data", "stats", str(directory), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["preset"] == "my-texts"
    assert result["left_out"]["skipped_files"] == [["bad.txt", "byte 3 is 0xe9"]]
    assert {one["topic"] for one in result["verdicts"]} >= {"size", "skipped"}
    assert main(["data", "stats", str(directory)]) == 0
    shown = capsys.readouterr().out
    for words in ("▲ 1 file was skipped", "rarest tokens", "first merges", "bytes per token by"):
        assert words in shown


def test_a_name_that_is_neither_preset_nor_text_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["data", "stats", "no/such/place/at/all"]) == 1
    assert "there is no text at" in capsys.readouterr().err
    assert main(["data", "stats", "mistyped.txt"]) == 1
    assert "there is no text at 'mistyped.txt'" in capsys.readouterr().err
    assert main(["data", "stats", "storys-tiny"]) == 1
    assert "did you mean stories-tiny" in capsys.readouterr().err


def test_an_experiment_trains_without_a_network_after_one_override() -> None:
    command = ["train", "experiments-optimal-fast", "--set", "data.kind=stories", "--json"]
    shorter = ["data.documents=400", "training.max_steps=4", "schedule.warmup_steps=1"]
    smaller = ["training.micro_batch=2", "training.evaluate_batches=2"]
    for assignment in [*shorter, *smaller]:
        command += ["--set", assignment]
    assert main(command) == 0


def test_a_text_in_place_of_a_preset_is_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plays.txt").write_text("words")
    assert main(["train", str(tmp_path / "plays.txt")]) == 1
    message = capsys.readouterr().err
    assert "is text, not a preset" in message
    assert "--text" in message
    # The command of that remedy would fail for a text that does not exist.
    assert main(["train", str(tmp_path / "gone.txt")]) == 1
    error = capsys.readouterr().err
    assert "there is no text at" in error
    assert "--text" not in error
