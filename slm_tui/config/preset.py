"""The preset: everything needed to start a run, with validation."""

import difflib
import re
from pathlib import Path
from typing import Any, Self, get_args

import tomli_w
from pydantic import BaseModel, ValidationError, field_validator, model_validator

from slm_tui import plain_text
from slm_tui.config import kinds
from slm_tui.config.data import DataConfig, StoriesData
from slm_tui.config.fields import Settings, reject, setting
from slm_tui.config.migrations import SCHEMA
from slm_tui.config.model import GptModel, ModelConfig
from slm_tui.config.problem import Problem
from slm_tui.config.tokenizer import TokenizerConfig
from slm_tui.config.training import Optimizer, Sampling, Schedule, Training
from slm_tui.errors import PresetError, SlmTuiError, cause_of
from slm_tui.paths import check_name
from slm_tui.versions import NewerVersionError


class Preset(Settings):
    """Everything needed to start a run."""

    name: str = setting(help="Short name: letters, digits, dash, dot, underscore")
    title: str = setting("", max_length=80, help="Title shown in lists")
    group: str = setting("mine", max_length=40, help="Group heading in the list")
    description: str = setting("", max_length=2000, help="What it is for")
    base: str = setting("", help="Preset that this one is based on", advanced=True)
    data: DataConfig = setting(StoriesData(), help="Training text")
    tokenizer: TokenizerConfig = setting({"kind": "bpe"}, help="Tokenizer")
    model: ModelConfig = setting(GptModel(), help="Model")
    optimizer: Optimizer = setting(Optimizer(), help="Optimizer")
    schedule: Schedule = setting(Schedule(), help="Learning rate schedule")
    training: Training = setting(Training(), help="Training")
    sampling: Sampling = setting(Sampling(), help="Sampling")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_missing_kinds(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for section, usual in kinds.USUAL.items():
            value = filled.get(section)
            if isinstance(value, dict) and "kind" not in value:
                filled[section] = {"kind": kinds.kind_of(usual), **value}
        return filled

    @field_validator("name")
    @classmethod
    def _check_name_is_a_path_component(cls, name: str) -> str:
        try:
            return check_name(name, "preset name")
        except SlmTuiError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _check_sections_together(self) -> Self:
        rate, schedule = self.optimizer.learning_rate, self.schedule
        if schedule.minimum is not None and schedule.minimum > rate:
            raise reject(
                "schedule.minimum",
                f"the learning rate would rise from {rate:g} to {schedule.minimum:g}",
                f"{rate / 10:g}",
            )
        steps = self.training.max_steps
        if schedule.warmup_steps is not None and schedule.warmup_steps > steps:
            raise reject(
                "schedule.warmup_steps",
                f"warm-up of {schedule.warmup_steps} steps is longer than the whole run of {steps}",
                max(1, steps // 10),
            )
        if schedule.length_warmup_fraction and self.model.block_size % 2:
            raise reject(
                "schedule.length_warmup_fraction",
                f"windows of {self.model.block_size} tokens cannot be halved",
                0,
            )
        tokens = self.data.limit.tokens
        if tokens is not None and tokens <= self.model.block_size:
            raise reject(
                "data.limit.tokens",
                f"{tokens} tokens do not fill a window of {self.model.block_size} plus its target",
                self.model.block_size * 10,
            )
        if getattr(self.model, "word_loss_weight", 0) and self.tokenizer.kind != "bytes":
            raise reject("model.word_loss_weight", "words are found in bytes, not in tokens", 0)
        return self

    @property
    def tokens_per_step(self) -> int:
        """`micro_batch` x `accumulation` x `block_size`."""
        return self.training.micro_batch * self.training.accumulation * self.model.block_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in TOML; unset ones are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_stored(self) -> dict[str, Any]:
        """The plain values as stored in a file: with the schema version."""
        return SCHEMA.stamp(self.to_dict())

    def to_toml(self) -> str:
        """The whole preset as a TOML file, in schema order."""
        return toml_of(self.to_dict())


def toml_of(values: dict[str, Any]) -> str:
    """Plain values of this version, which may be invalid, as a TOML file."""
    return tomli_w.dumps(SCHEMA.stamp(values), multiline_strings=False)


def problems(error: ValidationError) -> list[Problem]:
    """Translate a validation error into one problem per setting."""
    details: list[dict[str, Any]] = [dict(one) for one in error.errors(include_url=False)]
    # pydantic counts only the valid items of a list: an invalid one is the only problem.
    locations = [detail["loc"] for detail in details if detail["loc"]]
    item_errors = {location[:-1] for location in locations if isinstance(location[-1], int)}
    return [
        _problem(detail)
        for detail in details
        if detail["type"] not in _COUNTS or detail["loc"] not in item_errors
    ]


def _problem(detail: dict[str, Any]) -> Problem:
    location = [str(part) for part in detail["loc"]]
    if len(location) > 1 and location[1] in kinds.KINDS.get(location[0], ()):
        del location[1]
    context = detail.get("ctx") or {}
    kind = detail["type"]
    if kind == "setting":
        path = ".".join([*location, context["field"]])
        works = context.get("works")
        return Problem(path, detail["msg"], works[0] if isinstance(works, list) else works)
    path = ".".join(location)
    if kind == "union_tag_invalid":
        return _unknown_kind(path, context["tag"])
    if kind == "extra_forbidden":
        return Problem(path, "no such setting")
    if kind == "missing":
        return Problem(path, "is missing")
    if kind in _COUNTS:
        number = context.get("min_length", context.get("max_length"))
        counted = "1 item" if number == 1 else f"{number} items"
        return Problem(path, f"needs {_COUNTS[kind]} {counted}, not {context['actual_length']}")
    if kind in ("tuple_type", "list_type"):
        works = f"[{detail['input']}]"
        return Problem(path, f"{detail['input']!r} is not a list; try {works}", works)
    works = _bound(kind, context)
    if kind in _UNREADABLE:
        usual = _usual(path)
        hint = f"; try {usual}" if usual is not None else ""
        return Problem(path, f"{detail['input']!r} is not {_UNREADABLE[kind]}{hint}", usual)
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if "input" in detail and not isinstance(detail["input"], (dict, list)):
        message = f"{detail['input']!r} {message}"
    return Problem(path, message + (f"; try {works}" if works is not None else ""), works)


def _unknown_kind(section: str, kind: object) -> Problem:
    """A kind that is not in the schema; offers those that this version can train."""
    offered = kinds.offered(section)
    close = difflib.get_close_matches(str(kind), offered, n=1)
    works = close[0] if close else kinds.kind_of(kinds.USUAL[section])
    *others, last = offered
    choices = f"{', '.join(others)} or {last}" if others else last
    return Problem(f"{section}.kind", f"unknown kind {kind!r}; try {choices}", works)


_COUNTS = {"too_short": "at least", "too_long": "at most"}
# What pydantic expected when a value has the wrong type, in user terms.
_UNREADABLE = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
}


def _usual(path: str) -> object:
    """The default of the setting at `path`, of the usual kind where there are several."""
    model: type[BaseModel] = Preset
    *sections, name = path.split(".")
    for section in sections:
        info = model.model_fields.get(section)
        options = get_args(info.annotation) or (info.annotation,) if info is not None else ()
        models = [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
        if not models:
            return None
        usual = kinds.USUAL.values()
        model = next((one for one in models if one in usual), models[0])
    info = model.model_fields.get(name)
    return None if info is None or info.is_required() else info.default


def _bound(kind: str, context: dict[str, Any]) -> object:
    """A value inside the violated range."""
    for name in ("ge", "le"):
        if name in context:
            return context[name]
    if "gt" in context:
        return context["gt"] + (1 if isinstance(context["gt"], int) else 0.001) or 0.001
    if "lt" in context:
        return context["lt"] / 2
    if kind == "literal_error":
        return re.split(", | or ", str(context.get("expected", "")))[0].strip("'") or None
    return None


def check(values: dict[str, Any]) -> tuple[Preset | None, list[Problem]]:
    """Validate plain values. Returns the preset, or the problems."""
    try:
        return Preset.model_validate(values), []
    except ValidationError as error:
        return None, problems(error)


class NewerPresetError(PresetError):
    """The preset was written by a newer version of the program."""


def migrated(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Plain values from a file of any version, migrated to this one; they may be invalid.

    Raises:
        NewerPresetError: they were written by a newer version.
        PresetError: their version is not a number.
    """
    try:
        return SCHEMA.migrate(values, "the preset")
    except NewerVersionError as error:
        raise NewerPresetError(f"{where} cannot be read", str(error), error.remedy) from None
    except ValueError as error:
        raise PresetError(f"{where} is not a valid preset", str(error)) from None


def from_stored(values: dict[str, Any], where: str) -> Preset:
    """Read a preset from the plain values in a file of any version.

    Raises:
        NewerPresetError: they were written by a newer version.
        PresetError: names `where` and every problem.
    """
    return parse(migrated(values, where), where)


def parse(values: dict[str, Any], where: str) -> Preset:
    """Validate plain values of this version; for values from files use `from_stored`.

    Raises:
        PresetError: names `where` and every problem.
    """
    preset, wrong = check(values)
    if preset is None:
        raise PresetError(f"{where} is not a valid preset", "; ".join(map(str, wrong)))
    return preset


def from_toml(text: str, where: str = "the text") -> Preset:
    """Read a preset from TOML.

    Raises:
        PresetError: it is not TOML, not a valid preset, or from a newer version.
    """
    try:
        values = plain_text.toml(text)
    except ValueError as error:
        raise PresetError(f"{where} is not valid TOML", str(error)) from None
    return from_stored(values, where)


def from_file(path: Path) -> Preset:
    """Read a preset from a TOML file.

    Raises:
        PresetError: the file cannot be read or is not a valid preset.
    """
    try:
        text = plain_text.read(path)
    except (OSError, ValueError) as error:
        reason = cause_of(error)
        raise PresetError(f"{path} cannot be read", reason) from None
    return from_toml(text, str(path))
