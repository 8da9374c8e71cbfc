"""The JSON schema of presets, for editors that validate and complete TOML files."""

from typing import Any

from slm_tui.config.migrations import SCHEMA
from slm_tui.config.preset import Preset

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
# Metadata for the form, under names that JSON Schema does not define.
_OF_THE_FORM = ("advanced", "nudge", "unit", "suggestions")

_VERSION = {
    "description": "Version of this format; the program writes it, and older ones are migrated",
    "type": "integer",
    "minimum": 1,
    "maximum": SCHEMA.version,
    "default": SCHEMA.version,
}


def preset_schema() -> dict[str, Any]:
    """The schema of a preset as a TOML file.

    It covers names, types, ranges and choices. Constraints between settings, such as `n_head`
    dividing `n_embd`, are checked only when a preset is read.
    """
    schema = Preset.model_json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    for section in schema["properties"].values():
        for kind, reference in section.get("discriminator", {}).get("mapping", {}).items():
            # A section without a kind gets the default kind: only that may match.
            if kind != section["default"]["kind"]:
                definition = definitions[reference.rpartition("/")[2]]
                definition["required"] = ["kind", *definition.get("required", [])]
    for table in (schema, *definitions.values()):
        table["properties"] = {
            name: _setting(values) for name, values in table["properties"].items()
        }
    schema["properties"] = {SCHEMA.key: _VERSION, **schema["properties"]}
    return {"$schema": _DRAFT, **schema, "title": "slm-tui preset"}


def _setting(values: dict[str, Any]) -> dict[str, Any]:
    """One setting, without the metadata for the form, and without null, which TOML lacks."""
    setting = {key: value for key, value in values.items() if key not in (*_OF_THE_FORM, "title")}
    if values.get("unit"):
        setting["description"] = f"{values['description']} ({values['unit']})"
    if "suggestions" in values:
        setting["examples"] = values["suggestions"]
    if setting.get("default", ...) is None:
        del setting["default"]
        (variant,) = (one for one in setting.pop("anyOf") if one != {"type": "null"})
        setting |= variant
    if "default" in setting:
        setting["default"] = _without_null(setting["default"])
    return setting


def _without_null(value: Any) -> Any:
    """A default without its unset parts."""
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return value
