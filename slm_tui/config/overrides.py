"""Changes a preset by path, for `--set model.n_layer=6`, the form, and suites."""

import contextlib
import shlex
from copy import deepcopy
from typing import Any

from slm_tui import plain_text
from slm_tui.config import describe, kinds
from slm_tui.config.describe import Setting
from slm_tui.config.limits import Limit
from slm_tui.config.preset import Preset, parse
from slm_tui.config.training import Schedule
from slm_tui.errors import PresetError, SlmTuiError
from slm_tui.formatting import either, whole_number

_ALTERNATIVES = {"limit": Limit.alternatives, "schedule": Schedule.alternatives}
_ABSENT = {"none", "null", "off", ""}
_SWITCH = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def read_value(text: str) -> Any:
    """Parse a typed value: TOML if possible (`3e-4`, `true`, `[64, 96]`), else the text."""
    if text.strip().lower() in _ABSENT:
        return None
    try:
        return plain_text.toml(f"value = {text}")["value"]
    except ValueError:
        return text


def put(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of `values` with `path` set; `None` clears it.

    Setting one of several alternatives (`limit.tokens`, `limit.characters`) clears the
    others. Setting a `kind` keeps the settings that the new kind also has.

    Raises:
        PresetError: there is no such setting.
    """
    changed = deepcopy(values)
    *parents, last = path.split(".")
    section = changed
    for parent in parents:
        inner = section.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise PresetError(f"{path} cannot be set", f"{parent} is not a section")
        section = inner
    for group in _ALTERNATIVES.get(parents[-1] if parents else "", ()):
        if last in group and value is not None:
            for other in group - {last}:
                section.pop(other, None)
    if value is None:
        section.pop(last, None)
    else:
        section[last] = value
    if last == "kind" and parents and parents[-1] in kinds.KINDS:
        _keep_shared_settings(changed, parents[-1])
    if path not in {one.path for one in describe.settings(changed)}:
        raise PresetError(f"there is no setting {path!r}", *_nearest(path, changed))
    return changed


def get(values: dict[str, Any], path: str) -> Any:
    """The value at `path`, or `None`."""
    here: Any = values
    for part in path.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    return here


def apply(preset: Preset, assignments: list[str]) -> Preset:
    """Return `preset` changed by `PATH=VALUE` assignments, in order.

    Raises:
        PresetError: an assignment has no `=`, names no setting, or the result is not valid.
    """
    values = preset.to_dict()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise PresetError(f"{assignment!r} is not PATH=VALUE", "", "try model.n_layer=6")
        values = put(values, path.strip(), _fitting(path.strip(), text, values))
    return parse(values, f"{preset.name} with these changes") if assignments else preset


def apply_line(preset: Preset, line: str) -> Preset:
    """Return `preset` changed by the `PATH=VALUE` assignments of one line, split like a shell does.

    Raises:
        PresetError: a quote is not closed, or an assignment is not valid.
    """
    try:
        assignments = shlex.split(line)
    except ValueError as error:
        raise PresetError("the line cannot be parsed", str(error), "close the quotes") from None
    return apply(preset, assignments)


def line_problem(preset: Preset, line: str) -> str:
    """Why `apply_line` would refuse `line`; empty if it would not."""
    try:
        apply_line(preset, line)
    except SlmTuiError as error:
        return str(error)
    return ""


def typed(setting: Setting, text: str) -> Any:
    """The value that `text` means in the form or after `--set`; it may still be invalid."""
    stripped = text.strip()
    if setting.type == "text":
        return text if setting.path.endswith("separator") else stripped
    if setting.type == "choice":
        absent = stripped.lower() in _ABSENT and stripped not in setting.choices
        return None if absent else stripped
    if setting.type == "switch":
        return _SWITCH.get(stripped.lower(), stripped or None)
    if setting.type in ("integer", "number"):
        with contextlib.suppress(ValueError):
            return whole_number(stripped)
    value = read_value(stripped)
    if isinstance(value, bool):
        return stripped
    return _as_list(setting, stripped, value) if setting.type == "list" else value


def _as_list(setting: Setting, text: str, value: Any) -> Any:
    """`value`, or the list that `text` means without its outer brackets: `64, 96`."""
    is_complete = isinstance(value, list) and (
        setting.items != "list" or any(isinstance(one, list) for one in value)
    )
    if value is None or is_complete:
        return value
    separated = text if "," in text or setting.items != "number" else ", ".join(text.split())
    bracketed = read_value(f"[{separated}]")
    if setting.items != "text" and isinstance(bracketed, list):
        return bracketed
    return [value] if isinstance(value, str) else value


def _fitting(path: str, text: str, values: dict[str, Any]) -> Any:
    """The value for `path`: text unchanged, anything else as in the form."""
    one = next((one for one in describe.settings(values) if one.path == path), None)
    if one is None:
        return read_value(text)
    return text if one.type == "text" else typed(one, text)


def difference(mine: dict[str, Any], base: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """`(path, value in base, value in mine)` for every setting that differs."""
    paths = [one.path for one in describe.settings(base)]
    paths += [one.path for one in describe.settings(mine) if one.path not in set(paths)]
    differences = []
    for path in paths:
        old, new = get(base, path), get(mine, path)
        if old != new and path not in ("name", "base", "group"):
            differences.append((path, old, new))
    return differences


def _keep_shared_settings(values: dict[str, Any], section: str) -> None:
    allowed = {
        one.path.split(".")[1]
        for one in describe.settings(values)
        if one.path.startswith(f"{section}.")
    }
    values[section] = {key: value for key, value in values[section].items() if key in allowed}


def _nearest(path: str, values: dict[str, Any]) -> tuple[str, str]:
    import difflib

    names = [one.path for one in describe.settings(values)]
    close = difflib.get_close_matches(path, names, n=2, cutoff=0.5)
    last = path.split(".")[-1]
    close = close or [name for name in names if name.endswith(f".{last}")][:2]
    return (
        "",
        f"did you mean {either(close)}?" if close else "`slm-tui presets show` lists them all",
    )
