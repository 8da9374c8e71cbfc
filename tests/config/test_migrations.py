"""Presets of other versions of the schema: older ones are migrated, newer ones refused."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from slm_tui import __version__, paths
from slm_tui.cli import main
from slm_tui.config import library, overrides
from slm_tui.config.drafts import Draft
from slm_tui.config.migrations import SCHEMA
from slm_tui.config.preset import NewerPresetError, from_file, from_stored, from_toml
from slm_tui.corpus import prepare
from slm_tui.errors import PresetError
from slm_tui.tui.screens.presets.dialogs import _values
from slm_tui.versions import rename
from tests.conftest import make_tiny

# Presets as shipped with the first version, which users copied.
FIRST = sorted((Path(__file__).parent / "first_presets").glob("*.toml"))


def double_steps(values: dict[str, Any]) -> None:
    values["training"]["max_steps"] *= 2


def user_preset(name: str, text: str) -> None:
    directory = paths.user_presets_dir()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.toml").write_text(text)


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.stem)
def test_presets_of_the_first_version_keep_their_meaning(path: Path) -> None:
    text = path.read_text()
    assert "schema" not in tomllib.loads(text)
    user_preset(path.stem, text)
    preset = from_file(paths.user_presets_dir() / path.name)
    assert next(one for one in library.entries() if one.name == path.stem).preset == preset
    for section, values in tomllib.loads(text).items():
        if isinstance(values, dict):
            now = preset.to_dict()[section]
            assert {name: now[name] for name in values} == values


def test_the_program_writes_the_schema_version_but_users_need_not() -> None:
    preset = make_tiny()
    text = preset.to_toml()
    assert text.startswith('schema = 1\nname = "tiny"\n')
    without = text.removeprefix("schema = 1\n")
    assert from_toml(text) == from_toml(without) == preset
    library.save(preset)
    assert library.get("tiny") == preset


def test_the_schema_version_is_not_a_setting_and_changes_no_fingerprint() -> None:
    preset = make_tiny()
    assert "schema" not in preset.to_dict()
    assert from_stored(preset.to_stored(), "it") == preset
    assert prepare.fingerprint(from_toml(preset.to_toml())) == prepare.fingerprint(preset)
    with pytest.raises(PresetError, match="no setting 'schema'"):
        overrides.apply(preset, ["schema=1"])


def test_a_newer_preset_is_refused_with_a_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    user_preset("later", "schema = 7\n" + 'name = "later"\n[warp]\nspeed = 9\n')
    with pytest.raises(PresetError, match="the preset has schema 7") as caught:
        library.get("later")
    assert f"use a version of slm-tui newer than {__version__}" in str(caught.value)
    assert "no such setting" not in str(caught.value)
    with pytest.raises(NewerPresetError):
        from_file(paths.user_presets_dir() / "later.toml")
    assert main(["presets", "check", str(paths.user_presets_dir() / "later.toml")]) == 1
    assert "schema 7" in capsys.readouterr().err


@pytest.mark.parametrize("version", ['"one"', "0", "true", "1.5", "[]"])
def test_a_schema_version_that_is_not_a_number_is_reported(version: str) -> None:
    with pytest.raises(PresetError, match="'schema' in the preset should be a whole number"):
        from_toml(f'schema = {version}\nname = "odd"\n')


@pytest.mark.parametrize("version", ["", "schema = 1\n"])
def test_an_older_preset_is_migrated_when_the_library_reads_it(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SCHEMA, "migrations", [rename("training.updates", "training.max_steps")])
    user_preset("old", version + 'name = "old"\n[training]\nupdates = 123\n')
    preset = library.get("old")
    assert preset.training.max_steps == 123
    library.save(preset)
    written = (paths.user_presets_dir() / "old.toml").read_text()
    assert written.startswith("schema = 2\n")
    assert "updates" not in written
    assert library.get("old") == preset
    # In a preset of the current schema the old name is an error.
    with pytest.raises(PresetError, match=r"training\.updates: no such setting"):
        from_toml('schema = 2\nname = "new"\n[training]\nupdates = 123\n')


def test_migrated_presets_are_not_migrated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_tiny().to_toml()
    monkeypatch.setattr(SCHEMA, "migrations", [double_steps])
    user_preset("tiny", old)
    preset = library.get("tiny")
    assert preset.training.max_steps == 24
    assert library.copy("tiny", "other").training.max_steps == 24
    assert library.get("other").training.max_steps == 24
    assert overrides.apply(preset, ["training.seed=1"]).training.max_steps == 24
    draft = Draft(preset, builtin=False)
    assert from_toml(draft.to_toml()).training.max_steps == 24
    draft.put("training.max_steps", 0)
    values = _values(draft.to_toml())
    assert values is not None
    assert values["training"]["max_steps"] == 0
    assert "schema" not in values
