"""The page on verdicts follows from the stored figures."""

from pathlib import Path

import pytest

from tests.verdicts import grid, muon_table, table

ROOT = Path(__file__).parents[2]
FIGURES = Path(table.__file__).with_name("figures.jsonl")
MUON_FIGURES = FIGURES.with_name("figures-muon.jsonl")


def row(changes: list[str], best: float | None, *verdicts: dict[str, object]) -> dict[str, object]:
    fixed = {"run": 1, "changes": changes, "rate": 0.1, "steps": 100}
    return {**fixed, "best": best, "verdicts": list(verdicts)}


def test_the_page_is_the_one_that_the_figures_make() -> None:
    page = (ROOT / "docs" / "verdicts.md").read_text()
    assert page == table.report(table.read(FIGURES), table.read(MUON_FIGURES))


def test_a_remedy_helps_only_if_the_loss_falls_by_more_than_chance() -> None:
    lower, more = ["optimizer.learning_rate=0.01"], ["training.max_steps=300"]
    remedies = [{"text": "", "changes": lower}, {"text": "", "changes": more}]
    base = row([], 2.0, {"word": "learning rate too high", "sure": 1, "remedies": remedies})
    found = table.measured([base, row(lower, 1.5), row(more, 1.99)])
    one = found["learning rate too high"]
    assert (one.right.yes, one.right.of) == (1, 1)
    assert one.remedies["a lower learning rate"].share == 1
    assert one.remedies["more steps"].share == 0
    assert table.missed([base, row(lower, 1.5)]).share == 1
    silent = row([], 2.0, {"word": "still learning", "sure": 1, "remedies": []})
    assert table.missed([silent, row(lower, 1.5)]).share == 0


def test_a_run_that_failed_is_worse_than_any_other() -> None:
    good, failed = row([], 2.0), row([], None)
    assert table.change(good, failed) == 1.0
    assert table.change(failed, good) == -1.0
    assert table.change(failed, failed) is None


def test_the_interval_of_a_share() -> None:
    low, high = table.wilson(8, 10)
    assert low == pytest.approx(0.490, abs=0.001)
    assert high == pytest.approx(0.943, abs=0.001)
    assert table.wilson(0, 5)[0] == 0
    assert table.wilson(5, 5)[1] == 1


def test_the_grid_is_valid_and_always_the_same() -> None:
    one, two = grid.presets(60, None), grid.presets(60, None)
    assert one == two
    assert len({preset.optimizer.learning_rate for _, preset in one}) == len(grid.RATES)
    assert {preset.training.seed for _, preset in one} == set(range(60))


def test_the_grid_with_muon_has_every_pair_of_rates() -> None:
    presets = [preset for _, preset in grid.muon_presets(None)]
    assert presets == [preset for _, preset in grid.muon_presets(None)]
    pairs = {
        (one.optimizer.muon_learning_rate, one.optimizer.learning_rate, one.model.layers)
        for one in presets
    }
    sizes = len(grid.HIDDEN_RATES) * len(grid.OTHER_RATES) * len(grid.MUON_SIZES)
    assert len(pairs) == len(presets) == sizes


def test_losses_are_compared_with_the_best_of_the_same_text_and_model() -> None:
    def of(text: str, best: float | None, *words: str) -> dict[str, object]:
        verdicts = [{"word": word} for word in words]
        fixed = {"layers": 1, "width": 8, "steps": 100, "changes": []}
        return {**fixed, "text": text, "best": best, "verdicts": verdicts}

    high = "learning rate too high"
    rows = [of("one", 2.0), of("one", 3.0, high), of("other", 5.0), of("other", None, "diverging")]
    found = muon_table.excess(rows)
    assert [by for _, by in found] == [0.0, 0.5, 0.0, float("inf")]
    assert muon_table.told(row for row, by in found if by > muon_table.WORSE) == (2, 2)
    assert muon_table.told(row for row, by in found if by < muon_table.AS_GOOD) == (0, 2)
