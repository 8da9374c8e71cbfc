"""The filter language: `group:vocab val<1.5 model.n_layer>=6 state:failed`.

Terms are separated by spaces, and all must hold; quotes keep spaces inside a term. `name:text`
holds if the text occurs in the field, `=` and `!=` compare whole values, `<`, `<=`, `>` and `>=`
numbers. A `-` or `not:` in front turns a term around. A word alone holds if it occurs in the
name, the group, the preset or the state.
"""

import difflib
import operator
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slm_tui.config import describe, overrides
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.runs.info import RunInfo

_TERM = re.compile(r"(?P<field>[A-Za-z_][A-Za-z0-9_.]*)(?P<sign><=|>=|!=|<|>|=|:)(?P<value>.*)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Filterable:
    """A run as the filter sees it. `preset` is read only if a term names a setting."""

    info: RunInfo
    directory: str
    preset: Callable[[], Preset | None]
    is_pinned: bool = False


Value = str | float | bool | None
_FIELDS: dict[str, Callable[[Filterable], Value]] = {
    "name": lambda run: run.info.name or run.directory,
    "run": lambda run: run.directory,
    "preset": lambda run: run.info.preset,
    "group": lambda run: run.info.group,
    "variation": lambda run: run.info.variation,
    "state": lambda run: run.info.state,
    "parent": lambda run: run.info.parent,
    "pinned": lambda run: "yes" if run.is_pinned else "no",
    "step": lambda run: float(run.info.step),
    "tokens": lambda run: float(run.info.tokens_seen),
    "seconds": lambda run: run.info.elapsed_seconds,
    "minutes": lambda run: run.info.elapsed_seconds / 60,
    "train": lambda run: run.info.train_loss,
    "val": lambda run: run.info.best_loss if run.info.best_loss is not None else run.info.val_loss,
    "bpb": lambda run: run.info.best_bpb if run.info.best_bpb is not None else run.info.val_bpb,
    "parameters": lambda run: _number(run.info.facts.get("parameters")),
    "device": lambda run: str(run.info.facts.get("device", "")),
    "error": lambda run: run.info.error,
}
_NAMES = ("name", "run", "group", "preset", "state", "variation", "parent")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class _Term:
    field: str
    sign: str
    value: str
    is_turned: bool

    def holds(self, run: Filterable) -> bool:
        return self._holds(run) != self.is_turned

    def _holds(self, run: Filterable) -> bool:
        if not self.field:
            wanted = self.value.lower()
            texts = [str(_FIELDS[name](run) or "") for name in _NAMES]
            return any(wanted in text.lower() for text in texts)
        have = _value(run, self.field)
        if self.sign == ":":
            return self.value.lower() in _text(have).lower()
        try:
            number = float(self.value.replace("_", "").rstrip("%"))
        except ValueError:
            is_equal = _text(have).lower() == self.value.lower()
            return is_equal if self.sign == "=" else not is_equal
        if have is None or isinstance(have, str):
            return self.sign == "!="
        return _COMPARE[self.sign](float(have), number)


def _value(run: Filterable, field: str) -> Value:
    if field in _FIELDS:
        return _FIELDS[field](run)
    preset = run.preset()
    if preset is None:
        return None
    value = overrides.get(preset.to_dict(), field)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float | bool) else None


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


@dataclass(frozen=True)
class RunFilter:
    """A parsed filter. `problem` says what cannot be understood; such a filter matches nothing."""

    text: str
    terms: tuple[_Term, ...] = ()
    problem: str = ""

    @property
    def needs_presets(self) -> bool:
        """Whether a term names a setting: then each run's preset is read."""
        return any(term.field and term.field not in _FIELDS for term in self.terms)

    def matches(self, run: Filterable) -> bool:
        """Whether every term holds for `run`."""
        return not self.problem and all(term.holds(run) for term in self.terms)


def read(text: str) -> RunFilter:
    """The filter that `text` means; its `problem` is set if it cannot be understood."""
    try:
        return parse(text)
    except SlmTuiError as error:
        return RunFilter(text, problem=str(error))


def parse(text: str) -> RunFilter:
    """The filter that `text` means.

    Raises:
        SlmTuiError: a quote is not closed, or a field does not exist, or a number is missing.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise SlmTuiError("the filter cannot be read", "a quote is not closed") from None
    return RunFilter(text, tuple(_term(word) for word in words))


def _term(word: str) -> _Term:
    is_turned = (len(word) > 1 and word.startswith("-")) or word.startswith("not:")
    rest = word[1:] if word.startswith("-") and len(word) > 1 else word.removeprefix("not:")
    match = _TERM.fullmatch(rest)
    if match is None:
        return _Term("", ":", rest, is_turned)
    field, sign, value = match["field"], match["sign"], match["value"]
    known = field in _FIELDS or field in _settings()
    if not known:
        close = difflib.get_close_matches(field, [*_FIELDS, *_settings()], n=2, cutoff=0.5)
        last = [path for path in _settings() if path.endswith(f".{field}")][:2]
        near = " or ".join(dict.fromkeys([*last, *close][:2]))
        remedy = f"did you mean {near}?" if near else f"there are: {', '.join(_FIELDS)}"
        raise SlmTuiError(f"runs have no field {field!r}", "", remedy)
    if sign in ("<", "<=", ">", ">="):
        try:
            float(value.replace("_", "").rstrip("%"))
        except ValueError:
            raise SlmTuiError(
                f"{word!r} compares with {value or 'nothing'!r}",
                "it is not a number",
                f"try {field}{sign}1.5",
            ) from None
    return _Term(field, sign, value, is_turned)


_paths: set[str] = set()


def _settings() -> set[str]:
    """The paths of all settings of all kinds of presets."""
    if not _paths:
        _paths.update(describe.every_path())
    return _paths
