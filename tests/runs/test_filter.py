"""The filter language of runs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.errors import SlmTuiError
from slm_tui.runs.filter import Filterable, parse, read
from slm_tui.runs.info import RunInfo
from tests.conftest import make_tiny


def run(pinned: bool = False, **values: Any) -> Filterable:
    usual: dict[str, Any] = {
        "name": "deep one",
        "preset": "stories-tiny",
        "state": "done",
        "group": "vocab-20261128-101500",
        "variation": "vocab-small",
        "step": 500,
        "best_loss": 1.4,
        "best_bpb": 0.9,
        "elapsed_seconds": 120.0,
        "facts": {"parameters": 1_200_000},
    }
    info = RunInfo(**usual | values)
    return Filterable(info, "deep-one-20261128", lambda: make_tiny(model__n_layer=2), pinned)


HOLDS = [
    "", "deep", "DEEP", "vocab", "group:vocab", "state:done", "state=done", "val<1.5", "val<=1.4",
    "val>1.3999", "bpb<1", "step>=500", "step=500", "minutes=2", "parameters>1e6",
    "parameters>1_000_000", "model.n_layer>=2", "model.n_layer=2", "model.kind:gpt",
    "tokenizer.kind=bytes", "group:vocab val<1.5 model.n_layer<6 state:done", "-state:failed",
    "not:failed", "state!=failed", "name:'deep one'", '"deep one"', "variation:small",
    "pinned:no", "training.max_minutes!=3", "schedule.kind:", "model.dropout<0.5",
]  # fmt: skip
FAILS = [
    "shallow", "group:embedding", "state:failed", "val<1.4", "val>1.4", "step<500", "step!=500",
    "model.n_layer>2", "-deep", "not:done", "deep shallow", "pinned:yes", "model.kind=hnet",
    "training.max_minutes>0", "name:'deep two'", "error:x", "train<100",
]  # fmt: skip


@pytest.mark.parametrize("text", HOLDS)
def test_a_filter_that_holds(text: str) -> None:
    assert parse(text).matches(run())


@pytest.mark.parametrize("text", FAILS)
def test_a_filter_that_does_not_hold(text: str) -> None:
    assert not parse(text).matches(run())


def test_a_pinned_run() -> None:
    assert parse("pinned:yes").matches(run(pinned=True))


def test_a_value_that_is_missing_matches_no_number() -> None:
    bare = run(best_loss=None, val_loss=None, best_bpb=None, val_bpb=None, facts={})
    for text in ("val<9", "val>0", "bpb<9", "parameters>0", "val=1"):
        assert not parse(text).matches(bare)
    assert parse("val!=1").matches(bare)


def test_a_damaged_preset_matches_no_setting() -> None:
    broken = Filterable(RunInfo(name="x"), "x", lambda: None)
    assert not parse("model.n_layer>0").matches(broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.layers>2", "runs have no field 'model.layers'; did you mean model.n_layer"),
        ("n_layer>2", "did you mean model.n_layer"),
        ("stat:done", "did you mean state"),
        ("val<low", "it is not a number"),
        ("val<", "it is not a number"),
        ("name:'deep", "a quote is not closed"),
    ],
)
def test_a_filter_that_cannot_be_understood_says_why(text: str, expected: str) -> None:
    with pytest.raises(SlmTuiError) as caught:
        parse(text)
    assert expected in str(caught.value)
    half = read(text)
    assert half.problem == str(caught.value)
    assert not half.matches(run())


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_reason(text: str) -> None:
    one = read(text)
    assert isinstance(one.matches(run()), bool)
    assert "\n" not in one.problem.replace(text, "")
