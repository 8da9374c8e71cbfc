"""Presets: what is valid, the messages for what is not, and how they are written."""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config import library
from slm_tui.config.preset import Preset, check, from_file, from_toml, parse
from slm_tui.errors import PresetError
from tests.conftest import tiny_values

SHIPPED = [entry.name for entry in library._builtin()]


def problems_of(**changes: Any) -> list[str]:
    preset, wrong = check(tiny_values(**changes))
    assert preset is None
    return [str(one) for one in wrong]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_preset_loads_and_can_be_trained(name: str) -> None:
    preset = library.get(name)
    assert preset.title
    assert preset.description
    assert preset.name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_preset_round_trips(name: str) -> None:
    preset = library.get(name)
    assert from_toml(preset.to_toml()) == preset
    assert tomllib.loads(preset.to_toml()) == {"schema": 1, **preset.to_dict()}


@settings(max_examples=60, deadline=None)
@given(
    title=st.text(max_size=80),
    prompts=st.lists(st.text(max_size=20), min_size=1, max_size=4),
    rate=st.floats(1e-12, 1.0),
    limit=st.sampled_from([{}, {"tokens": 500}, {"fraction": 0.25}]),
)
def test_any_preset_round_trips(
    title: str, prompts: list[str], rate: float, limit: dict[str, Any]
) -> None:
    values = tiny_values(
        title=title,
        sampling__prompts=prompts,
        optimizer__learning_rate=rate,
        data__limit=limit,
    )
    preset, _ = check(values)
    # Lone surrogates are not text; everything else is.
    if preset is not None:
        assert from_toml(preset.to_toml()) == preset


def test_a_name_alone_makes_a_preset() -> None:
    preset = parse({"name": "bare"}, "it")
    assert (preset.data.kind, preset.tokenizer.kind, preset.model.kind) == ("stories", "bpe", "gpt")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model": {"n_embd": 128, "n_head": 5}},
            "model.n_head: 128 is not divisible by 5; try 4 or 8",
        ),
        (
            {"model": {"n_embd": 36, "n_head": 4, "position": "rope"}},
            "model.position: rotary positions need an even head width; try learned",
        ),
        (
            {"schedule": {"minimum": 0.05}},
            "schedule.minimum: the learning rate would rise from 0.01 to 0.05; try 0.001",
        ),
        (
            {"schedule__warmup_steps": 50},
            "schedule.warmup_steps: warm-up of 50 steps is longer than the whole run of 12; try 1",
        ),
        (
            {"data__limit": {"tokens": 16}},
            "data.limit.tokens: 16 tokens do not fill a window of 16 plus its target; try 160",
        ),
        (
            {"data__limit": {"tokens": 100, "documents": 5}},
            "data.limit.tokens: only one limit may be set, not documents and tokens",
        ),
        (
            {"schedule": {"warmup_steps": 5, "warmup_fraction": 0.1}},
            "schedule.warmup_fraction: set only one of warmup_fraction and warmup_steps",
        ),
        (
            {"schedule__length_warmup_fraction": 0.5, "model__block_size": 17},
            "schedule.length_warmup_fraction: windows of 17 tokens cannot be halved; try 0",
        ),
        (
            {"training__max_steps": 0},
            "training.max_steps: 0 should be greater than or equal to 1; ",
        ),
        ({"model__dropout": 1.0}, "model.dropout: 1.0 should be less than 1; try 0.5"),
        ({"model__n_layers": 3}, "model.n_layers: no such setting"),
        ({"mood": "good"}, "mood: no such setting"),
        ({"model__n_layer": "many"}, "model.n_layer: 'many' is not a whole number; try 4"),
        ({"training__precision": "fp8"}, "try auto"),
    ],
)
def test_a_problem_names_a_value_that_works(changes: dict[str, Any], says: str) -> None:
    assert any(says in text for text in problems_of(**changes)), problems_of(**changes)


def test_the_suggested_values_work() -> None:
    for changes in (
        {"model": {"n_embd": 128, "n_head": 5}},
        {"schedule": {"minimum": 0.05}},
        {"schedule__warmup_steps": 50},
        {"data__limit": {"tokens": 16}},
        {"training__max_steps": 0, "schedule": {}},
        {"model__dropout": 1.0},
        {"model__n_embd": 4},
        {"optimizer__learning_rate": 0.0},
        {"sampling__top_p": 0.0},
        {"training__precision": "fp8"},
    ):
        values = tiny_values(**changes)
        _, wrong = check(values)
        (one, *_) = wrong
        section, _, name = one.path.rpartition(".")
        target = values
        for part in section.split("."):
            target = target[part]
        target[name] = one.works
        assert check(values)[0] is not None, (changes, one)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "path",
    ["optimizer__learning_rate", "optimizer__gradient_clip", "sampling__temperature"],
)
def test_values_that_are_not_numbers_are_refused(path: str, value: float) -> None:
    assert problems_of(**{path: value})


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\0b", "x" * 300, "", ".", "..", "a\n", "last", "-x", "a b", "ü"]
)
def test_a_name_that_is_not_a_file_name_is_refused(name: str) -> None:
    (text,) = problems_of(name=name)
    assert text.startswith("name: ")
    assert "cannot be used" in text


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(PresetError) as caught:
        parse(tiny_values(training__max_steps=0, model__n_layer=0), "my file")
    assert str(caught.value).startswith("my file is not a valid preset: ")
    assert "model.n_layer" in str(caught.value)
    assert "training.max_steps" in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    (tmp_path / "broken.toml").write_text("name = [")
    (tmp_path / "folder.toml").mkdir()
    for name, says in (
        ("gone.toml", "No such file"),
        ("latin.toml", "cannot be read"),
        ("broken.toml", "is not valid TOML"),
        ("folder.toml", "cannot be read"),
        ("a\0b.toml", "cannot be read"),
        ("x" * 300 + ".toml", "cannot be read"),
    ):
        with pytest.raises(PresetError, match=says) as caught:
            from_file(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_preset_cannot_be_changed() -> None:
    preset = parse(tiny_values(), "it")
    with pytest.raises(ValueError, match="frozen"):
        preset.model.n_embd = 32  # type: ignore[misc, union-attr]


def test_tokens_per_step_are_the_product() -> None:
    preset: Preset = parse(tiny_values(training__accumulation=3), "it")
    assert preset.tokens_per_step == 4 * 3 * 16
