"""Remote datasets: downloads that can be cancelled, and one-line errors without a network."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.progress import Cancelled, Progress
from slm_tui.errors import CorpusError
from tests import extent, limits
from tests.corpus.helpers import readers
from tests.corpus.web import Server, serving

Make = Callable[..., Preset]
pytestmark = [pytest.mark.timeout(180)]
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
LINES = "".join(f"line number {number} of the text\n" for number in range(100_000))


@pytest.fixture(autouse=True)
def hf_cache(hf_home: Path) -> Path:
    return hf_home


def of(tiny: Make, dataset: str, **settings: Any) -> Preset:
    return tiny(data={"kind": "huggingface", "dataset": dataset, **settings})


def left_behind(hf_cache: Path) -> list[str]:
    """Partial corpora, partial downloads, processes."""
    corpora = paths.corpora_dir()
    making = [path.name for path in corpora.iterdir()] if corpora.exists() else []
    halves = [path.name for path in hf_cache.rglob("*.incomplete")]
    return making + halves + [f"process {one}" for one in readers()]


# Without a network.


@extent.sample(2)
@pytest.mark.timeout(60)
@pytest.mark.parametrize("dataset", ["somebody/some-texts", "tinystories", "wikitext-2", "squad"])
def test_without_a_network_the_error_says_what_works(
    dataset: str, tiny: Make, hf_cache: Path
) -> None:
    with pytest.raises(CorpusError) as caught:
        prepare(of(tiny, dataset))
    error = caught.value
    names = {"tinystories": "roneneldan/TinyStories", "wikitext-2": "Salesforce/wikitext"}
    assert f"the dataset {names.get(dataset, dataset)} is not on this machine" in error.what
    assert "the hub cannot be reached" in error.what
    assert str(hf_cache) in error.why
    assert "data.kind=stories" in error.remedy
    assert "\n" not in str(error)
    assert left_behind(hf_cache) == []


@pytest.mark.timeout(60)
def test_the_error_names_the_requested_cache_directory(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"would be cached in {tmp_path / 'elsewhere'}"):
        prepare(of(tiny, "somebody/some-texts", cache_dir=str(tmp_path / "elsewhere")))


@pytest.mark.timeout(60)
def test_an_unresponsive_address_is_reported_in_one_line(tiny: Make) -> None:
    with pytest.raises(CorpusError, match=r"http://127\.0\.0\.1:9/x\.txt.*cannot be reached"):
        prepare(of(tiny, "http://127.0.0.1:9/x.txt"))


@pytest.mark.timeout(60)
def test_offline_mode_does_not_wait_for_the_network(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address(""))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(CorpusError, match="the hub cannot be reached"):
            prepare(of(tiny, "somebody/some-texts"))


def test_a_dataset_missing_on_the_hub_is_reported(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address("").rstrip("/"))
        with pytest.raises(CorpusError) as caught:
            prepare(of(tiny, "somebody/some-texts"))
    assert "somebody/some-texts" in str(caught.value)
    assert "has no such dataset" in str(caught.value)


# With a network.


@extent.sample(1)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_text_at_a_url_is_one_document(tiny: Make, hf_cache: Path, streaming: bool) -> None:
    progress: list[Progress] = []
    with serving({"x.txt": LINES.encode()}) as server:
        preset = of(tiny, server.address("x.txt"), streaming=streaming)
        corpus = prepare(preset, progress=progress.append)
    text = corpus.tokenizer.decode_bytes(corpus.train).decode()
    assert LINES.startswith(text)
    assert {"opening the dataset", "reading"} <= {one.stage for one in progress}
    assert corpus.manifest["parts"]["train"]["documents"] == 1
    assert [name for name in left_behind(hf_cache) if name != corpus.directory.name] == []


@extent.sample(1)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_table_at_a_url_gives_one_document_per_row(tiny: Make, streaming: bool) -> None:
    rows = "".join(f'{{"text": "row number {number}"}}\n' for number in range(50))
    with serving({"x.jsonl": rows.encode()}) as server:
        corpus = prepare(of(tiny, server.address("x.jsonl"), streaming=streaming))
    assert corpus.manifest["parts"]["train"]["documents"] == 45


def test_downloaded_data_is_available_without_a_network(tiny: Make) -> None:
    with serving({"x.txt": LINES.encode()}) as server:
        address = server.address("x.txt")
        one = prepare(of(tiny, address))
    again = prepare(of(tiny, address, split={"validation": 0.3}))
    assert again.directory != one.directory
    assert again.tokenizer.decode_bytes(again.train[:100]) in LINES.encode()


def test_a_url_that_does_not_exist_is_reported_in_one_line(tiny: Make, hf_cache: Path) -> None:
    with serving({}) as server, pytest.raises(CorpusError) as caught:
        prepare(of(tiny, server.address("x.txt")))
    assert "x.txt" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_behind(hf_cache) == []


def test_a_download_reports_its_progress(tiny: Make) -> None:
    progress: list[Progress] = []
    with serving({"x.txt": LINES.encode()}, "x.txt") as server, ThreadPoolExecutor() as pool:
        done = pool.submit(prepare, of(tiny, server.address("x.txt")), progress=progress.append)
        assert server.waiting.wait(120)
        deadline = time.monotonic() + 60
        while not downloading(progress) and time.monotonic() < deadline:
            time.sleep(0.05)
        server.may_finish.set()
        done.result(120)
    assert downloading(progress)
    assert all(one.total == len(LINES) for one in downloading(progress))


def downloading(reports: list[Progress]) -> list[Progress]:
    return [one for one in reports if one.stage == "downloading"]


# Cancelled midway.


def in_the_middle(
    tiny: Make, end: Callable[[threading.Event], None], server: Server, **settings: Any
) -> None:
    """Prepare, and call `end` once half of the text has arrived."""
    cancel, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not server.waiting.wait(0.1):
            if over.is_set():
                return
        end(cancel)

    watcher = threading.Thread(target=watch)
    watcher.start()
    (name,) = server.files
    try:
        prepare(of(tiny, server.address(name), **settings), cancel=cancel)
    finally:
        over.set()
        limits.join(watcher)


@extent.sample(1)
@needs_proc
@pytest.mark.parametrize("streaming", [False, True])
def test_a_cancelled_download_leaves_nothing_behind(
    tiny: Make, hf_cache: Path, streaming: bool
) -> None:
    rows = b'{"text": "one of many rows of text"}\n' * 400_000
    with serving({"x.jsonl": rows}, "x.jsonl") as server:
        with pytest.raises(Cancelled):
            in_the_middle(tiny, threading.Event.set, server, streaming=streaming)
        assert left_behind(hf_cache) == []


@extent.sample(1)
@needs_proc
@pytest.mark.parametrize("variable", ["HF_DATASETS_CACHE", "HF_HUB_CACHE", "XDG_CACHE_HOME"])
def test_a_cancelled_download_leaves_nothing_in_any_cache_directory(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    if variable == "XDG_CACHE_HOME":
        monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "other"))
    with serving({"x.txt": LINES.encode() * 4}, "x.txt") as server:
        with pytest.raises(Cancelled):
            in_the_middle(tiny, threading.Event.set, server)
        assert left_behind(tmp_path) == []


def kill_the_reader(_: threading.Event) -> None:
    (reader,) = readers()
    os.kill(reader, signal.SIGKILL)


@needs_proc
def test_a_killed_reader_is_an_error_not_a_hang(tiny: Make) -> None:
    with (
        serving({"x.txt": LINES.encode() * 4}, "x.txt") as server,
        pytest.raises(CorpusError, match="the dataset.* cannot be read.*reader ended"),
    ):
        in_the_middle(tiny, kill_the_reader, server)
    assert readers() == []
    assert list(paths.corpora_dir().iterdir()) == []


@needs_proc
def test_a_killed_reader_leaves_no_partial_download(tiny: Make, hf_cache: Path) -> None:
    with serving({"x.txt": LINES.encode() * 4}, "x.txt") as server:
        with pytest.raises(CorpusError):
            in_the_middle(tiny, kill_the_reader, server)
        assert left_behind(hf_cache) == []


@needs_proc
def test_a_reader_ends_when_its_parent_does(tiny: Make, home: Path) -> None:
    program = (
        "import sys\n"
        "from slm_tui.config.preset import parse\n"
        "from slm_tui.corpus.prepare import prepare\n"
        "data = {'kind': 'huggingface', 'dataset': sys.argv[1]}\n"
        "prepare(parse({'name': 'x', 'data': data}, 'it'))\n"
    )
    with serving({"x.txt": LINES.encode() * 4}, "x.txt") as server:
        command = [sys.executable, "-c", program, server.address("x.txt")]
        parent = limits.start(command, stderr=subprocess.DEVNULL)
        try:
            assert server.waiting.wait(120)
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
            assert children
        finally:
            parent.kill()
            parent.wait(limits.LIMIT)
        deadline = time.monotonic() + 60
        while any(running(int(child)) for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(running(int(child)) for child in children)


def running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@needs_proc
def test_cancelling_before_the_start_starts_nothing(tiny: Make, hf_cache: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with serving({"x.txt": LINES.encode()}) as server, pytest.raises(Cancelled):
        prepare(of(tiny, server.address("x.txt")), cancel=cancel)
    assert left_behind(hf_cache) == []
