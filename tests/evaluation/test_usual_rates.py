"""Verdicts on rates that are far from usual: each of the rates with Muon, and that of AdamW."""

import pytest

from slm_tui.config import overrides
from slm_tui.config.library import get
from slm_tui.config.preset import Preset
from slm_tui.config.usual import usual_rates
from slm_tui.evaluation.diagnosis import Evidence, Verdict, diagnose
from slm_tui.evaluation.diagnosis.remedies import Remedies

PARAMETERS = 300_000
# A loss that falls smoothly, but not far: nothing in the curve tells that a rate is wrong.
LOSSES = [6.9, 5.6, 5.0, 4.7, 4.5, 4.4, 4.3, 4.25, 4.2, 4.2]


def default(*changes: str) -> Preset:
    return overrides.apply(get("stories-tiny"), list(changes))


def verdicts_on(preset: Preset, losses: list[float]) -> list[Verdict]:
    steps = [100 * place for place in range(len(losses))]
    evidence = Evidence(
        val_steps=steps,
        val_losses=losses,
        train_losses=losses,
        step=steps[-1],
        max_steps=steps[-1],
        n_vocab=1024,
        parameters=PARAMETERS,
        learning_rate=preset.optimizer.learning_rate,
        usual_rates=usual_rates(preset, PARAMETERS),
        remedies=Remedies(preset),
    )
    return list(diagnose(evidence))


@pytest.mark.parametrize(
    ("change", "word", "remedy"),
    [
        (
            "optimizer.learning_rate=0.4",
            "learning rate too high",
            "optimizer.learning_rate=0.05",
        ),
        (
            "optimizer.learning_rate=0.0004",
            "learning rate too low",
            "optimizer.learning_rate=0.022",
        ),
        (
            "optimizer.muon_learning_rate=0.1",
            "learning rate too high",
            "optimizer.muon_learning_rate=0.015",
        ),
        (
            "optimizer.muon_learning_rate=0.0001",
            "learning rate too low",
            "optimizer.muon_learning_rate=0.0095",
        ),
    ],
)
def test_with_muon_the_remedy_changes_the_rate_that_is_wrong(
    change: str, word: str, remedy: str
) -> None:
    first = verdicts_on(default(change), LOSSES)[0]
    assert first.word == word
    assert first.remedy == (remedy,)
    whose = "hidden matrices" if "muon" in change else "embeddings and output layer"
    assert f"for {whose}" in first.evidence
    assert f"for {whose}" in first.remedies[0].text


def test_the_rates_of_the_default_preset_get_no_verdict() -> None:
    words = {one.word for one in verdicts_on(default(), LOSSES)}
    assert not words & {"learning rate too high", "learning rate too low"}


def test_a_low_loss_excuses_any_rate() -> None:
    low = [6.9, 3.0, 2.0, 1.6, 1.4, 1.3, 1.2, 1.15, 1.1, 1.1]
    words = {one.word for one in verdicts_on(default("optimizer.learning_rate=0.4"), low)}
    assert "learning rate too high" not in words


def test_the_remedy_of_adamw_has_one_rate() -> None:
    changes = ("optimizer.kind=adamw", "optimizer.learning_rate=0.1")
    first = verdicts_on(default(*changes), LOSSES)[0]
    assert first.word == "learning rate too high"
    assert "0.1 is 17 × the highest usual rate at 0.30 M parameters" in first.evidence
    assert first.remedy == ("optimizer.learning_rate=0.003",)
