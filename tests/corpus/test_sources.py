"""Sources: the same text each time, and a one-line error if there is none."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import DirectoryData, FileData, Limit, Split, StoriesData
from slm_tui.corpus import sources
from slm_tui.corpus.sources.stories import stories
from slm_tui.corpus.split import text_of
from slm_tui.errors import CorpusError
from tests.corpus.helpers import source_error, stage


@pytest.mark.parametrize("name", ["gone.txt", "a\0b", "~nobody-has-this-name/x", "x" * 5000])
def test_a_missing_file_is_reported_in_one_line(name: str, tmp_path: Path) -> None:
    assert "cannot be read" in str(source_error(FileData(path=name), tmp_path))
    with pytest.raises(CorpusError, match="cannot be read"):
        sources.fingerprint(FileData(path=name))


@pytest.mark.parametrize("name", ["gone", "a\0b", "~nobody-has-this-name/x", "x" * 5000])
def test_a_missing_directory_is_reported_in_one_line(name: str, tmp_path: Path) -> None:
    assert "cannot be read" in str(source_error(DirectoryData(path=name), tmp_path))
    with pytest.raises(CorpusError, match="cannot be read"):
        sources.fingerprint(DirectoryData(path=name))


def test_an_empty_path_and_a_directory_are_distinguished(tmp_path: Path) -> None:
    assert "no text file given" in str(source_error(FileData(), tmp_path))
    assert "data.path" in str(source_error(FileData(), tmp_path))
    assert "is a directory" in str(source_error(FileData(path=str(tmp_path)), tmp_path))


def test_the_error_for_an_empty_directory_path_says_directory(tmp_path: Path) -> None:
    error = source_error(DirectoryData(), tmp_path)
    assert "data.path" in str(error)
    assert "director" in str(error)


def test_a_file_is_identified_by_its_content_not_its_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("the same")
    two.write_text("the same")
    same = sources.fingerprint(FileData(path=str(one)))
    assert same == sources.fingerprint(FileData(path=str(two)))
    two.write_text("changed!")
    assert same != sources.fingerprint(FileData(path=str(two)))


def test_stories_are_a_function_of_their_number() -> None:
    data = StoriesData(richness="tiny")
    whole = [story.text for story in stories(data, 0, 20)]
    assert [story.text for story in stories(data, 12, 8)] == whole[12:]
    other = StoriesData(richness="tiny", seed=1)
    assert [story.text for story in stories(other, 0, 20)] != whole


def test_stories_carry_their_information() -> None:
    for story in stories(StoriesData(richness="tiny"), 0, 5):
        assert story.bits is not None
        assert 0 < story.bits < 8 * len(story.text)


def test_staged_stories_keep_their_information(tmp_path: Path) -> None:
    data = StoriesData(richness="tiny", documents=30, split=Split(validation=0.1))
    parts = stage(data, tmp_path).parts
    every_story = list(stories(data, 0, 30 + 64))
    assert text_of(parts["train"]) == [story.text for story in every_story[:30]]
    assert text_of(parts["val"]) == [story.text for story in every_story[30:]]
    for part, expected in (("train", every_story[:30]), ("val", every_story[30:])):
        assert parts[part].bits.tolist() == [story.bits for story in expected]  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(
    documents=st.integers(1, 10**6),
    limit=st.sampled_from(["documents", "characters", "tokens", "fraction", ""]),
    size=st.integers(1, 10**6),
    validation=st.floats(0, 0.5),
    test=st.floats(0, 0.5),
)
def test_held_out_stories_are_generated_for_each_requested_split(
    documents: int, limit: str, size: int, validation: float, test: float
) -> None:
    value = {"fraction": min(1.0, size / 10**6)}.get(limit, size)
    data = StoriesData(
        documents=documents,
        limit=Limit(**({limit: value} if limit else {})),  # type: ignore[arg-type]
        split=Split(validation=min(validation, 0.9 - test), test=test),
    )
    counts = data.generated_documents()
    assert 1 <= counts["train"] <= documents
    for part, ratio in (("val", validation), ("test", test)):
        assert counts[part] >= 64 if ratio else counts[part] == 0
