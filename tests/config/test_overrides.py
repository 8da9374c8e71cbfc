"""Changing a preset by path."""

import pytest

from slm_tui.config import library
from slm_tui.config.drafts import Draft
from slm_tui.config.overrides import (
    apply,
    apply_line,
    difference,
    get,
    line_problem,
    put,
    read_value,
)
from slm_tui.config.preset import Preset
from slm_tui.errors import PresetError, SlmTuiError


def changed(*assignments: str, name: str = "stories-tiny") -> Preset:
    return apply(library.get(name), list(assignments))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6", 6),
        ("3e-4", 3e-4),
        ("1_000", 1000),
        ("true", True),
        ("[64, 96]", [64, 96]),
        ('"6"', "6"),
        ("fp32", "fp32"),
        ("none", None),
        ("off", None),
        ("", None),
        ("a b = c", "a b = c"),
    ],
)
def test_values_are_read_as_typed(text: str, value: object) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["1,000", "1_000", "1000", "1e3", "1000.0", " 1000 "])
def test_whole_numbers_are_accepted_in_the_form_and_after_set(text: str) -> None:
    assert changed(f"training.max_steps={text}").training.max_steps == 1000
    draft = Draft(library.get("stories-tiny"), builtin=True)
    steps = next(one for one in draft.settings() if one.path == "training.max_steps")
    draft.put_text(steps, text)
    assert draft.preset is not None
    assert draft.preset.training.max_steps == 1000


@pytest.mark.parametrize("text", ["1,0", "1,00,000", "true", "1.5", "1e-3"])
def test_other_numbers_are_refused_in_the_form_and_after_set(text: str) -> None:
    with pytest.raises(PresetError, match=r"training\.max_steps"):
        changed(f"training.max_steps={text}")
    draft = Draft(library.get("stories-tiny"), builtin=True)
    steps = next(one for one in draft.settings() if one.path == "training.max_steps")
    draft.put_text(steps, text)
    assert "training.max_steps" in draft.problems


def test_a_single_text_becomes_a_list_of_one() -> None:
    assert changed("sampling.prompts=Once upon").sampling.prompts == ("Once upon",)


def test_a_line_of_changes_is_split_like_a_shell_does() -> None:
    preset = library.get("stories-tiny")
    line = """training.max_steps=1,000 'title=two words' sampling.prompts='["a b", "c"]'"""
    changed = apply_line(preset, line)
    assert changed.training.max_steps == 1000
    assert changed.title == "two words"
    assert changed.sampling.prompts == ("a b", "c")
    assert apply_line(preset, "  ") == preset


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("'title=open", "the line cannot be parsed: No closing quotation; close the quotes"),
        ("training.max_steps=many", "not a whole number"),
        ("title=two words", "'words' is not PATH=VALUE"),
    ],
)
def test_an_unusable_line_says_why(line: str, says: str) -> None:
    preset = library.get("stories-tiny")
    assert says in line_problem(preset, line)
    with pytest.raises(SlmTuiError):
        apply_line(preset, line)
    assert line_problem(preset, "training.max_steps=5") == ""


def test_settings_are_changed_by_path() -> None:
    preset = changed("model.n_layer=6", "data.limit.tokens=5000", "optimizer.learning_rate=3e-4")
    assert (preset.model.n_layer, preset.data.limit.tokens) == (6, 5000)  # type: ignore[union-attr]
    assert preset.optimizer.learning_rate == 3e-4


def test_no_changes_give_the_same_preset() -> None:
    preset = library.get("stories-tiny")
    assert apply(preset, []) is preset


def test_the_last_assignment_counts() -> None:
    assert changed("training.seed=1", "training.seed=2").training.seed == 2


def test_setting_one_of_several_alternatives_clears_the_others() -> None:
    preset = changed("data.limit.documents=50", "data.limit.characters=900")
    assert (preset.data.limit.documents, preset.data.limit.characters) == (None, 900)
    schedule = changed("schedule.warmup_steps=7").schedule
    assert (schedule.warmup_steps, schedule.warmup_fraction) == (7, None)
    schedule = changed("schedule.minimum=1e-5").schedule
    assert (schedule.minimum, schedule.minimum_ratio) == (1e-5, None)


def test_clearing_one_leaves_the_others_alone() -> None:
    schedule = changed("schedule.minimum=none").schedule
    assert schedule.minimum_ratio == changed().schedule.minimum_ratio is not None
    assert changed("sampling.top_k=5", "sampling.top_k=off").sampling.top_k is None


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("off", False), ("yes", True), ("False", False)]
)
def test_a_switch_accepts_any_word_for_it(text: str, value: bool) -> None:
    preset = changed(f"model.bias={text}", "model.tie_weights=true")
    assert preset.model.bias is value  # type: ignore[union-attr]


def test_another_kind_keeps_the_shared_settings() -> None:
    preset = changed("tokenizer.kind=gpt2")
    assert preset.tokenizer.vocab_size == 1024  # type: ignore[union-attr]
    assert changed("tokenizer.kind=bytes").tokenizer.model_dump() == {"kind": "bytes"}
    preset = changed("data.kind=file", "data.path=007.txt")
    assert preset.data.path == "007.txt"  # type: ignore[union-attr]
    assert preset.data.split.validation == 0.02
    assert changed("model.kind=hgrn").model.n_layer == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("model.n_layer", "is not PATH=VALUE; try model.n_layer=6"),
        ("model.n_layers=3", "no setting 'model.n_layers'; did you mean model.n_layer"),
        ("n_embd=3", "did you mean model.n_embd"),
        ("=3", "there is no setting"),
        ("model.n_layer.x=3", "n_layer is not a section"),
        ("model=3", "there is no setting 'model'"),
        ("model.n_head=5", "model.n_head: 96 is not divisible by 5; try 4 or 6"),
        ("schedule.minimum=0.5", "the learning rate would rise"),
        ("tokenizer.kind=morse", "tokenizer"),
        ("training.max_steps=many", "'many' is not a whole number"),
        ("optimizer.learning_rate=nan", "learning_rate"),
        ("name=../x", "cannot be used"),
    ],
)
def test_an_impossible_change_is_one_clear_line(assignment: str, says: str) -> None:
    with pytest.raises(PresetError) as caught:
        changed(assignment)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_put_does_not_change_its_input() -> None:
    values = library.get("stories-tiny").to_dict()
    before = repr(values)
    put(values, "model.n_layer", 9)
    assert repr(values) == before


def test_get_returns_none_for_an_unset_path() -> None:
    values = library.get("stories-tiny").to_dict()
    assert get(values, "model.n_layer") == 3
    assert get(values, "model.n_layer.x") is None
    assert get(values, "no.such") is None


def test_the_difference_lists_what_changed() -> None:
    base = library.get("stories-tiny").to_dict()
    mine = changed("model.n_layer=5", "tokenizer.kind=bytes", "name=mine").to_dict()
    differences = {path: (old, new) for path, old, new in difference(mine, base)}
    assert differences["model.n_layer"] == (3, 5)
    assert differences["tokenizer.kind"] == ("bpe", "bytes")
    assert "name" not in differences
    assert difference(base, base) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("d_model", "[64, 96]", (64, 96)),
        ("d_model", "64, 96", (64, 96)),
        ("d_model", "64 96", (64, 96)),
        ("num_blocks", "[[1, 0, 1], [3]]", ((1, 0, 1), (3,))),
        ("num_blocks", "[1, 0, 1], [3]", ((1, 0, 1), (3,))),
        ("learning_rate_multipliers", "2 1.5", (2.0, 1.5)),
        ("learning_rate_multipliers", "[]", ()),
    ],
)
def test_a_list_of_numbers_needs_no_brackets(path: str, text: str, expected: object) -> None:
    model = changed("model.kind=hnet", f"model.{path}={text}").model
    assert getattr(model, path) == expected


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("d_model=64", "model.d_model: needs at least 2 items, not 1"),
        ("d_model=8 8 8 8 8", "model.d_model: needs at most 4 items, not 5"),
        ('d_model=[64, "x"]', "model.d_model.1: 'x' is not a whole number"),
        ("num_blocks=[[1, 0, 1], 3]", "model.num_blocks.1: 3 is not a list; try [3]"),
        ("num_blocks=[[1, 0, 1], [2.5]]", "model.num_blocks.1.0: 2.5 is not a whole number"),
    ],
)
def test_a_wrong_list_is_one_clear_line(assignment: str, message: str) -> None:
    with pytest.raises(PresetError) as error:
        changed("model.kind=hnet", f"model.{assignment}")
    assert str(error.value).endswith(message)
