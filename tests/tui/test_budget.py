"""The budget of a preset with the sizes of its prepared corpus."""

from pathlib import Path

import pytest

from slm_tui.config import library, overrides
from slm_tui.corpus.prepare import prepare
from slm_tui.formatting import count
from slm_tui.tui.widgets.budget import Budget
from tests.tui.made_runs import until
from tests.tui.two_presets import an_app, room


@pytest.fixture(autouse=True)
def home(two_presets: Path) -> Path:
    return two_presets


async def test_a_prepared_corpus_gives_the_budget_its_real_sizes() -> None:
    preset = overrides.apply(library.get("mine"), ["data.documents=300"])
    library.save(preset)
    corpus = prepare(preset)
    total, _ = preset.model.parameters(corpus.tokenizer.n_vocab)
    app = an_app()
    async with app.run_test(size=(120, 40)) as pilot:
        room(app).choose("mine")
        shown = room(app).query_one(Budget)
        vocabulary = f"vocabulary    {corpus.tokenizer.n_vocab:,}"
        await until(pilot, lambda: vocabulary in str(shown.render()))
        assert f"params        {count(total)}" in str(shown.render())
