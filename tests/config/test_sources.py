"""What data settings can determine about their text before it is read."""

from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.data import DataConfig
from slm_tui.config.overrides import apply
from tests.conftest import make_tiny


def data_of(**data: Any) -> DataConfig:
    return make_tiny(data=data).data


@pytest.mark.parametrize(
    ("data", "label", "content", "location"),
    [
        ({"kind": "stories", "documents": 2000}, "stories, small", "2,000 stories (small)", ""),
        (
            {"kind": "stories", "documents": 2000, "limit": {"documents": 200}},
            *("stories, small", "200 stories (small)", ""),
        ),
        ({"kind": "file", "path": "~/a/plays.txt"}, "plays.txt", "plays.txt", "~/a/plays.txt"),
        ({"kind": "directory", "path": "/a/code/"}, "code", "code", "/a/code/"),
        ({"kind": "huggingface", "dataset": "a/b"}, "a/b", "a/b", "a/b"),
    ],
)
def test_a_text_has_a_label_and_a_location(
    data: dict[str, Any], label: str, content: str, location: str
) -> None:
    result = data_of(**data)
    assert (result.label, result.content, result.location) == (label, content, location)
    assert result.is_remote == (result.kind == "huggingface")
    assert result.is_endless == (result.kind == "stories")


@pytest.mark.parametrize(
    ("kind", "path", "says", "works"),
    [
        ("file", "", "name a text file, or press 5, then o to browse", None),
        ("directory", "", "name a directory with text, or press 5, then o to browse", None),
        ("file", "texts", "it is a directory: set data.kind to directory", None),
        ("directory", "plays.txt", "it is a file: set data.kind to file", None),
        ("file", "play.txt", "no such file; try plays.txt", "plays.txt"),
        ("file", "texts/play.txt", "no such file: name an existing one", None),
        ("file", "plays.txt", None, None),
        ("directory", "texts", None, None),
    ],
)
def test_a_path_is_checked_before_it_is_read(
    kind: str,
    path: str,
    says: str | None,
    works: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plays.txt").write_text("To be")
    (tmp_path / "texts").mkdir()
    result = data_of(kind=kind, path=path)
    problem = result.problem()
    assert (problem.message if problem else None) == says
    assert (problem.works if problem else None) == works
    assert result.missing() == ("" if not path or Path(path).exists() else path)


def test_text_that_needs_no_path_has_no_problem() -> None:
    for data in ({"kind": "stories"}, {"kind": "huggingface", "dataset": "no/such"}):
        assert data_of(**data).problem() is None
        assert data_of(**data).missing() == ""


def test_the_size_of_a_source_is_known_where_possible(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x" * 1000)
    file = {"kind": "file", "path": str(tmp_path / "text.txt")}
    assert data_of(**file).expected_bytes() == 1000
    assert data_of(**file, limit={"fraction": 0.5}).expected_bytes() == 500
    assert data_of(**file, limit={"characters": 300}).expected_bytes() == 300
    assert data_of(kind="file", path="/nowhere").expected_bytes() is None
    assert data_of(kind="directory", path=str(tmp_path)).expected_bytes() is None
    assert data_of(kind="stories", documents=10).expected_bytes() == 5930
    assert data_of(kind="stories", limit={"documents": 5}).expected_bytes() == 2965
    assert data_of(kind="huggingface", dataset="wikitext-2").expected_bytes() == 10_900_000
    assert data_of(kind="huggingface", dataset="a/b").expected_bytes() is None


def test_a_split_provided_by_the_source_is_not_taken_from_training() -> None:
    split = {"validation": 0.1, "test": 0.2}
    assert data_of(kind="stories", split=split).held_out() == 0
    assert data_of(kind="file", split=split).held_out() == pytest.approx(0.3)
    dataset = {"kind": "huggingface", "dataset": "tinystories", "split": split}
    assert data_of(**dataset).held_out() == 0.2
    assert data_of(**dataset, test_split="t").held_out() == 0
    assert data_of(**dataset, validation_split="none").held_out() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        ({"kind": "stories", "documents": 40}, ("data.documents=160",)),
        (
            {"kind": "stories", "documents": 40, "limit": {"documents": 20}},
            ("data.documents=80", "data.limit.documents=80"),
        ),
        ({"kind": "file", "limit": {"tokens": 100}}, ("data.limit.tokens=400",)),
        ({"kind": "file", "limit": {"documents": 3}}, ("data.limit.documents=12",)),
        ({"kind": "file", "limit": {"fraction": 0.5}}, ("data.limit.fraction=1",)),
        ({"kind": "file"}, ()),
    ],
)
def test_more_text_is_a_change_that_can_be_applied(
    data: dict[str, Any], changes: tuple[str, ...]
) -> None:
    preset = make_tiny(data=data)
    change = preset.data.more()
    assert (change.assignments if change else ()) == changes
    assert (apply(preset, list(changes)) != preset) == bool(changes)
