"""Races: what is trained is what training would train, and times count training only."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slm_tui.config import library
from slm_tui.config import race as races
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.errors import PresetError, TrainingError
from slm_tui.training import race
from slm_tui.training.race import Mark, Runner
from tests.training.harness import train

Make = Callable[..., Preset]


def never() -> bool:
    return False


def runner(preset: Preset, every: int = 3) -> Runner:
    return Runner(preset, prepare(preset), every, 8)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_it_trains_exactly_like_training(tiny: Make, tmp_path: Path, optimizer: str) -> None:
    preset = tiny(optimizer__kind=optimizer, training__max_steps=6)
    done = train(preset, tmp_path)
    mine = runner(preset)
    mine.train(6)
    for name, weight in done.weights.items():
        assert torch.equal(weight, mine._optimizer.weights_by_name()[name])


def test_only_training_is_timed(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: Runner) -> float:
        time.sleep(1.0)
        return 5.0

    monkeypatch.setattr(Runner, "evaluate", slow)
    mine = runner(tiny(training__max_steps=2), every=2)
    began = time.perf_counter()
    while mine.done < 1:
        mine.advance(never)
    assert 0 < mine.seconds <= time.perf_counter() - began - 1.0
    assert mine.marks == [Mark(2, mine.seconds, mine.cpu_seconds, 5.0)]


def test_evaluations_come_at_multiples_of_the_interval_and_at_the_end(tiny: Make) -> None:
    mine = runner(tiny(training__max_steps=8))
    while mine.done < 1:
        mine.advance(never)
    assert [mark.step for mark in mine.marks] == [3, 6, 8]


def test_the_whole_validation_split_is_evaluated(tiny: Make) -> None:
    mine = runner(tiny())
    tokens = len(mine.corpus.val)
    assert mine._windows.ids.size == (tokens - 1) // 8 * 8


def test_the_fast_one_ends_at_the_target_and_the_plain_one_with_its_steps(tiny: Make) -> None:
    plain, fast = (runner(tiny(training__max_steps=9)) for _ in range(2))
    turns = list(race.run_seed(plain, fast, 100.0, never))
    result = race.result(plain, fast, 100.0)
    assert (fast.step, plain.step) == (3, 9)
    assert [one is plain for one in turns[:6]] == [True, False, True, False, True, False]
    assert result.reached == fast.marks[0]
    assert result.ratio == pytest.approx(fast.seconds / plain.seconds)


def test_without_a_target_it_is_the_loss_that_the_plain_one_ends_at(tiny: Make) -> None:
    plain, fast = runner(tiny(training__max_steps=3)), runner(tiny(training__max_steps=9))
    list(race.run_seed(plain, fast, None, never))
    result = race.result(plain, fast, None)
    assert fast.step == 9
    assert result.target == plain.marks[-1].loss
    # The same recipe so far, with a schedule for more steps.
    assert result.reached is not None
    assert result.reached.step in (3, 6)


def test_a_target_that_is_not_reached_has_no_ratio(tiny: Make) -> None:
    plain, fast = (runner(tiny(training__max_steps=3)) for _ in range(2))
    list(race.run_seed(plain, fast, 1e-3, never))
    result = race.result(plain, fast, 1e-3)
    assert result.reached is None
    assert result.ratio is None
    assert result.cpu_ratio is None


def test_a_loss_that_is_not_finite_ends_the_race(tiny: Make) -> None:
    mine = runner(tiny(optimizer__learning_rate=1.0, optimizer__weight_decay=10.0))
    mine._optimizer.weights.fill_(float("nan"))
    with pytest.raises(TrainingError, match="does not learn here: its loss is not finite"):
        mine.train(1)


@pytest.mark.parametrize("name", races.names())
def test_the_recipes_of_a_built_in_race_share_text_and_tokens(name: str) -> None:
    one = races.get(name).race
    plain, fast = library.get(one.plain), library.get(one.fast)
    assert (plain.data, plain.tokenizer) == (fast.data, fast.tokenizer)
    assert (one.target is None) == (one.validation_sha256 == "")
    assert plain.training.max_steps % one.plain_every == 0
    assert fast.training.max_steps % one.fast_every == 0


def test_an_unknown_race_and_a_wrong_file_are_explained(tmp_path: Path) -> None:
    with pytest.raises(
        PresetError, match="no race 'marathon'; try shakespeare, shakespeare-gpu or stories"
    ):
        races.get("marathon")
    path = tmp_path / "mine.toml"
    path.write_text('plain = "a"\nfast = "b"\ntarget = -1.0\n')
    with pytest.raises(PresetError, match="target"):
        races.get(str(path))
    with pytest.raises(PresetError, match="cannot be read"):
        races.get(str(tmp_path / "missing.toml"))
