"""A preparation that is cancelled, at any stage, leaves nothing behind."""

import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.progress import Cancelled, Progress
from tests import extent
from tests.corpus.helpers import jsonl, readers

Make = Callable[..., Preset]
pytestmark = [pytest.mark.usefixtures("hf_home"), pytest.mark.timeout(300)]
# More than a chunk of each split, so that no stage ends before it can be cancelled.
LINES = [f"{number} {number * 7919 % 1000003:x} is line {number}" for number in range(100_000)]
BPE = {"kind": "bpe", "vocab_size": 2000}


def preset(tiny: Make, source: str, tokenizer: dict[str, Any], place: Path) -> Preset:
    data: dict[str, Any] = {"kind": source, "split": {"validation": 0.4}}
    if source == "stories":
        data |= {"documents": 9000}
    elif source == "file":
        (place / "text.txt").write_text("\n".join(LINES))
        data |= {"path": str(place / "text.txt")}
    elif source == "directory":
        for number in range(3):
            (place / f"{number}.txt").write_text("\n".join(LINES[number::3]))
        data |= {"path": str(place)}
    else:
        rows = [{"text": "\n".join(LINES[at : at + 100])} for at in range(0, len(LINES), 100)]
        data |= {"dataset": str(jsonl(place / "rows.jsonl", rows))}
    return tiny(data=data, tokenizer=tokenizer)


@extent.sample(1)
@pytest.mark.parametrize(
    ("source", "tokenizer", "expected"),
    [
        ("stories", {"kind": "bytes"}, ["generating stories"]),
        ("file", BPE, ["reading", "counting words", "merging pairs"]),
        ("file", {"kind": "gpt2"}, ["reading", "loading the tokenizer"]),
        ("directory", {"kind": "chars"}, ["reading", "collecting characters"]),
        ("huggingface", {"kind": "bytes"}, ["opening the dataset", "reading"]),
    ],
)
def test_preparation_can_be_cancelled_at_every_stage(
    source: str,
    tokenizer: dict[str, Any],
    expected: list[str],
    tiny: Make,
    tmp_path: Path,
    hf_home: Path,
) -> None:
    place = tmp_path / "source"
    place.mkdir()
    chosen = preset(tiny, source, tokenizer, place)
    stages: list[str] = []
    prepare(chosen, progress=lambda progress: stages.append(progress.stage))
    shutil.rmtree(paths.corpora_dir())
    assert {*expected, "tokenizing", "looking for leaks"} <= set(stages)
    for stage in dict.fromkeys(stages):
        # Data cached by `datasets` is not unpacked again.
        shutil.rmtree(hf_home, ignore_errors=True)
        with pytest.raises(Cancelled):
            end_at(chosen, stage)
        assert list(paths.corpora_dir().iterdir()) == [], stage
        assert readers() == []


def end_at(chosen: Preset, stage: str) -> None:
    cancel = Event()

    def cancel_at_stage(progress: Progress) -> None:
        if progress.stage == stage:
            cancel.set()

    prepare(chosen, progress=cancel_at_stage, cancel=cancel)


def test_a_cancelled_preparation_can_be_restarted(tiny: Make, tmp_path: Path) -> None:
    chosen = preset(tiny, "file", {"kind": "bytes"}, tmp_path)
    with pytest.raises(Cancelled):
        end_at(chosen, "tokenizing")
    corpus = prepare(chosen)
    text = (tmp_path / "text.txt").read_bytes()
    assert corpus.tokenizer.decode_bytes(corpus.train[:1001]) == text[:1000]


def test_progress_never_decreases_and_ends_complete(tiny: Make, tmp_path: Path) -> None:
    chosen = preset(tiny, "file", BPE, tmp_path)
    progress: list[Progress] = []
    prepare(chosen, progress=progress.append)
    for stage in dict.fromkeys(one.stage for one in progress):
        done = [one.done for one in progress if one.stage == stage]
        assert done == sorted(done), stage
        assert all(one.share is None or 0 <= one.share <= 1 for one in progress)
    last = {one.stage: one for one in progress}
    for stage in ("tokenizing", "looking for leaks"):
        assert last[stage].share == 1
