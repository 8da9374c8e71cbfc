"""What is usual for a model: the learning rates of both optimizers, and what is far from them."""

import pytest

from slm_tui.config import library, overrides
from slm_tui.config.preset import Preset
from slm_tui.config.usual import lower_rate, rates_in_words, times_usual, usual_rates

SMALL, LARGE = 300_000, 30_000_000


def default(*changes: str) -> Preset:
    return overrides.apply(library.get(library.DEFAULT), list(changes))


def with_muon() -> list[str]:
    presets = [library.get(one.name) for one in library.entries()]
    return [one.name for one in presets if one.optimizer.kind == "muon"]


@pytest.mark.parametrize("name", with_muon())
def test_no_shipped_preset_has_a_rate_far_from_the_usual_one(name: str) -> None:
    preset = library.get(name)
    parameters = preset.model.parameters(preset.tokenizer.expected_vocabulary)[0]
    for rate in usual_rates(preset, parameters):
        assert rate.times_too_high < 2.5, rate
        assert rate.times_too_low < 2.5, rate


def test_with_muon_both_rates_have_a_range() -> None:
    hidden, others = usual_rates(default(), SMALL)
    assert (hidden.path, hidden.value) == ("optimizer.muon_learning_rate", 0.01)
    assert (others.path, others.value) == ("optimizer.learning_rate", 0.04)
    assert hidden.times_too_high < 1 > hidden.times_too_low
    assert others.times_too_high < 1 > others.times_too_low


def test_one_rate_for_all_weights_is_judged_as_that_of_hidden_matrices() -> None:
    modern = library.get("shakespeare-modern")
    assert modern.optimizer.muon_learning_rate is None
    (rate,) = usual_rates(modern, SMALL)
    assert (rate.path, rate.weights) == ("optimizer.learning_rate", "")
    assert rate.highest == usual_rates(default(), SMALL)[0].highest


def test_the_advice_names_the_rate_that_is_furthest_off() -> None:
    hot = default("optimizer.muon_learning_rate=0.9")
    assert times_usual(hot, SMALL) == pytest.approx(30)
    assert lower_rate(hot, SMALL) == "try optimizer.muon_learning_rate=0.015"
    assert lower_rate(default("optimizer.learning_rate=1"), SMALL).startswith(
        "try optimizer.learning_rate=0.05"
    )
    assert lower_rate(default(), SMALL).startswith("try a tenth of")


def test_where_nothing_is_known_there_is_no_range() -> None:
    assert usual_rates(default(), LARGE) == ()
    assert usual_rates(default(), 0) == ()
    assert times_usual(default(), LARGE) == 0
    assert usual_rates(library.get("bytes-hgrn-tiny"), SMALL) == ()
    (adamw,) = usual_rates(default("optimizer.kind=adamw", "optimizer.learning_rate=2e-3"), SMALL)
    assert (adamw.lowest, adamw.highest) == (5e-4, 6e-3)


def test_a_failure_names_both_rates() -> None:
    assert rates_in_words(default()) == "the learning rate was 0.04 (0.01 for hidden matrices)"
    assert rates_in_words(library.get("stories-small")) == "the learning rate was 0.002"
