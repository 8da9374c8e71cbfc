"""Events to JSON and back, for the event log and its readers."""

import math
import re
from dataclasses import asdict, fields
from typing import Any, get_args

from slm_tui import records
from slm_tui.training import events
from slm_tui.training.events import Event

_WORD = re.compile(r"(?<!^)(?=[A-Z])")
KINDS: dict[str, type[Event]] = {
    _WORD.sub("_", kind.__name__).lower(): kind for kind in get_args(Event)
}
_NAMES = {kind: name for name, kind in KINDS.items()}
# Numbers that JSON does not have.
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def kind_of(event: Event) -> str:
    """The name of an event in JSON: `saved`, `went_back`…"""
    return _NAMES[type(event)]


def to_json(event: Event) -> dict[str, Any]:
    """`event` as plain values; non-finite numbers become `nan`, `inf` or `-inf` strings."""
    values = {name: _plain(value) for name, value in asdict(event).items()}
    return {"event": kind_of(event), **values}


def from_json(values: dict[str, Any]) -> Event | None:
    """The event in `values`; `None` for an unknown kind, or values that do not fit.

    Fields that other versions added are ignored.
    """
    kind = KINDS.get(records.text(values, "event"))
    if kind is None:
        return None
    numbers = {one.name for one in fields(kind) if one.type in (float, "float")}
    whole = {
        name: _SPECIAL.get(value, value) if name in numbers and isinstance(value, str) else value
        for name, value in values.items()
    }
    try:
        event: Event = records.record(kind, whole, "the event")
    except ValueError:
        return None
    return _migrated(event)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


# The first version wrote three kinds of events as warnings, in these words.
_SKIPPED = re.compile(r"step \d+ skipped: not finite \(loss (\S+), gradient norm (\S+)\)")
_WENT_BACK = re.compile(r"back to step \d+ with half the learning rate")
_SPIKED = re.compile(r"loss spike: (\S+) nats where (\S+) was usual \(gradient norm (\S+)\)")


def _migrated(event: Event) -> Event:
    if not isinstance(event, events.Warned):
        return event
    step, text = event.step, event.message
    try:
        if match := _SKIPPED.fullmatch(text):
            return events.Skipped(step, *map(float, match.groups()))
        if match := _SPIKED.fullmatch(text):
            return events.Spiked(step, *map(float, match.groups()))
    except ValueError:
        return event
    return events.WentBack(step) if _WENT_BACK.fullmatch(text) else event
