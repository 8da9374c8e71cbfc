"""`slm-tui evaluate` on trained runs."""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.cli import main
from slm_tui.config.preset import Preset
from slm_tui.corpus.progress import Progress
from slm_tui.errors import CheckpointError
from slm_tui.live.session import Session
from slm_tui.runs import evaluate, evaluation_results, store
from slm_tui.runs.evaluation_report import lines
from slm_tui.runs.store import Run
from tests import extent, limits

FEW = ("--samples", "2", "--max-tokens", "5", "--device", "cpu")


def trained(preset: Preset, name: str) -> Run:
    session = Session.start(preset, name)
    assert session.wait(limits.LIMIT)
    assert session.status.state == "done", session.status.error
    return session.run


@pytest.fixture
def runs(tiny: Callable[..., Preset]) -> list[Run]:
    """Two runs with different tokenizers on the same stories."""
    bpe = {"kind": "bpe", "vocab_size": 300}
    split = {"validation": 0.1, "test": 0.1}
    return [
        trained(tiny(data__split=split), "plain"),
        trained(tiny(tokenizer=bpe, data__split=split), "merged"),
    ]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@extent.only_in_all
def test_an_evaluation_of_an_hnet_describes_its_chunks(
    tiny: Callable[..., Preset], capsys: pytest.CaptureFixture[str]
) -> None:
    stages = {"d_model": (16, 16, 24), "num_blocks": ((1, 0, 1), (1, 0, 1), (1,))}
    model = {"kind": "hnet", "block_size": 32, **stages}
    few = {"training__max_steps": 3, "training__evaluate_every": 3}
    run = trained(tiny(model=model, **few), "cutter")
    capsys.readouterr()
    assert main(["evaluate", "cutter", *FEW]) == 0
    out = capsys.readouterr().out
    assert "chunks" in out
    assert "begin a word" in out
    (report,) = evaluation_results.read(run.path)
    outer, inner = report["chunks"]
    assert 1 <= outer["bytes_per_chunk"] <= inner["bytes_per_chunk"]
    assert outer["chunks"] >= inner["chunks"]
    again = "\n".join(line.text for line in lines(report, 80))
    assert f"{outer['bytes_per_chunk']:.2f} bytes each" in again


def test_evaluate_end_to_end(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    plain, _ = runs
    capsys.readouterr()
    # One checkpoint: a report, and files in the run.
    assert main(["evaluate", "plain", "--split", "test", *FEW]) == 0
    out = capsys.readouterr().out
    for word in ("nats per token", "perplexity", "top five", "gap", "valid UTF-8"):
        assert word in out
    for name in ("floor", "uniform", "unigram", "bigram", "lzma"):
        assert name in out
    (report,) = evaluation_results.read(plain.path)
    (model,) = report["models"]
    assert report["text"]["split"] == "test"
    assert model["num_bytes"] == report["text"]["bytes"]
    assert model["num_tokens"] == model["num_bytes"] + report["text"]["documents"]
    floor = next(row for row in report["baselines"] if row["name"] == "floor")
    assert floor["bits_per_byte"] < model["interval"][0]
    assert report["generation"]["num_samples"] == 2
    assert report["data"]["tokens_per_parameter"] > 0
    written = (plain.path / "generations.txt").read_text()
    assert written.count("--- sample") == 2
    summary = json.loads((plain.path / "experiment_summary.json").read_text())
    assert summary["experiment"] == plain.id
    assert summary["timestamp"] == report["timestamp"]
    assert summary["config"] == plain.preset().to_dict()
    assert summary["results"]["models"] == report["models"]
    # Again: the same results, and still one report of this kind; another split adds a report.
    assert main(["evaluate", "plain", "--split", "test", *FEW]) == 0
    (again,) = evaluation_results.read(plain.path)
    assert again["models"] == report["models"]
    assert again["sample_generations"] == report["sample_generations"]
    assert main(["evaluate", "plain", "--no-generations", "--split", "train"]) == 0
    assert "this is its training text" in capsys.readouterr().out
    assert len(evaluation_results.read(plain.path)) == 2

    # Several: only one JSON object.
    assert main(["evaluate", "plain@last", "merged@last", "--json"]) == 0
    (result,) = objects(capsys.readouterr().out)
    assert result["kind"] == "comparison"
    assert [one["rank"] for one in result["models"]] == [1, 2]
    assert {one["tokenizer"] for one in result["models"]} == {"bytes", "bpe"}
    assert len({one["num_bytes"] for one in result["models"]}) == 1
    assert result["models"][0]["bits_per_byte"] <= result["models"][1]["bits_per_byte"]
    assert len(evaluation_results.read(plain.path)) == 2
    for width in (60, 76, 100, 160):
        assert max(len(line.text) for line in lines(result, width)) <= width

    # Any text, into any directory; training text is marked as such.
    home = paths.data_dir()
    page = home / "page.txt"
    page.write_text("Ein Text, der gr\u00f6\u00dfer ist.\n" * 40, encoding="utf-8")
    there = ["--text", str(page), "--output", str(home / "out"), "--json", str(home / "out.json")]
    assert main(["evaluate", "plain", "merged", *there]) == 0
    (stored,) = evaluation_results.read(home / "out")
    assert stored == json.loads((home / "out.json").read_text())
    assert stored["text"]["bytes"] == len(page.read_bytes().rstrip(b"\n"))
    assert not any(one["leak"] for one in stored["models"])


def test_a_story_that_a_model_was_trained_on_is_a_leak(
    tiny: Callable[..., Preset], capsys: pytest.CaptureFixture[str]
) -> None:
    few = trained(tiny(), "few")
    # The small corpus validates on stories after its training stories: here they are training text.
    trained(tiny(data__documents=150), "many")
    capsys.readouterr()
    assert main(["evaluate", "few", "many", "--json"]) == 0
    (result,) = objects(capsys.readouterr().out)
    leaks = {one["run"].split("-")[0]: one["leak"] for one in result["models"]}
    assert leaks["few"] == ""
    total = result["text"]["documents"]
    assert leaks["many"] == f"{total} of {total} documents occur in its training text"
    assert any("different texts" in note for note in result["notes"])
    assert few.path.is_dir()


def test_a_deleted_corpus_is_rebuilt(
    tiny: Callable[..., Preset], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    trained(tiny(), "plain")
    assert main(["evaluate", "plain", "--no-generations", "--json"]) == 0
    (before,) = objects(capsys.readouterr().out.splitlines()[-1])
    shutil.rmtree(paths.corpora_dir())
    assert main(["evaluate", "plain", "--no-generations", "--json"]) == 0
    (after,) = objects(capsys.readouterr().out.splitlines()[-1])
    assert after["models"] == before["models"]


def test_an_impossible_evaluation_is_explained(
    tiny: Callable[..., Preset], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    source = home / "source.txt"
    source.write_text("A line of text that is long enough.\n" * 200)
    data = {"kind": "file", "path": str(source), "split": {"validation": 0.2}}
    run = trained(tiny(data=data), "file")
    for arguments, words in (
        (["file", "--split", "test"], "there is no test split"),
        (["nothing"], "there is no run"),
        (["file", "--text", str(home / "no.txt")], "there is no text at"),
        (["file", "--documents", "0"], "at least 1"),
        (["file", "--stride", "0"], "at least 1"),
    ):
        assert main(["evaluate", *arguments]) == 1
        assert words in capsys.readouterr().err
    source.unlink()
    shutil.rmtree(paths.corpora_dir())
    assert main(["evaluate", "file"]) == 1
    assert "--text" in capsys.readouterr().err
    # Another text works.
    other = home / "other.txt"
    other.write_text("Something else.")
    assert main(["evaluate", "file", "--text", str(other), "--no-generations"]) == 0
    out = capsys.readouterr().out
    assert "no unigram" in out
    assert "differences may be noise" in out
    assert store.find("file").path == run.path


def test_results_that_cannot_be_written_are_still_shown(
    tiny: Callable[..., Preset], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tiny(), "plain")
    blocker = home / "taken"
    blocker.write_text("a file, no directory")
    capsys.readouterr()
    arguments = ["evaluate", "plain", "--no-generations", "--json", "--output", str(blocker)]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "cannot be written" in printed.err
    (result,) = objects(printed.out)
    assert result["models"][0]["bits_per_byte"] > 0
    assert blocker.read_text() == "a file, no directory"


@pytest.mark.parametrize("what", ["gone", "damaged"])
def test_a_checkpoint_lost_during_evaluation_is_reported_and_not_scored(
    runs: list[Run], what: str
) -> None:
    checkpoints = [store.find_checkpoint(run.path.name) for run in runs]
    weights = checkpoints[1].resolve() / "model.safetensors"

    def lose(progress: Progress) -> None:
        if "(1 of 2)" in progress.stage and weights.exists():
            data = weights.read_bytes()
            weights.unlink() if what == "gone" else weights.write_bytes(data[:-8] + b"damaged!")

    settings = evaluation_results.EvaluationSettings(device="cpu")
    with pytest.raises(CheckpointError):
        evaluate.evaluate(checkpoints, settings, progress=lose)


def test_concurrent_evaluations_are_all_kept(home: Path) -> None:
    def write(number: int) -> None:
        evaluation_results.write({"key": str(number)}, home / "out")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    code = (
        "import sys; from pathlib import Path; from slm_tui.runs import evaluation_results as r\n"
        "for number in range(16, 32): r.write({'key': str(number)}, Path(sys.argv[1]))"
    )
    limits.run([sys.executable, "-c", code, str(home / "out")])
    limits.join(*threads)
    reports = evaluation_results.read(home / "out")
    assert {one["key"] for one in reports} == {str(number) for number in range(32)}
