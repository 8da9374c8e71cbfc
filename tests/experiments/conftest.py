"""Suites of presets that train in a fraction of a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config import library
from slm_tui.experiments.suite import Suite, parse
from tests.conftest import make_tiny

MakeSuite = Callable[..., Suite]


@pytest.fixture
def suite(home: Path) -> MakeSuite:
    """Makes suites over the user preset `tiny`: `suite(grid={...})`, or two variations."""
    library.save(make_tiny(training__threads=1, training__checkpoint_every=5))

    def make(**changes: Any) -> Suite:
        usual: dict[str, Any] = {"name": "mine", "base": "tiny"}
        if not {"variations", "grid", "search"} & set(changes):
            usual["variations"] = [
                {"name": "slow", "set": {"optimizer.learning_rate": 1e-4}},
                {"name": "fast", "set": {"optimizer.learning_rate": 1e-2}},
            ]
        return parse(usual | changes, "the test's suite")

    return make
