"""How settings are associated with the loss, over runs that differ in several."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slm_tui.config import describe, overrides
from slm_tui.config.preset import Preset

_LABELS = {"name", "title", "group", "description", "base", "training.seed"}
_MOST_VALUES = 12


@dataclass(frozen=True)
class SettingValue:
    """The runs with one value of a setting: their number and mean bits per byte."""

    value: Any
    bits_per_byte: float
    runs: int


@dataclass(frozen=True)
class Association:
    """A setting that varies. `change` is the mean bits per byte with the worst value minus that
    with the best; `matched` whether only runs were compared that differ in nothing else."""

    path: str
    values: tuple[SettingValue, ...]
    change: float
    matched: bool

    @property
    def best(self) -> SettingValue:
        return min(self.values, key=lambda one: one.bits_per_byte)

    @property
    def worst(self) -> SettingValue:
        return max(self.values, key=lambda one: one.bits_per_byte)


def differing(presets: Sequence[Preset]) -> dict[str, list[Any]]:
    """The settings in which presets differ, with the value of each preset in order.

    Where the kinds of a section differ, only settings that all kinds have are compared.
    """
    if not presets:
        return {}
    values = [preset.to_dict() for preset in presets]
    paths = [[one.path for one in describe.settings(each)] for each in values]
    common = set(paths[0]).intersection(*paths)
    result: dict[str, list[Any]] = {}
    for path in dict.fromkeys(path for each in paths for path in each):
        if path in _LABELS or path not in common:
            continue
        row = [overrides.get(each, path) for each in values]
        if any(one != row[0] for one in row):
            result[path] = row
    return result


def associations(runs: Sequence[tuple[Preset, float]]) -> list[Association]:
    """For each setting that varies, the bits per byte associated with its values, largest
    change first. An association: other settings may have changed with it."""
    rows = differing([preset for preset, _ in runs])
    bits = [value for _, value in runs]
    result = []
    for path, values in rows.items():
        groups = _matched(path, rows, bits)
        matched = groups is not None
        shown = groups if groups is not None else _by_value(zip(values, bits, strict=True))
        if not 2 <= len(shown) <= _MOST_VALUES:
            continue
        means = tuple(
            SettingValue(_plain(values, key), sum(each) / len(each), len(each))
            for key, each in shown.items()
        )
        change = max(one.bits_per_byte for one in means) - min(one.bits_per_byte for one in means)
        result.append(Association(path, means, change, matched))
    return sorted(result, key=lambda one: -one.change)


def _plain(values: Sequence[Any], key: str) -> Any:
    return next(value for value in values if repr(value) == key)


def _by_value(pairs: Iterable[tuple[Any, float]]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for value, bits in pairs:
        groups[repr(value)].append(bits)
    return groups


def _matched(
    path: str, rows: Mapping[str, Sequence[Any]], bits: Sequence[float]
) -> dict[str, list[float]] | None:
    """Bits by value over runs that have a partner for each value and equal other settings."""
    everything = {repr(value) for value in rows[path]}
    others: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for at, value in enumerate(bits):
        rest = repr([rows[one][at] for one in rows if one != path])
        others[rest][repr(rows[path][at])].append(value)
    complete = [group for group in others.values() if set(group) == everything]
    if not complete:
        return None
    result: dict[str, list[float]] = defaultdict(list)
    for group in complete:
        for key, values in group.items():
            result[key] += values
    return result
