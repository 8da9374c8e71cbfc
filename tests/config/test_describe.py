"""Settings as a list: complete, documented, and nudged within their range."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config import describe, library
from slm_tui.config.describe import Setting, nudged
from slm_tui.config.overrides import get
from slm_tui.config.preset import check
from tests.conftest import tiny_values

KINDS = [
    {},
    {"data": {"kind": "file"}, "tokenizer": {"kind": "gpt2"}},
    {"data": {"kind": "huggingface"}, "tokenizer": {"kind": "chars"}, "model": {"kind": "hgrn"}},
    {"data": {"kind": "directory"}, "tokenizer": {"kind": "bpe"}, "model": {"kind": "hnet"}},
]
ALL = [(values, one) for values in KINDS for one in describe.settings(values)]
NUMBERS = [(values, one) for values, one in ALL if one.type in ("integer", "number")]


def leaves(values: dict[str, Any], prefix: str = "") -> list[str]:
    result = []
    for name, value in values.items():
        path = f"{prefix}{name}"
        result += leaves(value, f"{path}.") if isinstance(value, dict) else [path]
    return result


@pytest.mark.parametrize("entry", library._builtin(), ids=lambda entry: entry.name)
def test_everything_in_a_preset_is_described(entry: library.LibraryEntry) -> None:
    assert entry.preset is not None
    values = entry.preset.to_dict()
    described = [one.path for one in describe.settings(values)]
    assert set(leaves(values)) <= set(described)
    assert len(described) == len(set(described))


@pytest.mark.parametrize(("values", "one"), ALL, ids=lambda value: getattr(value, "path", ""))
def test_every_setting_has_a_help_line(values: dict[str, Any], one: Setting) -> None:
    assert 3 <= len(one.help) <= 90
    assert "\n" not in one.help
    assert one.type != "choice" or one.choices


def test_defaults_match_the_schema() -> None:
    preset, _ = check({"name": "x"})
    assert preset is not None
    values = preset.to_dict()
    for one in describe.settings(values):
        if one.path != "name" and one.type not in ("list",):
            assert get(values, one.path) == one.default, one.path


def test_all_kinds_are_offered() -> None:
    offered = {one.path: one.choices for one in describe.settings({})}
    assert offered["model.kind"] == ("gpt", "hgrn", "hnet")
    assert "muon" in offered["optimizer.kind"]


def test_an_unknown_kind_can_still_be_shown() -> None:
    assert describe.settings({"model": {"kind": "abacus"}, "data": 3})


def in_range(one: Setting, value: Any) -> bool:
    """Whether the schema accepts it, ignoring other settings."""
    section, _, rest = one.path.partition(".")
    values: dict[str, Any] = {"name": "x", section: {}}
    for kinds in KINDS:
        if section in kinds and any(setting == one for setting in describe.settings(kinds)):
            values[section] = dict(kinds[section])
            break
    here = values[section]
    *parents, last = rest.split(".")
    for parent in parents:
        here = here.setdefault(parent, {})
    here[last] = value
    _, wrong = check(values)
    bounds = ("should be", "not a valid", "valid integer", "valid number")
    return not [p for p in wrong if p.path == one.path and any(s in p.message for s in bounds)]


@settings(max_examples=300, deadline=None)
@given(
    which=st.sampled_from(NUMBERS),
    data=st.data(),
    directions=st.lists(st.sampled_from([1, -1]), min_size=1, max_size=12),
)
def test_nudges_stay_inside_the_range(
    which: tuple[dict[str, Any], Setting], data: st.DataObject, directions: list[int]
) -> None:
    values, one = which
    low = one.minimum if one.minimum is not None else -1000
    high = one.maximum if one.maximum is not None else low + 10**6
    numbers = (
        st.integers(int(low), int(min(high, low + 10**6)))
        if one.type == "integer"
        else st.floats(low, high, exclude_min=one.above_minimum, exclude_max=one.below_maximum)
    )
    value = data.draw(numbers if not one.optional else numbers | st.none())
    if value is not None and not in_range(one, value):
        return
    for direction in directions:
        value = nudged(one, value, direction, values)
        assert in_range(one, value), value
        assert isinstance(value, int if one.type == "integer" else float)


def setting_of(path: str) -> Setting:
    return next(one for one in describe.settings({}) if one.path == path)


@pytest.mark.parametrize(
    ("path", "value", "up", "down"),
    [
        ("model.n_layer", 4, 5, 3),
        ("model.n_layer", 1, 2, 1),
        ("model.n_embd", 128, 160, 96),
        ("model.n_embd", 100, 128, 96),
        ("model.block_size", 128, 256, 64),
        ("model.dropout", 0.0, 0.05, 0.0),
        ("model.dropout", 0.95, 0.95, 0.9),
        ("optimizer.learning_rate", 1e-3, 2e-3, 5e-4),
        ("optimizer.learning_rate", 3e-3, 5e-3, 2e-3),
        ("training.max_steps", 1000, 2000, 500),
        ("training.max_steps", 1, 2, 1),
        ("schedule.warmup_steps", 0, 1, 0),
        ("sampling.top_p", 0.05, 0.1, 0.05),
        ("training.micro_batch", 16, 32, 8),
        ("model.bias", True, False, False),
        ("schedule.kind", "constant", "linear", "wsd"),
        ("data.path", "x", "x", "x"),
        ("data.limit.tokens", None, 100, 100),
    ],
)
def test_a_nudge_is_the_next_sensible_value(path: str, value: Any, up: Any, down: Any) -> None:
    values = {"data": {"kind": "file"}}
    one = next(one for one in describe.settings(values) if one.path == path)
    assert nudged(one, value, 1, values) == pytest.approx(up)
    assert nudged(one, value, -1, values) == pytest.approx(down)


def test_a_list_of_names_is_nudged_through_its_choices() -> None:
    logs = setting_of("training.log_to")
    assert (logs.type, logs.choices, logs.advanced) == (
        "list",
        ("tensorboard", "wandb", "mlflow"),
        True,
    )
    seen = [[]]
    for _ in range(5):
        seen.append(nudged(logs, seen[-1], 1, {}))
    every = ["tensorboard", "wandb", "mlflow"]
    assert seen == [[], ["tensorboard"], ["wandb"], ["mlflow"], every, []]
    assert nudged(logs, (), -1, {}) == every


def test_heads_are_nudged_to_divisors_of_the_width() -> None:
    heads = setting_of("model.n_head")
    values = tiny_values(model={"n_embd": 96, "n_head": 4})
    assert [nudged(heads, n, 1, values) for n in (4, 5, 6, 96)] == [6, 6, 8, 96]
    assert [nudged(heads, n, -1, values) for n in (4, 1)] == [3, 1]
