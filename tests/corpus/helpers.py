"""Shared by the corpus tests: texts on disk, and what a source reads with its settings."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from slm_tui.config.data import DataConfig, Limit
from slm_tui.corpus import sources
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import StagedDocuments
from slm_tui.corpus.split import text_of
from slm_tui.corpus.staging import DocumentSpans, staged
from slm_tui.errors import CorpusError

STORY = "Once upon a time there was a little cat. The cat's dog couldn't find 12 balls!\n\n"
TEXTS = [STORY, "Ünïcödé 漢字 🙂 aaaa aaaaaaaa  \t\n", STORY.upper(), "abab babab ababab aab"] * 8


@contextmanager
def documents(*texts: str, limit: Limit | None = None) -> Iterator[DocumentSpans]:
    """Texts as staged documents; blank ones are skipped."""
    with tempfile.TemporaryDirectory() as directory:
        yield staged(texts, Path(directory) / "texts", limit)


def stage(data: DataConfig, directory: Path) -> StagedDocuments:
    """What a source stages into a new directory below `directory`."""
    return sources.stage(data, Path(tempfile.mkdtemp(dir=directory)), Meter())


def texts(data: DataConfig, directory: Path) -> list[str]:
    """The training documents of a source."""
    return text_of(stage(data, directory).parts["train"])


def source_error(data: DataConfig, directory: Path) -> CorpusError:
    """The error of a source that cannot be read: one line that says what to do."""
    with pytest.raises(CorpusError) as caught:
        texts(data, directory)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy, f"what to do is not said: {caught.value}"
    return caught.value


@contextmanager
def without_root_rights() -> Iterator[None]:
    """Without root's permission to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory that everybody may use; pytest's own are for a single user."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        yield Path(directory)


def jsonl(path: Path, rows: Sequence[object]) -> Path:
    """A file with one JSON row per line."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def readers() -> list[int]:
    """The reader processes of this test that still exist."""
    result = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        if parent == os.getpid() and b"reader_process" in command:
            result.append(int(status.parent.name))
    return result
