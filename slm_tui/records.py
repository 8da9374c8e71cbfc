"""Plain values from files as typed records, validated once, when they are read."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar

from pydantic import Field, Strict, TypeAdapter, ValidationError

# No number in a run file may be so large that arithmetic on it fails.
LARGEST = 2**53
# No conversion of strings to numbers, or numbers to booleans.
Step = Annotated[int, Strict(), Field(ge=0, le=LARGEST)]
Count = Annotated[int, Strict(), Field(ge=0, le=LARGEST)]
# Seconds since the epoch: up to the year 9999, the limit of Python dates.
Moment = Annotated[float, Strict(), Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
Seconds = Annotated[float, Strict(), Field(ge=0, le=1e12, allow_inf_nan=False)]
Rate = Annotated[float, Strict(), Field(ge=0, le=1e15, allow_inf_nan=False)]
# A loss in nats or bits; may be infinite or NaN if training diverged.
Loss = Annotated[float, Strict()]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Strict(), Field(max_length=255)]
# The name of a file in a known directory; empty: none.
FileName = Annotated[str, Strict(), Field(max_length=255, pattern=r"^$|^[^./\\\x00][^/\\\x00]*$")]
Text = Annotated[str, Strict(), Field(max_length=1 << 20)]
Scalar = str | int | float | bool | None

Record = TypeVar("Record")
_adapters: dict[type, TypeAdapter[Any]] = {}
_MOST_ENTRIES = 200
_LONGEST_TEXT = 10_000


def record(kind: type[Record], values: Any, name: str) -> Record:
    """The record of type `kind`, a dataclass, from `values`.

    Unknown entries are ignored: a newer version may have added them.

    Raises:
        ValueError: `values` is not such a record; the message names the wrong entry.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} does not contain an object")
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    adapter = _adapters.get(kind)
    if adapter is None:
        adapter = _adapters[kind] = TypeAdapter(kind)
    try:
        result: Record = adapter.validate_python(
            {key: value for key, value in values.items() if key in names}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        entry = ".".join(str(part) for part in first["loc"][:2]) or "it"
        what = first["msg"].replace("Input should", "should")
        raise ValueError(f"{entry!r} in {name} {what[0].lower()}{what[1:]}") from None
    return result


def scalars(values: Any) -> dict[str, Scalar]:
    """The entries of `values` that are strings, finite numbers, booleans or null.

    Everything else is dropped: facts about a run are for display and simple arithmetic.
    """
    if not isinstance(values, Mapping):
        return {}
    result: dict[str, Scalar] = {}
    for name, value in values.items():
        if len(result) >= _MOST_ENTRIES:
            break
        if isinstance(name, str) and len(name) <= 100 and _is_plain(value):
            result[name] = value
    return result


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if isinstance(value, bool) or value is None:
        return True
    # NaN is excluded too: comparing it gives false.
    return isinstance(value, int | float) and abs(value) <= LARGEST


def number(values: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    """The number called `name`, at least 0; `default` if there is none."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return float(value) if 0 <= value <= LARGEST else default


def text(values: Mapping[str, Any], name: str) -> str:
    """The string called `name`, or an empty one."""
    value = values.get(name)
    return value if isinstance(value, str) else ""
