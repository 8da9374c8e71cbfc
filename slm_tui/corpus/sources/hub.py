"""Datasets and tables, read by the library `datasets` in a separate process.

That process can be ended at any time, whatever it is waiting for. It frees its memory and does
not slow down the screen or a training run.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from slm_tui import paths
from slm_tui.config.data import FileData, HuggingFaceData
from slm_tui.config.known_datasets import ready_made
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import file_kinds, text_file
from slm_tui.corpus.sources.contract import (
    BOOKS,
    READING,
    SPLIT_FILES,
    TABLES,
    LeftOut,
    StagedDocuments,
)
from slm_tui.corpus.staging import load_spans
from slm_tui.errors import CorpusError

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 3.0
_LOG = "reader.log"
# Cache locations of `datasets` and `huggingface_hub`, if these are set.
_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE")


def local_path(dataset: str) -> Path | None:
    """The local path of the dataset; `None` if it is a name on the hub or a URL."""
    if is_address(dataset):
        return None
    try:
        path = Path(dataset).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def is_address(dataset: str) -> bool:
    """Whether it is a URL."""
    return dataset.startswith(("http://", "https://"))


def fingerprint(data: HuggingFaceData, *, reading: int = READING) -> dict[str, object]:
    """The name and what is read of it; for a local dataset its files, by content.

    An older `reading` gives the values of that version.

    Raises:
        CorpusError: it looks like a path that does not exist, or a file cannot be read.
    """
    ready = ready_made(data.dataset, data.config) is not None
    data = data.completed(local=reading >= SPLIT_FILES)
    values = data.model_dump(mode="json", exclude={"cache_dir", "streaming"})
    path = local_path(data.dataset)
    if path is None:
        _check_name(data.dataset)
        # What it contains is unknown; known datasets have neither tables nor whole books.
        read = min(reading, BOOKS if _is_text_address(data.dataset) else TABLES)
        return values if ready or read < TABLES else {**values, "reading": read}
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    result = {
        one.relative_to(path).as_posix(): text_file.digest(one)
        for one in files
        if one.is_file() and not one.name.endswith(".lock")
    }
    tables = any(file_kinds.layout_of(one) == "csv" for one in [*result, path.name])
    if reading >= TABLES and (tables or data.limit.fraction is not None):
        values["reading"] = TABLES
    is_text = path.is_file() and file_kinds.layout_of(path.name) == "text"
    if reading >= BOOKS and is_text and text_file.body_of(path):
        values["reading"] = BOOKS
    return {**values, "dataset": "", "files": result}


def _is_text_address(dataset: str) -> bool:
    """Whether it is the URL of plain text."""
    name = dataset.split("?")[0].split("#")[0]
    return is_address(dataset) and file_kinds.layout_of(name) == "text"


def _check_name(dataset: str) -> None:
    """Names on the hub are `name` or `owner/name`; anything else is a path."""
    if not is_address(dataset) and (
        dataset.startswith(("/", ".", "~", "\\")) or dataset.count("/") > 1
    ):
        raise CorpusError(
            f"the dataset {dataset} cannot be read",
            "no file or directory has that name",
            "set data.dataset to an existing path or a name on the hub",
        )


def stage(
    data: HuggingFaceData, directory: Path, meter: Meter, *, reading: int = READING
) -> StagedDocuments:
    """Write the documents of each named split.

    Raises:
        CorpusError: the dataset is unavailable, does not match the preset, or has no text.
        OSError: the disk is full.
        Cancelled: cancelled through `meter`.
    """
    whole = data.completed(local=reading >= SPLIT_FILES)
    entry = ready_made(data.dataset, data.config)
    named = {"val": data.validation_split, "test": data.test_split}
    splits = {"train": whole.train_split}
    splits |= {"val": whole.validation_split} if whole.validation_split else {}
    splits |= {"test": whole.test_split} if whole.test_split else {}
    path = local_path(whole.dataset)
    request = {
        "dataset": str(path.absolute()) if path is not None else whole.dataset,
        "local": path is not None,
        "config": whole.config,
        "revision": whole.revision,
        "splits": splits,
        "optional": [part for part, name in named.items() if entry is None and not name],
        "streaming": whole.streaming,
        "cache_dir": str(Path(whole.cache_dir).expanduser()) if whole.cache_dir else "",
        "minimum_length": whole.minimum_length,
        "maximum_length": whole.maximum_length,
        "heading": entry.heading if entry is not None else "",
        "books": reading >= BOOKS and entry is None,
    }
    staged = _read(request | _columns(whole) | _limit(whole), directory, meter)
    if reading >= SPLIT_FILES and (note := data.split_note()):
        staged.left_out.note(note)
    if not len(staged.parts["train"]):
        raise CorpusError(
            f"{data.dataset} has no text", "all of its rows are empty", "choose another"
        )
    return staged


def stage_table(
    data: FileData, path: Path, layout: str, directory: Path, meter: Meter
) -> StagedDocuments:
    """Write the documents of a file of rows.

    Raises:
        CorpusError: it does not have that format, or has no text column.
    """
    request = {
        "table": layout,
        "dataset": str(path.absolute()),
        "local": True,
        "splits": {"train": "train"},
        "streaming": True,
        "replace": data.on_encoding_error == "replace",
        "encoding": data.encoding,
        "delimiter": data.delimiter,
        "header": data.header,
        "quotes": data.quotes,
    }
    return _read(request | _columns(data) | _limit(data), directory, meter)


def _columns(data: HuggingFaceData | FileData) -> dict[str, Any]:
    return {
        "text_column": data.text_column,
        "second_column": data.second_column,
        "column_separator": data.column_separator,
    }


def _limit(data: HuggingFaceData | FileData) -> dict[str, Any]:
    return {"limit": data.limit.model_dump(mode="json", exclude_none=True)}


def _read(request: dict[str, Any], directory: Path, meter: Meter) -> StagedDocuments:
    meter("opening the dataset", 0, None, "share")
    began = time.time()
    with (directory / _LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "slm_tui.corpus.sources.reader_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(),
        )
    try:
        done = _followed(process, {**request, "directory": str(directory)}, meter)
    except BaseException:
        _end(process)
        _sweep(request.get("cache_dir", ""), began)
        raise
    finally:
        _end(process)
    if done is None:
        _sweep(request.get("cache_dir", ""), began)
        raise CorpusError("the dataset cannot be read", _last_line(directory / _LOG))
    return _result(done, directory)


def _environment() -> dict[str, str]:
    python_path = os.environ.get("PYTHONPATH")
    path = str(_PACKAGE_ROOT) + (os.pathsep + python_path if python_path else "")
    variables = {**os.environ, "HF_HOME": str(hub_home())}
    # tqdm then updates its bars even without a terminal; the process reports them instead.
    return {**variables, "PYTHONPATH": path, "TQDM_POSITION": "-1"}


def hub_home() -> Path:
    """Where the libraries store downloads: the usual place, or below `SLM_TUI_HOME`."""
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"])
    if os.environ.get("SLM_TUI_HOME"):
        return paths.cache_dir() / "huggingface"
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "huggingface"
    # Next to our own cache, which works without a home directory.
    return paths.cache_dir().parent / "huggingface"


def _followed(
    process: "subprocess.Popen[bytes]", request: dict[str, Any], meter: Meter
) -> dict[str, Any] | None:
    """Forward reports of the process until it is done; `None` if it died."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return None
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
    while True:
        meter.check()
        try:
            line = lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return None
        message = json.loads(line)
        if "error" in message:
            raise CorpusError(*message["error"])
        if "full" in message:
            raise OSError(message["full"][0], message["full"][1])
        if "done" in message:
            return dict(message["done"])
        meter(*message["progress"])


def _listen(process: "subprocess.Popen[bytes]", lines: "queue.Queue[bytes | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let the process clean up after itself for a moment, then end it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue


def _sweep(cache_dir: str, began: float) -> None:
    """Remove incomplete downloads of a process that could not clean up."""
    caches = {os.environ.get(name, "") for name in _CACHES}
    for root in {cache_dir, *caches, str(hub_home())} - {""}:
        try:
            left = [one for one in Path(root).rglob("*.incomplete") if one.stat().st_mtime >= began]
        except OSError:
            continue
        for one in left:
            remove(one)


def remove(path: Path) -> None:
    """Remove a file or a directory, if possible."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return f"its reader ended: {lines[-1]}" if lines else "its reader ended without a message"


def _result(done: dict[str, Any], directory: Path) -> StagedDocuments:
    parts = {part: load_spans(directory / f"{part}.npz") for part in done["parts"]}
    left_out = LeftOut(**done["left_out"])
    return StagedDocuments(parts, left_out)
