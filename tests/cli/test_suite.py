"""`slm-tui suite`, `queue` and `compare`, as a user types them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config import library
from slm_tui.experiments import queue
from slm_tui.experiments import started_suite as started_suites
from slm_tui.runs import store
from tests import limits
from tests.cli.conftest import Cli
from tests.conftest import make_tiny

SUITE = """
name = "rates"
title = "Two rates"
description = "Shows what the learning rate does."
expect = "The higher one is better."
base = "tiny"
reference = "low"
seeds = [1, 2, 3]

[[variations]]
name = "low"
set = { "optimizer.learning_rate" = 1e-5 }

[[variations]]
name = "high"
set = { "optimizer.learning_rate" = 1e-2 }

[lesson]
before = "What will happen?"
during = "Look."
after = "{low.bpb} became {high.bpb}: {high.verdict}."
question = "Why?"
answer = "Steps of {low.tokens} tokens."
"""


@pytest.fixture
def rates(home: Path) -> Path:
    library.save(make_tiny(training__threads=1))
    path = paths.user_suites_dir() / "rates.toml"
    path.parent.mkdir(parents=True)
    path.write_text(SUITE)
    return path


def test_a_suite_is_listed_shown_run_and_reported(cli: Cli, rates: Path, tmp_path: Path) -> None:
    code, out, _ = cli("suite", "list")
    assert code == 0
    assert "rates" in out
    assert "week-1" in out
    code, out, _ = cli("suite", "show", "rates")
    assert code == 0
    assert "6 runs" in out
    assert "learning_rate=0.01" in out
    code, out, err = cli("suite", "run", "rates")
    assert (code, err) == (0, "")
    assert out.count("▶") == 6
    assert "6 of 6 runs done" in out
    assert len(store.all_runs()) == 6
    code, out, _ = cli("suite", "list")
    assert "6 of 6 done" in out
    report = tmp_path / "report.md"
    code, out, _ = cli("suite", "report", "rates", "--markdown", str(report))
    assert code == 0
    text = report.read_text()
    assert "## Ranking" in text
    assert "better than low by" in text
    assert "paired over 3 seeds" in text
    assert "{" not in text
    assert "optimizer.learning" in text
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = cli("suite", "report", "rates")
    assert "After: " in out
    assert " became " in out
    table = tmp_path / "table.csv"
    cli("suite", "report", "rates", "--csv", str(table))
    assert table.read_text().startswith("Experiment,Description,Vocab Size,Embedding Dim,Layers,")


def test_a_suite_prints_json_and_skips_what_is_done(cli: Cli, rates: Path) -> None:
    code, out, _ = cli("suite", "run", "rates", "--seeds", "5", "--json")
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [one["event"] for one in events] == [
        "suite", "started", "ended", "started", "ended", "end",
    ]  # fmt: skip
    assert events[-1]["states"] == {"done": 2}
    _, out, _ = cli("suite", "run", "rates", "--seeds", "5", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["states"] == {"skipped": 2}
    _, out, _ = cli("suite", "show", "rates", "--json")
    assert len(json.loads(out)["runs"]) == 6


def test_a_failed_run_makes_the_command_fail_and_is_tried_again(
    cli: Cli, rates: Path, tmp_path: Path
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("A cat.")
    code, out, _ = cli("suite", "run", "rates", "--seeds", "1", "--text", str(text))
    assert code == 1
    assert out.count("✗") == 2
    assert "resume with: slm-tui suite resume rates-" in out
    text.write_text("A cat sat on a mat and saw a dog.\n" * 300)
    code, out, _ = cli("suite", "resume", "rates")
    assert code == 0
    assert "2 of 2 runs done" in out
    code, out, _ = cli("suite", "resume", "rates")
    assert code == 0
    assert "every run of rates-" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("suite", "run", "ratse"), "did you mean rates"),
        (("suite", "run", "rates", "--seeds", "a"), "is not a list of seeds"),
        (("suite", "run", "rates", "--set", "model.layers=2"), "no setting 'model.layers'"),
        (("suite", "run", "rates", "--text", "no/such.txt"), "there is no text at"),
        (("suite", "report", "rates"), "has not been started"),
        (("suite", "resume", "quick"), "has not been started"),
        (("suite", "check", "no-such-file.toml"), "cannot be read"),
        (("queue", "move", "3", "1"), "the queue has no such run"),
        (("queue", "remove", "3"), "is not in the queue"),
        (("queue", "add", "no-such"), "there is no preset 'no-such'"),
        (("compare", "no-such"), "there is no run 'no-such'"),
        (("compare", "model.layers>2"), "runs have no field 'model.layers'"),
        (("compare", "state:done"), "no run matches 'state:done'"),
        (("runs", "list", "val<low"), "it is not a number"),
    ],
)
def test_a_wrong_request_is_one_line_before_anything_trains(
    cli: Cli, rates: Path, words: tuple[str, ...], expected: str
) -> None:
    code, out, err = cli(*words)
    assert code == 1
    assert out == ""
    assert expected in err
    assert err.count("\n") <= 3
    assert store.all_runs() == []
    assert queue.runs() == ()


def test_check_prints_a_line_for_each_problem(cli: Cli, rates: Path) -> None:
    wrong = rates.read_text().replace("1e-5", "-1").replace("1e-2", '"fast"')
    rates.write_text(wrong)
    code, _, err = cli("suite", "check", "rates")
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 2
    assert "variation low" in lines[0]
    assert "variation high" in lines[1]


def test_the_queue_from_the_command_line(cli: Cli, rates: Path) -> None:
    cli("queue", "add", "tiny", "--name", "one")
    cli("queue", "add", "tiny", "--name", "two", "--set", "training.seed=2")
    cli("queue", "add", "tiny", "--name", "three", "--set", "training.seed=3")
    cli("queue", "move", "3", "-2")
    _, out, _ = cli("queue", "list")
    assert [line.split()[2] for line in out.splitlines()[:3]] == ["three", "one", "two"]
    assert "start with: slm-tui queue run" in out
    cli("queue", "remove", "1")
    code, out, _ = cli("queue", "run")
    assert code == 0
    assert [run.info().name for run in reversed(store.all_runs())] == ["three", "two"]
    _, out, _ = cli("queue", "list")
    assert "the queue is empty" in out


def test_compare_ranks_runs_found_by_a_filter(cli: Cli, rates: Path, tmp_path: Path) -> None:
    cli("suite", "run", "rates", "--seeds", "1,2")
    code, out, _ = cli("compare", "group:rates", "optimizer.learning_rate>=1e-5")
    assert code == 0
    assert "high" in out
    assert "low" in out
    assert "optimizer.learning_rate: 1e-05 → 0.01: -" in out
    code, out, _ = cli("compare", "group:rates", "--reference", "low", "--json")
    values = json.loads(out)
    assert values["reference"] == "low"
    assert values["comparisons"] == 1
    for name in ("out.csv", "out.png", "out.svg", "out.md"):
        path = tmp_path / name
        code, out, _ = cli("compare", "group:rates", f"--{_option(name)}", str(path))
        assert code == 0
        assert path.stat().st_size > 100
    code, _, err = cli("compare", "group:rates", "--reference", "lower")
    assert code == 1
    assert "there are: " in err
    names = [run.id for run in store.all_runs()]
    code, out, _ = cli("compare", *names[:2])
    assert code == 0
    code, out, _ = cli("runs", "list", "variation:high", "bpb<99")
    assert len(out.splitlines()) == 2


def _option(name: str) -> str:
    return {"md": "markdown"}.get(name.rsplit(".", 1)[1], name.rsplit(".", 1)[1])


def test_names_of_others_are_only_text_in_pictures_and_reports(
    cli: Cli, rates: Path, tmp_path: Path
) -> None:
    cli("suite", "run", "rates", "--seeds", "1")
    for run, name in zip(store.all_runs(), ("$\\frac{", "<b>\x1b[2J|`"), strict=True):
        info = run.info()
        info.name = info.variation = name
        run.write_info(info)
    for ending in ("png", "svg", "markdown"):
        path = tmp_path / f"out.{ending}"
        code, _, err = cli("compare", "state:done", f"--{ending}", str(path))
        assert code == 0, err
        assert ending == "png" or b"\x1b" not in path.read_bytes()
    assert "<b>" not in (tmp_path / "out.markdown").read_text()
    code, out, _ = cli("compare", "state:done")
    assert code == 0
    assert "\x1b" not in out


def test_pinned_runs_stay_on_top(cli: Cli, rates: Path) -> None:
    cli("suite", "run", "rates", "--seeds", "1")
    oldest = store.all_runs()[-1].id
    cli("runs", "pin", oldest)
    _, out, _ = cli("runs", "list")
    assert out.startswith(oldest)
    cli("runs", "unpin", oldest)
    _, out, _ = cli("runs", "list")
    assert not out.startswith(oldest)


def program(*words: str) -> "subprocess.Popen[str]":
    return limits.start(
        [sys.executable, "-m", "slm_tui", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_an_interrupted_suite_saves_its_run_and_resumes_it(rates: Path, cli: Cli) -> None:
    process = program("suite", "run", "rates", "--set", "training.max_steps=3000")
    limits.until(lambda: any(run.info().step > 5 for run in store.all_runs()))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    (run,) = store.all_runs()
    assert run.info().state == "stopped"
    started = started_suites.find("rates")
    assert {one.state for one in started.runs()} == {"waiting"}
    assert len(queue.runs()) == 6
    assert queue.runs()[0].run == run.id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_detached_suite_trains_without_its_terminal(rates: Path, cli: Cli) -> None:
    done = limits.run(
        [sys.executable, "-m", "slm_tui", "suite", "run", "rates", "--seeds", "1", "--detach"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert "trains in the background" in done.stdout
    started = started_suites.find("rates")
    limits.until(lambda: {run.state for run in started.runs()} == {"done"})
    limits.until(lambda: not queue.has_worker())
    assert "2 of 2 runs done" in (started.path / "console.log").read_text()


def test_a_second_worker_leaves_the_queue_to_the_first(rates: Path, cli: Cli) -> None:
    lock = queue.take_worker_lock()
    assert lock is not None
    with lock:
        code, out, _ = cli("suite", "run", "rates")
    assert code == 0
    assert "another process is training the queue" in out
    assert len(queue.runs()) == 6
