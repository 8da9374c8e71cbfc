"""Output of commands: safe for terminals, and in any encoding or pipe."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.cli import main
from slm_tui.commands import output
from slm_tui.runs import store
from tests import extent, limits
from tests.cli.conftest import Cli
from tests.training.forks import Fork

ROOT = Path(__file__).parents[2]
HOSTILE = "evil\x1b]52;c;b3duZWQ=\x07\x1b[2J\x9b31m\u202e"


def program(*words: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, **options.pop("environment", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "slm_tui", *words]
    options = {"capture_output": True, **options}
    return limits.run(command, env=environment, cwd=ROOT, check=False, **options)


def assert_safe(text: str) -> None:
    """Assert that the output has nothing that a terminal would interpret."""
    assert not [char for char in text if (ord(char) < 32 and char not in "\n\t")]
    assert not [char for char in text if 0x7F <= ord(char) <= 0x9F or char == "\u202e"]


@pytest.fixture
def hostile(trained: str) -> str:
    """A run whose directory, name, preset, parent and error come from somebody else."""
    run = store.find(trained)
    values = json.loads((run.path / "run.json").read_text())
    values |= {"preset": HOSTILE, "parent": HOSTILE, "error": HOSTILE, "name": HOSTILE}
    values["facts"] |= {"device": HOSTILE}
    (run.path / "run.json").write_text(json.dumps(values))
    path = run.path.with_name(HOSTILE.replace("/", "-"))
    run.path.rename(path)
    odd = paths.runs_dir() / f"damaged-{HOSTILE}"
    odd.mkdir()
    (odd / "run.json").write_text(json.dumps({"step": HOSTILE}))
    return path.name


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "list"],
        ["runs", "list", "--json"],
        ["runs", "show", "RUN"],
        ["runs", "show", "RUN", "--json"],
        ["runs", "rename", "RUN", HOSTILE],
        ["runs", "steer", "RUN", "pause"],
        ["runs", "follow", "RUN"],
        ["runs", "delete", "RUN"],
        ["runs", "show", HOSTILE + "!"],
        ["generate", "RUN", "--max-tokens", "2", "--prompt", "a"],
        ["generate", "RUN@9999"],
        ["evaluate", "RUN", "--samples", "0"],
        ["train", "--resume", "RUN"],
        ["train", "--resume", "RUN", "--steps", "2"],
        ["train", "--from", "RUN@best", "--set", f"name={HOSTILE}"],
        ["train", HOSTILE],
        ["presets", "show", HOSTILE],
        ["data", "stats", HOSTILE],
        ["fly", HOSTILE],
        ["runs", "show", "RUN", HOSTILE],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode()[:40],
)
def test_names_of_runs_and_files_are_printed_as_symbols(
    hostile: str, cli: Cli, words: list[str]
) -> None:
    path = str(paths.runs_dir() / hostile)
    words = [word.replace("RUN@", f"{hostile}@") for word in words]
    _, out, err = cli(*(path if word == "RUN" else word for word in words))
    assert out + err
    # Generated text goes to a pipe unchanged: files must contain the exact text.
    assert_safe(err if words[0] == "generate" else out + err)


@extent.sample(1)
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8", "cp437"])
def test_every_encoding_of_standard_output_works(encoding: str, file: str, home: Path) -> None:
    commands = [
        ["train", file, "--name", "it"],
        ["runs", "show", "it"],
        ["data", "stats", "no-such-fil\N{LATIN SMALL LETTER E WITH ACUTE}-\u4e2d.txt"],
        ["--help"],
        ["runs", "list"],
        ["presets", "list"],
        ["presets", "show", "stories-tiny"],
        ["doctor"],
        ["data", "stats", file],
        ["generate", "it", "--max-tokens", "5"],
        ["evaluate", "it", "--samples", "1", "--max-tokens", "3"],
    ]
    for words, code, out, err in Fork(all_printed, home, encoding, commands).result():
        assert "Traceback" not in err, err
        assert "UnicodeEncodeError" not in err + out
        assert code == (1 if words[-1].startswith("no-such") else 0), (words, err)


def all_printed(encoding: str, commands: list[list[str]]) -> list[tuple[list[str], int, str, str]]:
    """What commands print to streams that can hold only some characters."""
    results = []
    for words in commands:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        sys.stdout, sys.stderr = streams
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        texts = []
        for stream in streams:
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
        results.append((words, code, *texts))
    return results


@extent.only_in_all
def test_a_program_that_starts_with_a_limited_encoding_prints(file: str) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for words in (["train", file, "--name", "it"], ["presets", "list"]):
        done = program(*words, environment=environment)
        assert done.returncode == 0, done.stderr
        done.stdout.decode("ascii")


def test_json_is_json_in_every_encoding(file: str) -> None:
    environment = {"PYTHONIOENCODING": "latin-1"}
    prompt = "caf\u00e9 \u4e2d\u200c \U0001f600"
    for words in (
        ["train", file, "--name", "it", "--json", "--set", f'sampling.prompts=["{prompt}"]'],
        ["generate", "it", "--prompt", prompt, "--max-tokens", "3", "--json"],
        *([["runs", "show", "it", "--json"], ["presets", "list", "--json"]] * extent.ALL),
    ):
        done = program(*words, environment=environment)
        assert done.returncode == 0, done.stderr
        values = [json.loads(line) for line in done.stdout.decode("latin-1").splitlines()]
        if words[0] == "generate":
            assert values[0]["prompt"] == prompt
        assert values


def test_our_symbols_have_ascii_replacements() -> None:
    shown = "▲ 3 → 4 … ★ ✓ █░ ≈ ␛[2J \u4e2d"
    plain = "! 3 -> 4 ... * + #. ~ ^[[2J ?"
    assert shown.encode("ascii", output._HANDLER).decode() == plain


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param("0<&-", marks=extent.only_in_all),
        pytest.param("1>&-", marks=extent.only_in_all),
        pytest.param("2>&-", marks=extent.only_in_all),
        pytest.param("1>&- 2>&-", marks=extent.only_in_all),
        "0<&- 1>&- 2>&-",
    ],
)
def test_closed_descriptors_do_not_end_a_command(closed: str, file: str, home: Path) -> None:
    command = f"{sys.executable} -m slm_tui train {file} --name it {closed}"
    done = limits.run(["sh", "-c", command], capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    run = store.find("it")
    assert run.info().state == "done"
    # Nothing was printed into a file that reused a closed descriptor.
    for path in run.path.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".csv", ".toml"}:
            assert b"saved step-" not in path.read_bytes(), path


def test_a_full_disk_behind_standard_output_does_not_end_training(file: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        done = program("train", file, "--name", "it", stdout=full, stderr=subprocess.PIPE,
                       capture_output=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"output is lost, training continues" in done.stderr
    assert store.find("it").info().state == "done"


@extent.only_in_all
def test_a_closed_pipe_saves_cleanly_and_says_so(file: str) -> None:
    command = f"{sys.executable} -m slm_tui train {file} --name it | head -n 1"
    done = limits.run(["sh", "-c", command], capture_output=True, check=False, cwd=ROOT)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    run = store.find("it")
    assert run.info().state in ("done", "stopped")
    if run.info().state == "stopped":
        assert f"slm-tui train --resume {run.id}".encode() in done.stderr
    command = f"{sys.executable} -m slm_tui presets list | head -n 1"
    done = limits.run(["sh", "-c", command], capture_output=True, check=False, cwd=ROOT)
    assert done.stderr == b""


@pytest.mark.parametrize(
    "terminal", ["dumb", pytest.param("", marks=extent.only_in_all), "xterm-256color"]
)
def test_a_line_is_rewritten_only_on_a_terminal(terminal: str, file: str) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": terminal}
    command = [sys.executable, "-m", "slm_tui", "train", file, "--name", "it"]
    process = limits.start(
        command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment, cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while data := limits.read(ours):
            shown += data
    except OSError:
        pass  # the terminal was closed
    assert process.wait(limits.LIMIT) == 0
    os.close(ours)
    moved = b"\r" in shown.replace(b"\r\n", b"")
    assert moved == terminal.startswith("xterm")


def test_the_app_on_a_dumb_terminal_is_one_error_line(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "slm_tui"]
    environment = {**os.environ, "TERM": "dumb"}
    done = limits.run(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, check=False,
        env=environment, cwd=ROOT,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 1
    assert done.stderr.startswith(b"slm-tui: the app does not work in this terminal: TERM is dumb")


NOBODY = """
import pwd, sys
def unknown(_):
    raise KeyError("no such user")
pwd.getpwuid = unknown
from slm_tui.cli import main
sys.exit(main(sys.argv[1:]))
"""


@extent.sample(4)
@pytest.mark.parametrize(
    ("home", "words"),
    [
        (None, "runs list"),
        ("", "train stories-tiny"),
        (None, "presets list"),
        ("", "doctor"),
        pytest.param("", "runs list", marks=extent.only_in_all),
        pytest.param(None, "train stories-tiny", marks=extent.only_in_all),
        pytest.param("", "presets list", marks=extent.only_in_all),
        pytest.param(None, "doctor", marks=extent.only_in_all),
    ],
)
def test_a_missing_home_is_one_error_line(tmp_path: Path, home: str | None, words: str) -> None:
    """A user without an entry in the password database, as in many containers."""
    dropped = {"HOME", "SLM_TUI_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if home is None else {"HOME": home})
    command = [sys.executable, "-c", NOBODY, *words.split()]
    done = limits.run(command, capture_output=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert b"Traceback" not in done.stderr
    assert b"set HOME, or set SLM_TUI_HOME" in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


def test_everything_printed_goes_through_one_module() -> None:
    """`print` in another module of the command line would bypass it."""
    allowed = {"output.py", "app.py"}
    for path in (ROOT / "slm_tui" / "commands").glob("*.py"):
        text = path.read_text()
        if path.name not in allowed:
            assert "print(" not in text.replace("_print(", ""), path.name
            assert "stdout.write" not in text, path.name
            assert "stderr.write" not in text, path.name
