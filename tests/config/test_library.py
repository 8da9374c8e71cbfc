"""The library: built-in presets cannot be lost, user presets can be restored."""

import itertools
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from slm_tui.errors import PresetError
from tests.conftest import make_tiny


def mine(name: str) -> Preset:
    preset = parse({**make_tiny().to_dict(), "name": name}, "it")
    library.save(preset)
    return preset


def test_the_default_preset_exists() -> None:
    assert library.get(library.DEFAULT).name == library.DEFAULT


def test_groups_are_contiguous_and_smaller_comes_first() -> None:
    names = [entry.name for entry in library.entries()]
    assert names.index("stories-tiny") < names.index("stories-small")
    assert names.index("educational-tiny") < names.index("educational-xlarge")
    groups = [entry.preset.group for entry in library.entries() if entry.preset]
    assert len([1 for a, b in itertools.pairwise(groups) if a != b]) == len(set(groups)) - 1


def test_a_saved_preset_is_found_and_comes_first() -> None:
    preset = mine("mine")
    assert library.get("mine") == preset
    assert library.entries()[0].name == "mine"
    assert not library.entries()[0].builtin


def test_a_preset_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(make_tiny().to_toml())
    assert library.get(str(file)) == make_tiny()


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(PresetError, match="did you mean stories-tiny"):
        library.get("storys-tiny")
    with pytest.raises(PresetError, match="presets list"):
        library.get("qqqqqq")


def test_builtin_presets_cannot_be_overwritten_or_deleted() -> None:
    with pytest.raises(PresetError, match="built-in preset.*my-stories-tiny"):
        library.save(library.get("stories-tiny"))
    with pytest.raises(PresetError, match="built-in preset"):
        library.delete("stories-tiny")


def test_a_copy_records_its_base() -> None:
    copy = library.copy("stories-tiny", "mine")
    assert (copy.name, copy.base, copy.group) == ("mine", "stories-tiny", "mine")
    assert library.get("mine") == copy
    with pytest.raises(PresetError, match="already exists"):
        library.copy("stories-tiny", "mine")


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "x" * 300, "", "a\n"])
def test_a_copy_is_never_written_elsewhere(name: str, home: Path) -> None:
    with pytest.raises(PresetError, match="cannot be used"):
        library.copy("stories-tiny", name)
    assert list(home.rglob("*.toml")) == []


def test_a_deleted_preset_can_be_restored() -> None:
    preset = mine("mine")
    trashed = library.delete("mine")
    assert library.find("mine") is None
    assert library.restore(trashed) == "mine"
    assert library.get("mine") == preset
    with pytest.raises(PresetError, match="already exists"):
        library.restore(trashed)


def test_what_is_not_in_the_trash_cannot_be_restored() -> None:
    mine("mine")
    trashed = library.delete("mine")
    trashed.unlink()
    with pytest.raises(PresetError, match="not in the trash"):
        library.restore(trashed)
    with pytest.raises(PresetError, match="there is no preset"):
        library.delete("mine")


def test_a_broken_file_is_listed_with_its_error_and_hides_no_other() -> None:
    mine("good")
    directory = paths.user_presets_dir()
    (directory / "broken.toml").write_text("name = [")
    (directory / "invalid.toml").write_text('name = "invalid"\n[model]\nn_head = 5\n')
    (directory / "latin.toml").write_bytes(b"\xe9")
    (directory / "other.toml").write_text('name = "another"\n')
    (directory / "folder.toml").mkdir()
    entries = {entry.name: entry for entry in library.entries() if not entry.builtin}
    assert entries["good"].preset is not None
    for name, says in (
        ("broken", "not valid TOML"),
        ("invalid", "not divisible by 5; try 4 or 8"),
        ("latin", "cannot be read"),
        ("other", "has the name 'another'"),
        ("folder", "cannot be read"),
    ):
        assert entries[name].preset is None
        assert says in entries[name].error
        with pytest.raises(PresetError):
            library.get(name)


def test_a_file_that_cannot_be_written_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    preset = mine("mine")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(PresetError, match="cannot be written"):
            library.save(parse({**preset.to_dict(), "title": "new"}, "it"))
    assert library.get("mine") == preset
    assert [path.name for path in paths.user_presets_dir().iterdir()] == ["mine.toml"]


def test_free_names_are_free() -> None:
    assert library.free_name("tiny") == "my-tiny"
    mine("my-tiny")
    assert library.free_name("tiny") == "my-tiny-2"
    assert library.free_name("my-tiny") == "my-tiny-2"
