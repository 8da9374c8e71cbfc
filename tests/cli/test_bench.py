"""`slm-tui bench` on the command line."""

import json
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui.cli import _parser, main
from slm_tui.commands.progress_line import ProgressLine
from tests.conftest import make_tiny


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(make_tiny().to_toml())
    return str(path)


def test_it_prints_a_table_and_a_line_to_paste(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", file, "--seconds", "0.5", "--set", "model.n_layer=2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "parameters" in lines[0]
    assert "GFLOP/s" in lines[1]
    assert any(line.startswith("*") for line in lines)
    words = shlex.split(lines[-1])
    assert words[:5] == ["slm-tui", "train", file, "--set", "model.n_layer=2"]
    # The printed command can be pasted.
    assert _parser().parse_args(words[1:]).assignments[0] == "model.n_layer=2"
    assert err == ""


def test_json_output_is_one_object(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", file, "--seconds", "0.5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["best"] in result["rows"]
    assert {"threads", "micro_batch", "tokens_per_second", "utilisation", "memory"} <= set(
        result["best"]
    )
    assert result["command"].startswith("slm-tui train ")
    assert result["interrupted"] is False


def test_ctrl_c_prints_the_results_so_far(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[str] = []

    def press(self: object, describe: Callable[[int], str], stage: str = "") -> None:
        if re.match(r"measuring \d", describe(80)) and not pressed:
            pressed.append(stage)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressLine, "show", press)
    assert main(["bench", file, "--seconds", "600"]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert "note: stopped before the end" in lines
    assert lines[-1].startswith("slm-tui train")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds must be more than 0"),
        (["--set", "training.device=cuda:99"], "no cuda device"),
        (["--set", "model.n_head=7"], "n_head"),
    ],
)
def test_an_impossible_measurement_is_explained(
    file: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    import torch

    if "cuda" in arguments[-1] and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert main(["bench", file, *arguments]) == 1
    assert message in capsys.readouterr().err
