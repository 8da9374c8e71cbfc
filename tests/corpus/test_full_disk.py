"""A full disk: an error of one line, and nothing left behind."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.errors import CorpusError
from tests import extent, limits
from tests.corpus.helpers import jsonl, readers

Make = Callable[..., Preset]
pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None,
        reason="mounts a small file system: needs root on Linux",
    ),
]
LINE = "Some line of text that is long enough to fill a disk in a while.\n"


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if limits.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield place
    finally:
        limits.run(["umount", "--lazy", str(place)])


def source(kind: str, place: Path, size: int) -> dict[str, Any]:
    """About `size` bytes of text, as a source of this kind."""
    lines = [LINE * 100] * (size // len(LINE) // 100)
    if kind == "stories":
        return {"kind": kind, "documents": size // 500}
    if kind == "directory":
        (place / "texts").mkdir()
        (place / "texts" / "text.txt").write_text("".join(lines))
        return {"kind": kind, "path": str(place / "texts")}
    if kind == "file":
        (place / "text.txt").write_text("".join(lines))
        return {"kind": kind, "path": str(place / "text.txt")}
    rows = jsonl(place / "rows.jsonl", [{"text": line} for line in lines])
    if kind == "table":
        return {"kind": "file", "path": str(rows)}
    return {"kind": "huggingface", "dataset": str(rows)}


@extent.sample(5)
@pytest.mark.parametrize("kind", ["stories", "file", "directory", "table", "huggingface"])
@pytest.mark.parametrize(
    ("size", "when"), [("2m", "the text is written"), ("9m", "the tokens are written")]
)
def test_a_full_disk_is_reported_in_one_line_and_nothing_is_left_behind(
    kind: str,
    size: str,
    when: str,
    tiny: Make,
    tmp_path: Path,
    hf_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = source(kind, tmp_path, 6_000_000)
    with small_disk(tmp_path / "small", size) as disk:
        monkeypatch.setenv("SLM_TUI_HOME", str(disk))
        with pytest.raises(CorpusError) as caught:
            prepare(tiny(data=data))
        error = caught.value
        assert "No space left" in str(error)
        assert "free some space on that disk" in error.remedy
        assert str(disk) in error.what
        assert list(paths.corpora_dir().iterdir()) == []
        assert shutil.disk_usage(disk).used < 100_000
        assert readers() == []
        # There is space for less text.
        assert len(prepare(tiny(data__documents=20)).train) > 1000


def test_a_full_disk_in_the_cache_of_datasets_is_reported(
    tiny: Make, tmp_path: Path, hf_home: Path
) -> None:
    # Lines of plain text are still read and cached by `datasets` itself.
    data = {"kind": "huggingface", "dataset": source("directory", tmp_path, 6_000_000)["path"]}
    with small_disk(tmp_path / "small", "2m") as disk:
        with pytest.raises(CorpusError) as caught:
            prepare(tiny(data={**data, "cache_dir": str(disk / "datasets")}))
        assert "No space left" in str(caught.value)
        assert "free some space on that disk" in caught.value.remedy
        assert list(paths.corpora_dir().iterdir()) == []
        assert [path.name for path in disk.rglob("*.incomplete")] == []
