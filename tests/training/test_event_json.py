"""Events as JSON and back, including those of the first version of the program."""

import json
import math
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.training.event_json import KINDS, from_json, kind_of, to_json
from slm_tui.training.events import (
    Changed,
    Event,
    Failed,
    Saved,
    Skipped,
    Spiked,
    Stepped,
    Warned,
    WentBack,
)

events: st.SearchStrategy[Any] = st.one_of(*(st.builds(kind) for kind in get_args(Event)))


def same(one: Event, other: Event | None) -> bool:
    """Equality in which NaN equals NaN."""
    return type(one) is type(other) and repr(one) == repr(other)


@given(events)
def test_every_event_round_trips(event: Event) -> None:
    numbers = [getattr(event, one.name) for one in fields(event)]
    if any(isinstance(one, int) and abs(one) > 2**53 for one in numbers):
        return
    if getattr(event, "facts", None) or getattr(event, "metrics", None):
        return
    assert same(event, from_json(json.loads(json.dumps(to_json(event), allow_nan=False))))


def test_every_kind_has_a_unique_name() -> None:
    assert len(KINDS) == len(get_args(Event))
    assert kind_of(WentBack(1)) == "went_back"
    assert kind_of(Saved(1, "best", "step-000001", 2, 0.1)) == "saved"


def test_metrics_round_trip() -> None:
    event = Stepped(1, 0.5, 64, 0.01, math.inf, math.nan, 640.0, {"ratio": 0.5})
    assert same(event, from_json(to_json(event)))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"event": "flown", "step": 1},
        {"event": 7},
        {"event": "saved", "step": 1},
        {"event": "changed", "step": 1, "what": "threads", "value": []},
        {"event": "failed", "step": 1, "error": "x", "cause": "a mood"},
    ],
)
def test_values_that_are_not_an_event_give_none(values: dict[str, Any]) -> None:
    assert from_json(values) is None


def test_fields_of_newer_versions_are_ignored() -> None:
    values = {"event": "changed", "step": 3, "what": "threads", "value": 2, "why": "it was hot"}
    assert from_json(values) == Changed(3, "threads", 2)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (
            "step 7 skipped: not finite (loss nan, gradient norm inf)",
            Skipped(7, math.nan, math.inf),
        ),
        ("back to step 7 with half the learning rate", WentBack(7)),
        ("loss spike: 9.1 nats where 2.5 was usual (gradient norm 33)", Spiked(7, 9.1, 2.5, 33.0)),
        ("loss spike: it was said", Warned(7, "loss spike: it was said")),
        ("TensorBoard is off", Warned(7, "TensorBoard is off")),
    ],
)
def test_warnings_of_the_first_version_are_converted(message: str, event: Event) -> None:
    assert same(event, from_json({"event": "warned", "step": 7, "message": message}))


def test_messages_of_events_are_not_parsed() -> None:
    """Rewording a message changes nothing: an event written as its own kind is read as that
    kind."""
    for event in (Skipped(7, math.nan, 3.25), WentBack(7), Spiked(7, 9.1, 2.5, 33.0)):
        written = to_json(event)
        assert event.message not in written.values()
        assert same(event, from_json(written))


def test_a_failure_of_the_first_version_has_no_cause() -> None:
    assert from_json({"event": "failed", "step": 3, "error": "x"}) == Failed(3, "x", "other")
