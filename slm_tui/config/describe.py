"""The settings of a preset as a flat list: the basis of the form, the help and the docs."""

import functools
import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from slm_tui.config import kinds
from slm_tui.config.preset import Preset

Items = Literal["text", "number", "list"]
Type = Literal["integer", "number", "switch", "choice", "text", "list"]


@dataclass(frozen=True)
class Setting:
    """One setting: its path, its allowed values, and what it is for."""

    path: str
    type: Type
    default: Any
    optional: bool
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    unit: str
    nudge: str
    advanced: bool
    help: str
    # Whether the bounds themselves are excluded.
    above_minimum: bool = False
    below_maximum: bool = False
    # What a list holds.
    items: Items = "text"
    # Values to cycle through; any other value can be typed.
    suggestions: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        return self.path.split(".", 1)[0] if "." in self.path else "preset"

    @property
    def label(self) -> str:
        return self.path.split(".", 1)[-1]


def settings(values: dict[str, Any]) -> list[Setting]:
    """All settings of a preset with these values, in schema order.

    `values` may be invalid; its `kind` entries select the variants. An unknown kind falls
    back to the default one, so that the form can still be shown.
    """
    chosen = {
        section: kind
        for section, offered in kinds.KINDS.items()
        if isinstance(inner := values.get(section), dict)
        and isinstance(kind := inner.get("kind"), str)
        and kind in offered
    }
    return list(_settings_of(tuple(chosen.items())))


@functools.cache
def _settings_of(chosen: tuple[tuple[str, str], ...]) -> tuple[Setting, ...]:
    """Walking through the schema takes milliseconds, and the form asks at every key."""
    values = {section: {"kind": kind} for section, kind in chosen}
    return tuple(_walk(Preset, values, ""))


def every_path() -> list[str]:
    """The paths of the settings of all kinds of presets, in schema order."""
    variants = [
        {section: {"kind": kind}} for section, names in kinds.KINDS.items() for kind in names
    ]
    every = [setting.path for values in [{}, *variants] for setting in settings(values)]
    return list(dict.fromkeys(every))


def _walk(model: type[BaseModel], values: Any, prefix: str) -> Iterator[Setting]:
    for name, info in _in_order(model):
        path = f"{prefix}{name}"
        section = values.get(name) if isinstance(values, dict) else None
        nested = _nested(info.annotation, section)
        if nested is not None:
            yield from _walk(nested, section, f"{path}.")
        else:
            yield _setting(path, info, model)


def _in_order(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """`kind` first, since it determines the other settings; then what the class itself declares,
    what it inherits, and nested groups."""
    fields = list(model.model_fields.items())
    if model is Preset:
        return fields
    return sorted(
        fields,
        key=lambda item: (
            item[0] != "kind",
            _nested(item[1].annotation, None) is not None,
            item[0] not in model.__annotations__,
        ),
    )


def _nested(annotation: Any, section: Any) -> type[BaseModel] | None:
    options = [one for one in _options(annotation) if isinstance(one, type)]
    models = [one for one in options if issubclass(one, BaseModel)]
    if not models:
        return None
    kind = section.get("kind") if isinstance(section, dict) else None
    for model in models:
        if "kind" in model.model_fields and kind in get_args(model.model_fields["kind"].annotation):
            return model
    return _usual(models)


def _usual(models: list[type[BaseModel]]) -> type[BaseModel]:
    return next((model for model in models if model in kinds.USUAL.values()), models[0])


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _setting(path: str, info: FieldInfo, model: type[BaseModel]) -> Setting:
    options = _options(info.annotation)
    optional = type(None) in options
    annotation = next(one for one in options if one is not type(None))
    bounds = _bounds(info)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Setting(
        path=path,
        type=_type(annotation, path),
        default=None if info.is_required() else info.default,
        optional=optional,
        choices=_choices(annotation, path),
        minimum=bounds[0],
        maximum=bounds[1],
        unit=str(extra.get("unit", "")),
        nudge=str(extra.get("nudge", "")),
        advanced=bool(extra.get("advanced")),
        help=info.description or "",
        above_minimum=any(hasattr(rule, "gt") for rule in info.metadata),
        below_maximum=any(hasattr(rule, "lt") for rule in info.metadata),
        items=_items(annotation),
        suggestions=tuple(str(one) for one in _listed(extra.get("suggestions"))),
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _choices(annotation: Any, path: str) -> tuple[str, ...]:
    """The choices that this version can train; for a list, the choices for its items."""
    section, _, last = path.partition(".")
    if last == "kind" and section in kinds.KINDS:
        return kinds.offered(section)
    listed = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    return tuple(get_args(listed)) if get_origin(listed) is Literal else ()


def _type(annotation: Any, path: str) -> Type:
    if get_origin(annotation) is Literal:
        return "choice"
    if get_origin(annotation) is tuple:
        return "list"
    return {bool: "switch", int: "integer", float: "number"}.get(annotation, "text")  # type: ignore[return-value]


def _items(annotation: Any) -> Items:
    if get_origin(annotation) is not tuple:
        return "text"
    inner = get_args(annotation)[0]
    if get_origin(inner) is tuple:
        return "list"
    return "number" if inner in (int, float) else "text"


def _bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for rule in info.metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return low, high


def range_text(setting: Setting) -> str:
    """The numbers that a setting accepts, such as `1 to 64`, `above 0`, `at least 1`."""
    low, high = setting.minimum, setting.maximum
    above = "above" if setting.above_minimum else "at least"
    below = "below" if setting.below_maximum else "at most"
    if low is not None and high is not None:
        if not setting.above_minimum and not setting.below_maximum:
            return f"{_number(low)} to {_number(high)}"
        return f"{above} {_number(low)}, {below} {_number(high)}"
    if low is not None:
        return f"{above} {_number(low)}"
    return f"{below} {_number(high)}" if high is not None else ""


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


def nudged(setting: Setting, value: Any, direction: int, values: dict[str, Any]) -> Any:
    """The next sensible value up (`direction` 1) or down (-1), within the range."""
    if setting.type == "switch":
        return not value
    if setting.type == "choice":
        at = setting.choices.index(value) if value in setting.choices else 0
        return setting.choices[(at + direction) % len(setting.choices)]
    if setting.type == "list" and setting.choices:
        return _next_list(setting.choices, value, direction)
    if setting.suggestions:
        suggestions = setting.suggestions
        at = suggestions.index(value) if value in suggestions else -1 if direction > 0 else 0
        return suggestions[(at + direction) % len(suggestions)]
    if setting.type not in ("integer", "number"):
        return value
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return _first_value(setting, values)
    moved = _stepped(setting, value, direction, values)
    if setting.minimum is not None:
        moved = max(moved, setting.minimum)
    if setting.maximum is not None:
        moved = min(moved, setting.maximum)
    moved = round(moved) if setting.type == "integer" else float(f"{moved:.10g}")
    return moved if _inside(setting, moved) else value


def _next_list(choices: tuple[str, ...], value: Any, direction: int) -> list[str]:
    """The next entry in the cycle: none, each choice alone, all of them."""
    ladder = [[], *([one] for one in choices), list(choices)]
    now = list(value) if isinstance(value, (list, tuple)) else []
    at = ladder.index(now) if now in ladder else 0
    return ladder[(at + direction) % len(ladder)]


def _inside(setting: Setting, value: float) -> bool:
    """Whether `value` is not an excluded bound."""
    low = setting.above_minimum and setting.minimum is not None and value <= setting.minimum
    high = setting.below_maximum and setting.maximum is not None and value >= setting.maximum
    return not (low or high)


def _first_value(setting: Setting, values: dict[str, Any]) -> Any:
    """The first value of an unset number when it is nudged; within its range."""
    if isinstance(setting.default, (int, float)):
        return setting.default
    if setting.nudge.startswith("divisor of "):
        return _sibling_value(setting, setting.nudge.removeprefix("divisor of "), values)
    start = 100.0 if setting.type == "integer" else 0.1
    if setting.maximum is not None:
        start = min(start, setting.maximum)
    return int(start) if setting.type == "integer" else start


def _stepped(setting: Setting, value: float, direction: int, values: dict[str, Any]) -> float:
    rule = setting.nudge or "+1"
    if rule == "x2":
        return value * 2 if direction > 0 else value / 2
    if rule == "125":
        moved = _one_two_five(value, direction)
        return max(1, moved) if setting.type == "integer" and direction > 0 else moved
    if rule.startswith("divisor of "):
        width = _sibling_value(setting, rule.removeprefix("divisor of "), values)
        fits = [n for n in range(1, 129) if width % n == 0] if isinstance(width, int) else [1]
        beyond = [n for n in fits if (n > value if direction > 0 else n < value)]
        return (beyond[0] if direction > 0 else beyond[-1]) if beyond else value
    step = float(rule)
    grid = math.floor(value / step + 1e-9) if direction > 0 else math.ceil(value / step - 1e-9)
    return (grid + direction) * step


def _sibling_value(setting: Setting, name: str, values: dict[str, Any]) -> Any:
    """The value of another setting in the same section."""
    path = f"{setting.section}.{name}"
    value = (values.get(setting.section) or {}).get(name)
    return value or next(one.default for one in settings(values) if one.path == path)


def _one_two_five(value: float, direction: int) -> float:
    """The neighbour of `value` in 1, 2, 5, 10, 20, 50, …"""
    if value <= 0:
        return 1e-4 if direction > 0 else 0
    power = math.floor(math.log10(value) + 1e-9)
    ladder = [m * 10.0**p for p in (power - 1, power, power + 1) for m in (1, 2, 5)]
    if direction > 0:
        return next(rung for rung in ladder if rung > value * (1 + 1e-9))
    return next(rung for rung in reversed(ladder) if rung < value * (1 - 1e-9))
