"""Fixtures of the command line tests: the command, and a run trained with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.config.preset import Preset

Make = Callable[..., Preset]
Capture = pytest.CaptureFixture[str]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; returns its exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture
def file(tiny: Make, tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(tiny(training__max_steps=6).to_toml())
    return str(path)


@pytest.fixture
def trained(cli: Cli, file: str) -> str:
    """The id of a run that was trained to the end."""
    code, out, _ = cli("train", file, "--json")
    assert code == 0
    return str(json.loads(out.splitlines()[0])["run"])
