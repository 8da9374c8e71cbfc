"""How much the tests cover: a sample by default, everything with `make test-all`."""

import os

import pytest

ALL = os.environ.get("SLM_TUI_TEST_ALL") == "1"

# A case outside the sample: another one stands in for it.
only_in_all = pytest.mark.skipif(not ALL, reason="only in `make test-all`")


def of(sample: int, whole: int) -> int:
    """How often, or how large: `sample` by default."""
    return whole if ALL else sample


def sizes(whole: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sizes of the terminal, `(columns, rows)`: by default the smallest and the two usual ones."""
    return whole if ALL else [one for one in whole if one in (min(whole), (80, 24), (120, 40))]
