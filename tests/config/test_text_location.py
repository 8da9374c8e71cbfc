"""Any location of a text becomes the `data` of a preset, or one clear line."""

from pathlib import Path

import pytest

from slm_tui.config import library, text_location
from slm_tui.config.known_datasets import READY_MADE, ready_made
from slm_tui.errors import PresetError


def test_files_directories_and_datasets_are_distinguished(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "train.parquet").write_bytes(b"PAR1")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "dataset_dict.json").write_text("{}")
    path = str(tmp_path / "a.txt")
    assert text_location.source_of(path) == {"kind": "file", "path": path}
    (rows / "notes.md").write_text("about it")
    for directory in (rows, saved):
        result = text_location.source_of(str(directory))
        assert result == {"kind": "huggingface", "dataset": str(directory)}
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "x.txt").write_text("text")
    (texts / "table.csv").write_text("a,b")
    result = text_location.source_of(str(texts))
    assert result == {"kind": "directory", "path": str(texts), "on_encoding_error": "skip"}


@pytest.mark.parametrize("name", [*READY_MADE, "owner/name", "https://example.org/a.txt"])
def test_names_and_addresses_are_datasets(name: str) -> None:
    assert text_location.source_of(name) == {"kind": "huggingface", "dataset": name}


def test_a_text_and_a_preset_are_distinguished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plays").mkdir()
    Path("mine.toml").write_text("")
    for text in ("plays", "gone.txt", "a/b", "tinystories", "https://example.org/a.txt"):
        assert text_location.is_text(text), text
    for preset in ("stories-tiny", "mine.toml", "mine", "./mine", "gone.toml", "a\0b", ""):
        assert not text_location.is_text(preset), preset


@pytest.mark.parametrize(
    "where",
    ["", "gone.txt", "texts/gone.txt", "a/b.jsonl.gz", "./a/b", "a/b/c/d", "x" * 5000, "a\0b"],
)
def test_a_missing_text_is_one_clear_line(where: str) -> None:
    with pytest.raises(PresetError, match="there is no text at"):
        text_location.source_of(where)


def test_a_preset_with_another_text_keeps_everything_else(tmp_path: Path) -> None:
    file = tmp_path / "My  büch!.txt"
    file.write_text("text")
    before = library.get("stories-tiny")
    after = text_location.pointed(before, str(file))
    assert after.data.kind == "file"
    assert after.name == "My-b-ch"
    assert after.base == "stories-tiny"
    assert after.data.limit == type(after.data.limit)()
    assert (after.model, after.training, after.tokenizer) == (
        before.model,
        before.training,
        before.tokenizer,
    )


def test_limits_of_a_text_are_kept_for_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("text")
    plays = library.get("shakespeare-tiny")
    after = text_location.pointed(plays, str(file))
    assert after.data.limit == plays.data.limit
    assert after.data.split == plays.data.split


def test_a_ready_made_dataset_is_found_by_either_name() -> None:
    stories = READY_MADE["tinystories"]
    assert ready_made("tinystories") is ready_made("roneneldan/TinyStories") is stories
    assert ready_made("TinyStories") is stories
    assert ready_made("Salesforce/wikitext") is None
    assert ready_made("Salesforce/wikitext", "wikitext-2-raw-v1") is READY_MADE["wikitext-2"]
    assert ready_made("wikitext-2", "another") is None
