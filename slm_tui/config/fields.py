"""Declares each setting once: its range, unit, help and how it is nudged.

The form, the CLI help and the checks are all generated from these declarations.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from slm_tui.formatting import either


class Settings(BaseModel):
    """Base of every section of a preset: immutable; unknown names are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    # Groups of fields of which at most one may be set: an override of one clears the others.
    alternatives: ClassVar[tuple[frozenset[str], ...]] = ()


class Variant(Settings):
    """Base of the variants of a section: `kind` names the chosen one."""


def setting(
    default: Any = ...,
    *,
    help: str,
    unit: str = "",
    nudge: str = "",
    advanced: bool = False,
    suggestions: tuple[str, ...] = (),
    **constraints: Any,
) -> Any:
    """Declare a field of a preset.

    Args:
        default: the value if unset; `...` makes the field required.
        help: one line, shown by the form and the CLI.
        unit: what a number counts, e.g. `tokens`.
        nudge: how the arrow keys change it: `+1`, `+32`, `x2`, `125` (1, 2, 5 times a power
            of ten), `+0.05`, `divisor of NAME` (another setting of the section). Choices and
            switches cycle without it.
        advanced: shown only when the section is fully expanded.
        suggestions: values that the arrow keys cycle through; any other value can be typed.
        constraints: passed to pydantic: `ge`, `gt`, `le`, `lt`, `min_length`, `max_length`.
    """
    extra: JsonDict = {"unit": unit, "nudge": nudge, "advanced": advanced}
    if suggestions:
        extra["suggestions"] = list(suggestions)
    return Field(default, description=help, json_schema_extra=extra, **constraints)


def reject(field: str, message: str, works: object = None) -> PydanticCustomError:
    """An error on `field` of the model being validated, with a value that works."""
    hint = "" if works is None else f"; try {_spelled(works)}"
    return PydanticCustomError(
        "setting",
        "{message}{hint}",
        {"field": field, "message": message, "works": works, "hint": hint},
    )


def _spelled(works: object) -> str:
    if isinstance(works, (tuple, list)):
        return either([str(one) for one in works])
    return str(works)
