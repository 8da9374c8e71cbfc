"""Keymaps written for earlier versions keep working, without a notice."""

import tomllib
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.tui import actions, keymap
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.dialogs import Notice

FIRST = Path(__file__).with_name("first_keymap.toml")
FIRST_IDS = sorted(tomllib.loads(FIRST.read_text()))


def load(text: str) -> tuple[dict[str, str], list[str]]:
    path = paths.config_dir() / "keymap.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return keymap.load()


def test_a_keymap_with_all_actions_of_the_first_version_is_accepted() -> None:
    keys, wrong = load(FIRST.read_text())
    assert wrong == []
    for name, key in tomllib.loads(FIRST.read_text()).items():
        present = name if name in actions.BY_ID else keymap.FORMER_IDS[name]
        assert not present or keys[present] == key


def test_each_action_of_the_first_version_can_still_be_given_a_key() -> None:
    for name in FIRST_IDS:
        _, wrong = load(f'"{name}" = "f12"\n')
        assert wrong == [], name


def test_former_names_map_to_actions_and_are_not_reused() -> None:
    for name, present in keymap.FORMER_IDS.items():
        assert name not in actions.BY_ID
        assert not present or present in actions.BY_ID


def test_renamed_and_dropped_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    former = {"train.judge": "train.evaluate", "runs.fly": "", "runs.swim": ""}
    monkeypatch.setattr(keymap, "FORMER_IDS", former)
    keys, wrong = load('"train.judge" = "q"\n"runs.fly" = "p"\n"runs.swim" = 3\n')
    assert (keys["train.evaluate"], wrong) == ("q", [])
    assert keys.keys() == actions.BY_ID.keys()
    # A line with the current name takes precedence.
    keys, wrong = load('"train.evaluate" = "j"\n"train.judge" = "q"\n')
    assert (keys["train.evaluate"], wrong) == ("j", [])
    # Problems are reported under the current name.
    keys, wrong = load('"train.judge" = "ctrl+m"\n')
    assert wrong[0].startswith("train.evaluate: ")


async def test_a_later_action_yields_its_key_to_an_old_keymap() -> None:
    keys, wrong = load('"train.save" = "v"\n')
    assert (keys["train.save"], keys["train.metrics"], wrong) == ("v", "f7", [])
    # On another screen it conflicts with nothing.
    assert load('"runs.fork" = "v"\n')[0]["train.metrics"] == "v,f7"
    # An action whose default key is newer keeps the key of the keymap.
    keys, wrong = load('"data.tokens" = "t"\n')
    assert (keys["data.tokens"], keys["data.train"], wrong) == ("t", "f7", [])
    keys, wrong = load('"data.details" = "v"\n')
    assert (keys["data.details"], keys["data.tokens"], wrong) == ("v", "f8", [])
    # An original action keeps its key, as always.
    keys, wrong = load('"train.save" = "v"\n"train.details" = "e"\n')
    assert (keys["train.details"], keys["train.metrics"]) == ("d", "f7")
    assert wrong == ["train.details: e is already used by train.evaluate"]
    load('"train.save" = "v"\n')
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        assert not isinstance(app.screen, Notice)
        bound = app.screen.active_bindings
        assert bound["v"].binding.action == "save"
        assert bound["f7"].binding.action == "metrics"
