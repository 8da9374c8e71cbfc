"""A run directory from somebody else: whatever is in place of a file, nothing outside the
directory is read, written or removed, and nothing hangs."""

import contextlib
import hashlib
import io
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.cli import main
from slm_tui.errors import SlmTuiError
from slm_tui.live import detach
from slm_tui.runs import conversation, evidence, results, store
from slm_tui.runs.conversation import Exchange
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from tests import extent, limits
from tests.released.test_released import HERE, VERSIONS
from tests.training.forks import Fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links, pipes and sockets")
STEP = "checkpoints/step-000600"
FILES = [
    "preset.toml",
    "run.json",
    "live.json",
    "training_log.csv",
    "eval_log.csv",
    "samples.jsonl",
    "events.jsonl",
    "chat.jsonl",
    "console.log",
    ".lock",
    "control.sock",
    "results.json",
    "training_losses.png",
    "evaluation_results.json",
    "generations.txt",
    "experiment_summary.json",
    "tensorboard",
    "tensorboard/progress.json",
    "wandb",
    "wandb/id",
    "checkpoints",
    "checkpoints/best",
    "checkpoints/last",
    STEP,
    f"{STEP}/model.safetensors",
    f"{STEP}/optimizer.safetensors",
    f"{STEP}/state.json",
    f"{STEP}/tokenizer.json",
    f"{STEP}/manifest.json",
    f"{STEP}/keep",
]
Place = Callable[[Path, Path], None]


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "profile")


def _link_to_directory(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def _link_to_other_run(path: Path, outside: Path) -> None:
    name = path.relative_to(find_run(path).path)
    path.symlink_to(outside / "run" / name)


def _dangling(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "not-there")


def _pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def _device(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def _directory(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("mine")


def _socket(path: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # socket addresses have a limited length
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


# Files that nothing else depends on: all of them at once.
TOGETHER = (
    "live.json",
    "chat.jsonl",
    "console.log",
    "results.json",
    "training_losses.png",
    "evaluation_results.json",
    "generations.txt",
    "experiment_summary.json",
    "tensorboard/progress.json",
    "wandb/id",
    f"{STEP}/keep",
)
ALONE = [(name,) for name in FILES if name not in TOGETHER]
OTHERS: list[Place] = [_link_to_directory, _link_to_other_run, _dangling, _device, _socket]
# The sample: one kind for each second file, and all of them together.
KINDS: list[Place] = [_link, _pipe, _link, _directory]
CASES: list[tuple[tuple[str, ...], Place]] = [
    *(
        (names, place)
        for at, names in enumerate(ALONE)
        if extent.ALL or at % 2 == 0
        for place in ((_link, _pipe, _directory) if extent.ALL else (KINDS[at // 2 % 4],))
    ),
    *((TOGETHER, place) for place in (_link, _pipe, _directory)),
    *((names, OTHERS[at % len(OTHERS)]) for at, names in enumerate(ALONE) if extent.ALL),
    *((TOGETHER, place) for place in (OTHERS if extent.ALL else OTHERS[:2])),
    ((STEP,), _link_to_other_run),
    (("checkpoints",), _link_to_other_run),
    (("run.json",), _device),
    (("training_log.csv",), _device),
    (("control.sock",), _socket),
    ((".lock",), _link_to_other_run),
]


def find_run(path: Path) -> Run:
    return next(Run(one) for one in path.parents if one.parent == paths.runs_dir())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a complete run and its corpus."""
    home = tmp_path_factory.mktemp("template")
    runs = home / "data" / "runs"
    source = next((HERE / VERSIONS[0] / "runs").glob("stories-*"))
    shutil.copytree(source, runs / "it", symlinks=True)
    before = os.environ.get("SLM_TUI_HOME")
    os.environ["SLM_TUI_HOME"] = str(home)
    try:
        from slm_tui.corpus.prepare import prepare

        prepare(Run(runs / "it").preset())
    finally:
        os.environ.pop("SLM_TUI_HOME")
        if before is not None:
            os.environ["SLM_TUI_HOME"] = before
    return home


def contents(directory: Path) -> dict[str, str]:
    """Names and contents below a directory that must not change."""
    result = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            result[name] = os.readlink(path)
        elif path.is_file():
            result[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            result[name] = "directory"
    return result


def use(home: str) -> list[tuple[str, int, str]]:
    """Every command applied to the run `it`; what each printed."""
    run = Run(Path(home) / "data" / "runs" / "it")
    outputs = []

    def call(*words: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(list(words))
            except SystemExit as end:
                code = int(end.code or 0)
        outputs.append((" ".join(words), code, out.getvalue() + err.getvalue()))

    call("runs", "list")
    call("runs", "show", "it")
    call("runs", "show", "it", "--json")
    call("runs", "steer", "it", "pause")
    call("generate", "it@best", "--prompt", "a", "--max-tokens", "2")
    call("generate", "it@600", "--prompt", "a", "--max-tokens", "2")
    call("evaluate", "it", "--documents", "2", "--samples", "1", "--max-tokens", "2")
    look_as_the_app_does(run)
    log = ["--set", "training.log_to=tensorboard"]
    call("train", "--resume", "it", "--steps", "2", *log)
    call("train", "--resume", "it")
    call("train", "--from", "it", "--name", "fork", "--set", "training.max_steps=1")
    detached = os.fork()
    if not detached:
        detach.leave_terminal(run.path / "console.log")
        print("written without a terminal", flush=True)
        os._exit(0)
    limits.reap(detached)
    call("runs", "rename", "it", "other-name")
    call("runs", "delete", "it")
    call("runs", "restore", "it")
    call("runs", "list", "--json")
    return outputs


def look_as_the_app_does(run: Run) -> None:
    from slm_tui.live.run_scanner import RunScanner

    reader = RunScanner()
    reader.look([run.path])
    reader.read()
    assert run.path in [line.path for line in reader.snapshot.lines]
    curves = Curves(run)
    curves.read()
    with contextlib.suppress(SlmTuiError):
        evidence.of_run(run)
    conversation.read(run.path)
    with contextlib.suppress(SlmTuiError):
        conversation.append(run.path, Exchange("a", "b", 1, 1, "max tokens"))
    results.catch_up([run])


def prepared(home: Path, template: Path, outside: Path) -> Path:
    shutil.copytree(template, home, symlinks=True, dirs_exist_ok=True)
    runs = paths.runs_dir()
    shutil.copytree(runs / "it", outside / "run", symlinks=True)
    shutil.copytree(runs / "it", runs / "good", symlinks=True)
    (outside / "profile").write_text("echo mine\n")
    return runs / "it"


def name_of(case: object) -> str:
    if isinstance(case, tuple):
        return case[0] if len(case) == 1 else "the rest"
    return case.__name__[1:]  # type: ignore[attr-defined]


@extent.sample(9)
@pytest.mark.parametrize(("names", "place"), CASES, ids=name_of)
def test_anything_in_place_of_a_file_is_harmless(
    names: tuple[str, ...],
    place: Place,
    home: Path,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    run = prepared(home, template, outside)
    for name in names:
        path = run / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        place(path, outside)
    before, good = contents(outside), contents(run.with_name("good"))
    outputs = Fork(use, home, str(home)).result()
    assert contents(outside) == before
    # `runs list` may write the summary of a run that lacks it, and looks at locks.
    assert contents(run.with_name("good")) == good
    for words, code, text in outputs:
        assert "Traceback" not in text, (words, text)
        assert code in (0, 1), (words, text)
        # An unexpected error begins with the name of its class.
        assert "Error: " not in text.replace("CheckpointError: ", ""), (words, text)
    listed = next(text for words, _, text in outputs if words == "runs list")
    assert "good" in listed
    assert "it " in listed


ROOTS = {"run.json", "live.json", "preset.toml", "events.jsonl", "samples.jsonl", "chat.jsonl"}
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "zeros": b"\0" * 4096,
    "not UTF-8": b"\xff\xfe\x00",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a list": b"[]\n",
    "null": b"null\n",
    "a number of many digits": b"9" * 10_000,
    "infinite": b'{"step": 1e400, "created": 1e400, "heartbeat": NaN, "timestamp": 1e400}\n',
    "other types": b'{"state": [], "step": "7", "facts": 3, "name": null, "pid": {}, "text": 1}\n',
    "negative": b'{"step": -5, "max_steps": -1, "best_step": -9, "pid": -1, "tokens": -1}\n',
    "half a pair": b'{"name": "\\ud800", "error": "\\udfff", "prompt": "\\ud83d", "text": "x"}\n',
    "control characters": b'{"name": "\x1b[2J", "state": "\\u001b]52;c;b3du\\u0007"}\n',
    "a long line": b'{"event": "' + b"x" * 3_000_000 + b'"}\n',
    "many lines": b"{}\n" * extent.of(10_000, 200_000),
}


@pytest.mark.parametrize(
    "name",
    [
        *sorted(ROOTS),
        "training_log.csv",
        "eval_log.csv",
        "evaluation_results.json",
        "tensorboard/progress.json",
    ],
)
def test_any_file_content_is_harmless(
    name: str, home: Path, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = prepared(home, template, tmp_path_factory.mktemp("outside"))
    (run / name).parent.mkdir(exist_ok=True)
    for content, data in HOSTILE.items():
        (run / name).write_bytes(data)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            for words in (["runs", "list"], ["runs", "show", "it", "--json"]):
                assert main(words) in (0, 1), content
            look_as_the_app_does(Run(run))
        printed = out.getvalue() + err.getvalue()
        assert "good" in printed, content
        assert "Error: " not in printed, content
        assert "\x1b" not in printed, content


def test_a_gigabyte_file_does_not_take_a_gigabyte_of_memory(
    home: Path, template: Path, tmp_path: Path
) -> None:
    """Sparse files: as small on disk as they are large to a reader."""
    run = prepared(home, template, tmp_path / "outside-of-it")
    import tracemalloc

    for name in ("run.json", "live.json", "preset.toml", "evaluation_results.json", "chat.jsonl"):
        (run / name).unlink(missing_ok=True)
        with (run / name).open("wb") as file:
            file.truncate(2**30)
    for name in ("samples.jsonl", "events.jsonl", "eval_log.csv", "training_log.csv"):
        with (run / name).open("r+b") as file:
            file.truncate(2**30)
    tracemalloc.start()
    for words in (["runs", "list"], ["runs", "show", "it"]):
        assert main(words) in (0, 1)
    look_as_the_app_does(Run(run))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000_000
    assert Run(run).id in [one.id for one in store.all_runs()]


def test_a_run_record_is_rebuilt_from_the_newest_checkpoint(
    home: Path, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Emptied, truncated by a power failure, or lost: complete checkpoints stay usable."""
    run = Run(prepared(home, template, tmp_path_factory.mktemp("outside")))
    whole = run.info()
    text = (run.path / "run.json").read_text()
    for torn in (b"", b"\0" * 500, text[:200].encode(), None):
        (run.path / "run.json").unlink()
        if torn is not None:
            (run.path / "run.json").write_bytes(torn)
        info = run.info()
        assert (info.state, info.step, info.max_steps) == ("interrupted", 600, 600)
        assert "rebuilt from the checkpoint at step 600" in info.error
        assert info.best_loss == pytest.approx(whole.best_loss)
        assert store.find("it") == run
        assert run in store.all_runs()
        (run.path / "run.json").write_text(text)
    (run.path / "run.json").write_bytes(b"")
    assert main(["train", "--resume", "it", "--steps", "3"]) == 0
    assert (run.info().state, run.info().step, run.info().error) == ("done", 603, "")


def test_a_run_without_record_or_checkpoints_is_listed_as_damaged(
    home: Path, template: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Any
) -> None:
    run = Run(prepared(home, template, tmp_path_factory.mktemp("outside")))
    shutil.rmtree(run.checkpoints)
    (run.path / "run.json").write_bytes(b"")
    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("it "))
    assert "damaged" in line
    assert "run.json is empty" in line
    assert main(["runs", "delete", "it"]) == 0
    assert not run.path.exists()


def test_new_files_have_the_permissions_of_the_umask(
    home: Path, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same as for other files of the user: neither wider nor narrower."""
    prepared(home, template, tmp_path_factory.mktemp("outside"))
    shutil.rmtree(paths.runs_dir() / "it")
    preset = (HERE / VERSIONS[0]).glob("runs/stories-*/preset.toml")
    before = os.umask(0o027)
    try:
        small = ["--set", "training.max_steps=2", "--set", "training.log_to=tensorboard"]
        assert main(["train", str(next(preset)), "--name", "new", *small]) == 0
        assert main(["evaluate", "new", "--documents", "2", "--samples", "0"]) == 0
    finally:
        os.umask(before)
    run = store.find("new")
    for path in [run.path, *run.path.rglob("*")]:
        if not path.is_symlink():
            expected = 0o750 if path.is_dir() else 0o640
            assert path.stat().st_mode & 0o777 == expected, path


def test_deleting_and_restoring_moves_links_and_follows_none(
    home: Path, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    run = Run(prepared(home, template, outside))
    (run.path / "notes").symlink_to(outside)
    before = contents(outside)
    store.delete(run)
    back = store.restore("it")
    assert os.readlink(back.path / "notes") == str(outside)
    assert contents(outside) == before


def test_a_corpus_name_cannot_lead_elsewhere(home: Path, template: Path, tmp_path: Path) -> None:
    """The fingerprint in a state becomes a directory name."""
    from slm_tui.corpus.prepare import reopen

    shutil.copytree(template, home, symlinks=True, dirs_exist_ok=True)
    (own,) = paths.corpora_dir().iterdir()
    assert reopen(own.name) is not None
    shutil.copytree(own, tmp_path / "elsewhere")
    for name in (f"../corpora/{own.name}", str(tmp_path / "elsewhere"), "..", "", "."):
        assert reopen(name) is None
