"""Conversations on disk: no torn lines, nothing lost, and damaged lines do no harm."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_tui import paths
from slm_tui.errors import RunError
from slm_tui.runs import conversation
from slm_tui.runs.conversation import FILE, Exchange
from slm_tui.runs.info import run_of
from tests import limits

SAID = Exchange("Once", " upon a time", 10, 7, "max tokens", {"temperature": 0.8}, 5, 100.0, 0, 1e9)


def test_appended_exchanges_are_read_in_order(tmp_path: Path) -> None:
    exchanges = [
        replace(SAID, text=f"text {number}\n\x00\ud83d", id=str(number)) for number in range(5)
    ]
    for one in exchanges:
        conversation.append(tmp_path, one)
    assert conversation.read(tmp_path) == exchanges


def test_a_continued_completion_appears_once_at_its_last_position(tmp_path: Path) -> None:
    first, second = replace(SAID, id="a"), replace(SAID, id="b")
    longer = replace(first, text=" upon a time there was")
    for one in (first, second, longer):
        conversation.append(tmp_path, one)
    assert conversation.read(tmp_path) == [second, longer]


def test_a_torn_line_is_skipped_and_the_next_is_intact(tmp_path: Path) -> None:
    conversation.append(tmp_path, SAID)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole + whole[: len(whole) // 2])
    assert conversation.read(tmp_path) == [SAID]
    after = replace(SAID, id="after")
    conversation.append(tmp_path, after)
    assert conversation.read(tmp_path) == [SAID, after]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": 7},
        {"step": "ten"},
        {"time": "now"},
        {"time": float("nan")},
        {"sampling": [1]},
        {"id": None},
        {"tokens": 10**30},
    ],
)
def test_a_line_with_wrong_values_is_skipped(tmp_path: Path, change: dict[str, object]) -> None:
    wrong = json.loads(SAID.line()) | {"id": "wrong"} | change
    (tmp_path / FILE).write_text(json.dumps(wrong) + "\n" + SAID.line())
    assert conversation.read(tmp_path) == [SAID]


@given(st.binary(max_size=80))
def test_no_file_breaks_reading(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / FILE).write_bytes(data + b"\n" + SAID.line().encode())
    assert conversation.read(run)[-1] == SAID


def test_unknown_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(json.loads(SAID.line()) | {"mood": "fine"}))
    assert conversation.read(tmp_path) == [SAID]


def test_only_the_end_of_a_very_long_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_MOST_BYTES", 2000)
    for number in range(100):
        conversation.append(tmp_path, replace(SAID, id=f"{number:032}"))
    exchanges = conversation.read(tmp_path)
    assert 3 < len(exchanges) < 10
    assert exchanges[-1].id == f"{99:032}"


def test_concurrent_writers_do_not_tear_lines(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from slm_tui.runs.conversation import Exchange, append\n"
        "for number in range(100):\n"
        "    append(Path(sys.argv[1]), Exchange('p', sys.argv[2] * 9000, number, 7, 'stopped'))\n"
    )
    started = [
        limits.start([sys.executable, "-c", code, str(tmp_path), letter]) for letter in "abc"
    ]
    assert [one.wait(60) for one in started] == [0, 0, 0]
    lines = (tmp_path / FILE).read_text().splitlines()
    assert len([line for line in lines if line]) == 300
    exchanges = conversation.read(tmp_path)
    assert len(exchanges) == 300
    assert all(len(set(one.text)) == 1 and len(one.text) == 9000 for one in exchanges)
    for letter in "abc":
        assert [one.step for one in exchanges if one.text[0] == letter] == list(range(100))


def test_a_failed_write_is_reported_and_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be saved"):
        conversation.append(tmp_path / "gone", SAID)
    assert not (tmp_path / "gone").exists()
    if os.geteuid() == 0:
        (tmp_path / FILE).mkdir()  # root may write anywhere, but not into a directory
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be saved"):
        conversation.append(tmp_path, SAID)
    assert conversation.read(tmp_path) == []
    tmp_path.chmod(0o700)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / FILE).symlink_to(other)
    with pytest.raises(RunError):
        conversation.append(tmp_path, SAID)
    assert other.read_text() == "mine"


def test_clearing_moves_the_conversation_to_the_trash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path / "home"))
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(RunError, match="there is no saved conversation"):
        conversation.clear(run)
    conversation.append(run, SAID)
    trash = conversation.clear(run)
    assert paths.trash_dir() in trash.parents
    assert trash.read_text() == SAID.line()
    assert conversation.read(run) == []


def test_the_run_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    saved = tmp_path / "run" / "checkpoints" / "step-000010"
    saved.mkdir(parents=True)
    assert run_of(saved) is None
    (tmp_path / "run" / "run.json").write_text("{}")
    assert run_of(saved) == tmp_path / "run"
    assert run_of(tmp_path / "run") == tmp_path / "run"
