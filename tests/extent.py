"""How much the tests cover: a sample by default, everything with `make test-all`."""

import os
import random
from collections import defaultdict

import pytest

ALL = os.environ.get("SLM_TUI_TEST_ALL") == "1"

# A case outside the sample: another one stands in for it.
only_in_all = pytest.mark.skipif(not ALL, reason="only in `make test-all`")


def of(sample: int, whole: int) -> int:
    """How often, or how large: `sample` by default."""
    return whole if ALL else sample


def sizes(whole: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sizes of the terminal, `(columns, rows)`: by default the smallest and a usual one."""
    return whole if ALL else [one for one in whole if one in (min(whole), (120, 40))]


def sample(count: int) -> pytest.MarkDecorator:
    """How many cases of a parametrized test run by default: each value occurs if possible."""
    return pytest.mark.sample(count)


def left_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """The cases that run only in `make test-all`."""
    cases: dict[tuple[pytest.Item | None, str], list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("sample"):
            cases[item.parent, item.originalname].append(item)  # type: ignore[index]
    result: list[pytest.Item] = []
    for some in cases.values():
        mark = some[0].get_closest_marker("sample")
        assert mark is not None
        chosen = _chosen(some, mark.args[0])
        result += [one for one in some if one not in chosen]
    return [] if ALL else result


def _chosen(cases: list[pytest.Function], count: int) -> list[pytest.Function]:
    """Cases with the most values that no case before has, in an order that is always the same."""
    rest = list(cases)
    random.Random(len(rest)).shuffle(rest)
    seen: set[tuple[str, int]] = set()
    chosen: list[pytest.Function] = []
    while rest and len(chosen) < count:
        best = max(rest, key=lambda one: len(set(one.callspec.indices.items()) - seen))
        seen |= set(best.callspec.indices.items())
        rest.remove(best)
        chosen.append(best)
    return chosen
