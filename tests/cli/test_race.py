"""`slm-tui race` on the command line."""

import json
import signal
from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.config import library
from slm_tui.config import race as races
from slm_tui.training.race import Runner
from tests.conftest import make_tiny

TARGET = 5.4


@pytest.fixture
def file(tmp_path: Path) -> str:
    for name, steps in (("plain", 6), ("fast", 4)):
        preset = make_tiny(name=name, training__max_steps=steps)
        (tmp_path / f"{name}.toml").write_text(preset.to_toml())
    return write(tmp_path, plain_every=3, fast_every=2)


def write(directory: Path, **values: object) -> str:
    presets = {name: str(directory / f"{name}.toml") for name in ("plain", "fast")}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**presets, **values}.items()]
    path = directory / "tiny.toml"
    path.write_text("\n".join(["window = 8", *lines]) + "\n")
    return str(path)


def test_it_prints_a_line_per_seed_and_one_to_share(
    file: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["race", file, "--seeds", "2"])
    seed_1, seed_2, final, record = capsys.readouterr().out.splitlines()
    assert seed_1.startswith("seed 1: plain ")
    assert seed_2.startswith("seed 2: plain ")
    assert final.startswith("tiny: ")
    assert "of 2 seeds reached" in final
    for word in ("torch", "Python", "slm-tui", "cores", "bf16", "threads"):
        assert word in final
    values = json.loads(Path(record.removeprefix("record: ")).read_text())
    assert [one["seed"] for one in values["seeds"]] == [1, 2]
    assert [mark["step"] for mark in values["seeds"][0]["plain"]] == [3, 6]
    assert values["fast"]["preset"]["training"]["max_steps"] == 4
    assert {"commit", "machine", "versions", "text", "threads"} <= set(values)
    assert list((home / "data" / "races").glob("tiny-*.json"))


def test_json_is_one_object_per_seed_and_one_for_the_race(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["race", file, "--seeds", "1", "--first-seed", "4", "--json"])
    seed, race = map(json.loads, capsys.readouterr().out.splitlines())
    assert (seed["event"], race["event"]) == ("seed", "race")
    assert seed["seed"] == 4
    assert seed["plain"]["step"] == 6
    assert race["summary"]["seeds"] == 1
    assert race["summary"]["plain_loss"] == pytest.approx(seed["plain"]["loss"])


def test_a_seed_that_misses_the_target_is_an_error(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["race", file, "--seeds", "1", "--set", "optimizer.learning_rate=1e-9"]) == 1
    out = capsys.readouterr().out
    assert "fast did not reach" in out
    assert "0 of 1 seeds reached" in out


def test_another_text_has_no_fixed_target(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"The {n}th line of a text.\nIt goes on." for n in range(400)))
    changed = write(tmp_path, target=0.001, validation_sha256="0" * 64)
    main(["race", changed, "--seeds", "1", "--text", str(text)])
    out, err = capsys.readouterr()
    assert "not the text that the target belongs to" in err
    assert "reached 0.0010" not in out


def test_a_missing_text_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", "shakespeare", "--seeds", "1"]) == 1
    err = capsys.readouterr().err
    assert "use --text FILE with tinyshakespeare" in err
    assert len(err.splitlines()) == 1


def test_recipes_with_other_tokens_do_not_race(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_tiny(name="fast", data__documents=30)
    (tmp_path / "fast.toml").write_text(other.to_toml())
    assert main(["race", file, "--seeds", "1"]) == 1
    assert "do not train on the same tokens" in capsys.readouterr().err


def test_ctrl_c_keeps_the_seeds_that_are_done(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Runner.train

    def interrupted(self: Runner, steps: int, stop: object = None) -> None:
        if self.preset.training.seed == 2:
            signal.raise_signal(signal.SIGINT)
        train(self, steps)

    monkeypatch.setattr(Runner, "train", interrupted)
    assert main(["race", file, "--seeds", "3", "--json"]) == 130
    seed, race = map(json.loads, capsys.readouterr().out.splitlines())
    assert seed["seed"] == 1
    assert race["summary"]["seeds"] == 1


def test_the_races_are_listed_and_their_presets_are_in_the_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["race", "--list"]) == 0
    out = capsys.readouterr().out
    for name in ("shakespeare", "shakespeare-gpu", "stories"):
        assert name in out
        race = races.get(name).race
        for preset in (race.plain, race.fast):
            assert library.builtin(preset) is not None


def test_no_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", "--seeds", "0"]) == 1
    assert "--seeds must be at least 1" in capsys.readouterr().err
