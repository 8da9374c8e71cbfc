"""The JSON schema of presets: it accepts what the program writes and refuses simple mistakes."""

import json
import tomllib
from typing import Any

import pytest

from slm_tui.config import library
from slm_tui.config.preset import Preset, check
from slm_tui.config.schema import preset_schema

SCHEMA = preset_schema()
SHIPPED = [entry for entry in library.entries() if entry.builtin]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
# The keywords of JSON Schema that are checked here, and those that do not affect validity.
_CHECKED = {"$ref", "oneOf", "type", "const", "enum", "properties", "required", "items"}
_CHECKED |= {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_CHECKED |= {"minLength", "maxLength", "minItems", "maxItems", "additionalProperties"}
_SILENT = {"$schema", "$defs", "title", "description", "default", "examples", "discriminator"}


def faults(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """What is wrong with `value`, by the JSON Schema keywords that the preset schema uses."""
    if not set(schema) <= _CHECKED | _SILENT:
        raise NotImplementedError(f"{where}: {set(schema) - _CHECKED - _SILENT}")
    messages: list[str] = []
    if "$ref" in schema:
        messages += faults(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], where)
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if not faults(value, one, where)]
        messages += [] if len(fitting) == 1 else [f"{where} matches {len(fitting)} variants"]
    if "type" in schema:
        right = isinstance(value, _TYPES[schema["type"]])
        if not right or (isinstance(value, bool) and schema["type"] != "boolean"):
            return [*messages, f"{where} is not of type {schema['type']}"]
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        messages.append(f"{where} is not a choice: {value!r}")
    messages += _out_of_range(value, schema, where)
    if isinstance(value, dict):
        messages += [
            f"{where} lacks {name}" for name in schema.get("required", []) if name not in value
        ]
        properties = schema.get("properties", {})
        for name, inner in value.items():
            if name in properties:
                messages += faults(inner, properties[name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                messages.append(f"{where}.{name} is unknown")
    if isinstance(value, list) and "items" in schema:
        for at, inner in enumerate(value):
            messages += faults(inner, schema["items"], f"{where}[{at}]")
    return messages


def _out_of_range(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    size = len(value) if isinstance(value, (str, list)) else value
    wrong = {
        "minimum": lambda bound: size < bound,
        "exclusiveMinimum": lambda bound: size <= bound,
        "maximum": lambda bound: size > bound,
        "exclusiveMaximum": lambda bound: size >= bound,
        "minLength": lambda bound: size < bound,
        "maxLength": lambda bound: size > bound,
        "minItems": lambda bound: size < bound,
        "maxItems": lambda bound: size > bound,
    }
    return [
        f"{where}: {key} {schema[key]}"
        for key in wrong
        if key in schema and wrong[key](schema[key])
    ]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_every_shipped_preset_is_valid(entry: library.LibraryEntry) -> None:
    assert faults(tomllib.loads(entry.path.read_text(encoding="utf-8")), SCHEMA) == []
    assert entry.preset is not None
    assert faults(tomllib.loads(entry.preset.to_toml()), SCHEMA) == []


@pytest.mark.parametrize("section", ["data", "tokenizer", "model"])
def test_a_section_without_a_kind_is_validated_as_the_default_kind(section: str) -> None:
    values = {"name": "x", section: {}}
    preset, _ = check(values)
    assert preset is not None
    variants = SCHEMA["properties"][section]["oneOf"]
    (fitting,) = (one for one in variants if not faults({}, one))
    kind = getattr(preset, section).kind
    assert fitting == {"$ref": SCHEMA["properties"][section]["discriminator"]["mapping"][kind]}


@pytest.mark.parametrize(
    "text",
    [
        "[model]\nn_layer = 2",
        'name = "x"\ncolour = "red"',
        'name = "x"\n[model]\nn_layre = 2',
        'name = "x"\n[model]\nn_layer = 0',
        'name = "x"\n[model]\nn_layer = "many"',
        'name = "x"\n[data]\nkind = "files"',
        'name = "x"\n[data]\npath = "a.txt"',
        'name = "x"\n[optimizer]\nkind = "adam"',
        'name = "x"\n[sampling]\nprompts = [1]',
    ],
)
def test_the_schema_refuses_what_reading_refuses(text: str) -> None:
    values = tomllib.loads(text)
    assert check(values)[0] is None
    assert faults(values, SCHEMA)


def test_the_schema_is_plain_json_without_null_and_describes_every_setting() -> None:
    text = json.dumps(SCHEMA, allow_nan=False)
    assert json.loads(text) == SCHEMA
    assert "null" not in text
    tables = [SCHEMA, *SCHEMA["$defs"].values()]
    assert all(one["description"] for table in tables for one in table["properties"].values())


def test_the_schema_has_every_section() -> None:
    assert set(SCHEMA["properties"]) == {"schema", *Preset.model_fields}
