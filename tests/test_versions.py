"""Versions of values in files: which are migrated, refused, or left unchanged."""

from typing import Any

import pytest

from slm_tui import __version__
from slm_tui.versions import Format, NewerVersionError, rename


def add_one(values: dict[str, Any]) -> None:
    values["count"] += 1


def double(values: dict[str, Any]) -> None:
    values["count"] *= 2


FORMAT = Format("format", [add_one, double])


@pytest.mark.parametrize(
    ("values", "count"),
    [({"count": 5}, 12), ({"format": 1, "count": 5}, 12), ({"format": 2, "count": 5}, 10)],
)
def test_each_version_passes_through_the_migrations_after_it(
    values: dict[str, Any], count: int
) -> None:
    before = dict(values)
    assert FORMAT.migrate(values, "it") == {"count": count}
    assert values == before


def test_stamped_values_are_not_migrated() -> None:
    stamped = FORMAT.stamp({"count": 5})
    assert list(stamped.items()) == [("format", 3), ("count", 5)]
    assert FORMAT.migrate(stamped, "it") == {"count": 5}


def test_a_newer_version_is_refused_with_a_remedy() -> None:
    with pytest.raises(NewerVersionError, match="state.json has format 4") as caught:
        FORMAT.migrate({"format": 4, "count": 5}, "state.json")
    assert f"slm-tui {__version__} reads up to 3" in str(caught.value)
    assert caught.value.remedy == f"use a version of slm-tui newer than {__version__}"


@pytest.mark.parametrize("version", [0, -1, "2", 1.0, True, None, [1]])
def test_a_version_that_is_not_a_number_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="'format' in it should be a whole number, at least 1"):
        FORMAT.migrate({"format": version}, "it")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": {"old": 1, "x": 2}}, {"a": {"x": 2}, "b": {"new": 1}}),
        ({"a": {"old": 1}, "b": {"y": 3}}, {"a": {}, "b": {"y": 3, "new": 1}}),
        ({"a": {"old": 1}, "b": {"new": 4}}, {"a": {}, "b": {"new": 4}}),
        # Nothing to move, or nowhere to move it: the validation reports the problem.
        ({"b": {"new": 4}}, {"b": {"new": 4}}),
        ({"a": 7}, {"a": 7}),
        ({"a": [{"old": 1}]}, {"a": [{"old": 1}]}),
        ({"a": {"old": 1}, "b": "text"}, {"a": {"old": 1}, "b": "text"}),
    ],
)
def test_an_entry_is_renamed_across_sections(before: dict[str, Any], after: dict[str, Any]) -> None:
    rename("a.old", "b.new")(before)
    assert before == after
