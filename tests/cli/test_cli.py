"""The command line: every command, and one line on stderr for an error."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui import __version__
from slm_tui.cli import COMMANDS, _parser
from slm_tui.config import library
from slm_tui.config.preset import Preset
from slm_tui.config.schema import preset_schema
from slm_tui.runs import store
from tests import limits

Make = Callable[..., Preset]
Capture = pytest.CaptureFixture[str]


Cli = Callable[..., tuple[int, str, str]]


def assert_one_line(result: tuple[int, str, str], *says: str) -> None:
    code, out, err = result
    assert code == 1
    assert out == ""
    assert err.startswith("slm-tui: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for text in says:
        assert text in err


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# The command itself.


def test_it_runs_as_a_program_and_a_module() -> None:
    done = limits.run(
        [sys.executable, "-m", "slm_tui", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"slm-tui {__version__}\n"


def test_wrong_usage_exits_with_2(cli: Cli) -> None:
    for arguments in (
        ["fly"],
        ["presets"],
        ["runs", "fly"],
        ["generate"],
        ["train", "--seed", "x"],
    ):
        code, out, err = cli(*arguments)
        assert (code, out) == (2, "")
        assert "usage: slm-tui" in err


def test_every_command_has_help(cli: Cli) -> None:
    for name in ("", *(name for name, _, _ in COMMANDS)):
        code, out, _ = cli(*name.split(), "--help")
        assert code == 0
        assert f"usage: slm-tui {name}".rstrip() in out


def test_the_help_of_the_program_has_a_line_for_each_command(cli: Cli) -> None:
    _, out, _ = cli("--help")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for name, _, help in COMMANDS:
        assert f"{name} {help}" in lines


@pytest.mark.parametrize(
    "words",
    [["train"], ["presets", "show"], ["data", "prepare"], ["data", "stats"], ["data", "sample"],
     ["bench"]],
)  # fmt: skip
def test_set_works_the_same_everywhere(cli: Cli, words: list[str]) -> None:
    _, out, _ = cli(*words, "--help")
    assert "--set PATH=VALUE" in out
    assert "change one setting, e.g. model.n_layer=6; repeat to change more" in " ".join(
        out.split()
    )


@pytest.mark.parametrize(
    "words",
    [
        ["train", "x", "--seed", "{}"],
        ["train", "--resume", "x", "--steps", "{}"],
        ["evaluate", "x", "--documents", "{}"],
        ["generate", "x", "--max-tokens", "{}"],
        ["data", "sample", "x", "--count", "{}"],
    ],
)
def test_whole_numbers_are_accepted_as_in_the_app(cli: Cli, words: list[str]) -> None:
    def parsed(text: str) -> int:
        values = vars(_parser().parse_args([one.format(text) for one in words]))
        return int(values[words[-2].removeprefix("--").replace("-", "_")])

    assert parsed("1,000") == parsed("1_000") == parsed("1e3") == parsed("1000") == 1000
    code, _, err = cli(*(one.format("1,0") for one in words))
    assert code == 2
    assert "'1,0' is not a whole number, such as 500 or 1,000" in err


def test_the_app_needs_a_terminal(cli: Cli) -> None:
    assert_one_line(cli(), "the app needs a terminal", "--help")


def test_debug_shows_a_traceback(cli: Cli) -> None:
    code, _, err = cli("--debug", "presets", "show", "nothing-like-it")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("slm-tui: there is no preset")


def test_debug_shows_the_traceback_of_a_failed_training(cli: Cli, file: str) -> None:
    import logging

    try:
        options = ["--set", "data.kind=file", "--set", "data.path=/nowhere"]
        done = limits.run(
            [sys.executable, "-m", "slm_tui", "--debug", "train", file, *options],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        logging.getLogger("slm_tui").setLevel(logging.NOTSET)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "CorpusError" in done.stderr


def test_a_bug_is_one_line_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(library, "entries", broken)
    assert_one_line(cli("presets", "list"), "ZeroDivisionError: a bug")


# Presets.


def test_presets_are_listed(cli: Cli) -> None:
    code, out, _ = cli("presets", "list")
    assert code == 0
    for name in ("stories-tiny", "educational-xlarge", "shakespeare-gpt2"):
        assert name in out
    _, out, _ = cli("presets", "list", "--json")
    names = [one["name"] for one in objects(out)]
    assert names == [entry.name for entry in library.entries()]


def test_a_preset_is_shown_with_its_budget(cli: Cli) -> None:
    code, out, _ = cli("presets", "show", "stories-tiny", "--set", "model.n_layer=5")
    assert code == 0
    for text in ("parameters", "tokens per step", "epochs", "[model]", "model.n_layer", "compute-"):
        assert text in out
    line = next(line for line in out.splitlines() if line.startswith("model.n_layer"))
    assert line.split()[1] == "5"


def test_a_preset_shown_as_toml_can_be_checked(cli: Cli, tmp_path: Path) -> None:
    _, out, _ = cli("presets", "show", "stories-tiny", "--toml")
    path = tmp_path / "shown.toml"
    path.write_text(out)
    code, out, _ = cli("presets", "check", str(path))
    assert (code, out) == (0, f"{path} is valid: stories-tiny\n")


def test_an_invalid_file_is_one_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('name = "x"\n[model]\nn_head = 5\n')
    assert_one_line(cli("presets", "check", str(path)), "not divisible by 5; try 4 or 8")
    path.write_text('name = "x"\n[model]\nkind = "hnet"\nd_model = [96, 64]\n')
    assert_one_line(cli("presets", "check", str(path)), "must not shrink inwards; try [64, 96]")


def test_the_schema_of_presets_is_printed_as_json(cli: Cli) -> None:
    code, out, err = cli("presets", "schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)
    assert schema == preset_schema()
    assert set(schema["properties"]) == {"schema", *Preset.model_fields}


@pytest.mark.parametrize("command", [("train",), ("presets", "show")])
def test_an_unknown_family_gets_a_trainable_one_as_suggestion(
    cli: Cli, command: tuple[str, ...]
) -> None:
    done = cli(*command, "stories-tiny", "--set", "model.kind=mamba")
    assert_one_line(done, "model.kind: unknown kind 'mamba'; try gpt, hgrn or hnet")


def test_a_preset_is_copied(cli: Cli) -> None:
    code, out, _ = cli("presets", "copy", "stories-tiny", "mine")
    assert code == 0
    assert Path(out.removeprefix("saved ").strip()).is_file()
    assert "mine" in cli("presets", "list")[1]
    assert_one_line(cli("presets", "copy", "stories-tiny", "mine"), "already exists")
    assert_one_line(cli("presets", "copy", "stories-tiny", "../mine"), "cannot be used")


def test_an_unknown_preset_gets_a_suggestion(cli: Cli) -> None:
    for arguments in (["train", "storys-tiny"], ["presets", "show", "storys-tiny"]):
        assert_one_line(cli(*arguments), "did you mean stories-tiny")
    assert store.all_runs() == []


# Training.


def test_json_is_one_object_per_line_and_nothing_else(cli: Cli, file: str) -> None:
    code, out, err = cli("train", file, "--json", "--seed", "5", "--name", "mine")
    assert (code, err) == (0, "")
    result = objects(out)
    assert result[0]["run"].startswith("mine-")
    assert Path(result[0]["path"]).is_dir()
    kinds = [one["event"] for one in result]
    assert kinds[:2] == ["run", "started"]
    assert kinds[-1] == "finished"
    assert [one["step"] for one in result if one["event"] == "stepped"] == [1, 2, 3, 4, 5, 6]
    assert {"evaluated", "sampled", "saved"} <= set(kinds)
    assert store.find("mine").preset().training.seed == 5


def test_without_json_it_prints_progress_lines(cli: Cli, file: str) -> None:
    code, out, err = cli("train", file, "--device", "cpu")
    assert (code, err) == (0, "")
    assert "parameters" in out
    assert "bits per byte" in out
    assert "saved step-000006" in out
    assert "slm-tui generate" in out
    assert "\r" not in out


def test_settings_are_changed_on_the_command_line(cli: Cli, file: str) -> None:
    code, out, _ = cli("train", file, "--json", "--set", "training.max_steps=3")
    assert code == 0
    assert objects(out)[-1]["step"] == 3
    assert_one_line(cli("train", file, "--set", "model.n_head=5"), "try 4 or 8")
    assert_one_line(cli("train", file, "--set", "model.n_heads=4"), "did you mean model.n_head")
    assert_one_line(cli("train", file, "--set", "model.n_head"), "is not PATH=VALUE")


def test_a_run_is_resumed_with_more_steps(cli: Cli, trained: str) -> None:
    assert_one_line(cli("train", "--resume", trained), "is finished", "more steps")
    code, out, _ = cli("train", "--resume", "last", "--steps", "2", "--json")
    assert code == 0
    assert [one["step"] for one in objects(out) if one["event"] == "stepped"] == [7, 8]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["stories-tiny"], "a run keeps its own preset"),
        (["--set", "a=1"], "there is no setting 'a'"),
        (["--seed", "1"], "training.seed cannot change when a run is resumed"),
        (["--name", "x"], "--name is only for a new run"),
        (["--set", "model.n_layer=9"], "model.n_layer cannot change"),
    ],
)
def test_a_resumed_run_keeps_its_preset(cli: Cli, trained: str, more: list[str], says: str) -> None:
    assert_one_line(cli("train", "--resume", trained, *more), says)


def test_steps_without_a_resume_are_refused(cli: Cli, trained: str, file: str) -> None:
    assert_one_line(cli("train", file, "--steps", "5"), "--resume", "training.max_steps")
    assert_one_line(cli("train", "--resume", trained, "--steps", "-5"), "at least 1")
    assert_one_line(
        cli("train", "--resume", trained, "--steps", "10,000,001"), "at most 10,000,000"
    )
    assert_one_line(cli("train"), "nothing to train", "stories-tiny")
    assert_one_line(cli("train", "--resume", "nothing-like-it"), "there is no run")


def test_a_fork_starts_from_the_weights_of_a_checkpoint(cli: Cli, trained: str) -> None:
    code, out, _ = cli("train", "--from", f"{trained}@last", "--name", "fork", "--json")
    assert code == 0
    assert store.find("fork").info().parent == f"{trained}@step-000006"
    assert objects(out)[-1]["reason"] == "done"


def test_a_missing_device_is_one_line(cli: Cli, file: str) -> None:
    for device in ("abacus", "cuda:99"):
        code, _, err = cli("train", file, "--json", "--device", device)
        assert code == 1
        assert err.count("\n") == 1
        assert "training.device" in err


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, "cannot be read"),
        (b"", "has no text"),
        (b"caf\xe9", "is not UTF-8"),
        (b"\x7fELF\x00\x00\x01", "is not text"),
        (b"short", "tokens"),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_source_that_cannot_be_trained_on_is_one_clear_line(
    cli: Cli, file: str, tmp_path: Path, raw: bytes | None, says: str, as_json: bool
) -> None:
    text = tmp_path / "text.bin"
    if raw is not None:
        text.write_bytes(raw)
    options = ["--json"] if as_json else []
    code, out, err = cli(
        "train", file, "--set", "data.kind=file", "--set", f"data.path={text}", *options
    )
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("slm-tui: ")
    assert says in err
    assert "Traceback" not in out + err
    if as_json:
        assert objects(out)[-1]["event"] == "failed"


# Runs.


def test_runs_are_listed_and_shown(cli: Cli, trained: str) -> None:
    assert trained in cli("runs", "list")[1]
    (listed,) = objects(cli("runs", "list", "--json")[1])
    assert (listed["run"], listed["state"], listed["step"]) == (trained, "done", 6)
    code, out, _ = cli("runs", "show", "last")
    assert code == 0
    assert "step-000006" in out
    assert "validation loss" in out
    (details,) = objects(cli("runs", "show", trained, "--json")[1])
    assert details["last"] == "step-000006"
    assert "step-000006" in details["checkpoints"]


def test_without_runs_there_is_a_hint(cli: Cli) -> None:
    assert "slm-tui train" in cli("runs", "list")[1]
    assert cli("runs", "list", "--json") == (0, "", "")
    assert_one_line(cli("runs", "show", "last"), "no runs yet")


def test_a_run_is_renamed_deleted_and_restored(cli: Cli, trained: str) -> None:
    assert cli("runs", "rename", trained, "better")[0] == 0
    assert store.find("better").id == trained
    assert_one_line(cli("runs", "rename", trained, "../x"), "cannot be used")
    code, out, _ = cli("runs", "delete", "better")
    assert code == 0
    assert f"runs restore {trained}" in out
    assert store.all_runs() == []
    assert cli("runs", "restore", trained)[1] == f"restored {trained}\n"
    assert store.find(trained).info().name == "better"
    assert_one_line(cli("runs", "restore", trained), "is not deleted")
    assert_one_line(cli("runs", "delete", "x" * 300), "there is no run")


# Doctor.


def test_the_doctor_reports_what_works(cli: Cli) -> None:
    code, out, _ = cli("doctor")
    assert code == 0
    for text in ("python", "torch", "device", "CPU", "data directory", "terminal"):
        assert text in out
    (result,) = objects(cli("doctor", "--json")[1])
    assert result["slm-tui"] == {"ok": True, "value": __version__}
    assert result["torch"]["ok"]


def test_the_doctor_reports_an_unwritable_directory(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr(os, "access", lambda *arguments: False)
    code, out, _ = cli("doctor")
    assert code == 1
    assert "not writable: set SLM_TUI_HOME" in out
