"""The keywords of JSON Schema: which can be enforced, and what their values must be.

What is in no list here is a note to the reader (`title`, `deprecated`, `discriminator`, `x-…`), as
JSON Schema has it: a misspelt keyword is one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from adafuse.json_schema.pointers import SchemaError

__all__ = ["COMBINING", "KEYWORDS", "KINDS", "OWN", "TYPES", "check"]

KINDS: dict[str, tuple[str, ...]] = {
    "object": (
        *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties", "unevaluatedProperties"),
    ),
    "array": (
        *("items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"),
        "unevaluatedItems",
    ),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""Keywords that say something of one type only."""

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

OWN = {name for names in KINDS.values() for name in names} | {"type", "enum", "const"}
"""Keywords that say something of the value itself."""

COMBINING = ("allOf", "anyOf", "oneOf")
"""Keywords that combine schemas of the same value."""

_REFUSED: dict[str, tuple[Callable[[Any, dict[str, Any]], bool], str]] = {
    # Each with when it says nothing.
    "not": (lambda value, _: value is False, "say what is allowed instead"),
    "if": (lambda _, schema: not {"then", "else"} & schema.keys(), "use 'anyOf'"),
    "contains": (
        lambda _, schema: schema.get("minContains") == 0 and "maxContains" not in schema,
        "use 'items' or 'prefixItems'",
    ),
    "dependentRequired": (lambda value, _: not value, "use 'anyOf' with 'required'"),
    "dependentSchemas": (lambda value, _: not value, "use 'anyOf'"),
    "dependencies": (lambda value, _: not value, "use 'anyOf'"),
    "contentSchema": (lambda _, __: False, "take an object in place of its text"),
    "$dynamicRef": (lambda _, __: False, "use '$ref'"),
    "$recursiveRef": (lambda _, __: False, "use '$ref'"),
}


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)  # type: ignore[operator,call-overload]


def _is_schemas(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _is_named(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(name in TYPES for name in names)


_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_type, f"must be one or several of {', '.join(TYPES)}"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "must be a list of values"),
    "required": (
        lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
        "must be a list of names, beside 'properties'",
    ),
    "items": (lambda value: _is_schema(value) or _is_schemas(value), "must be a schema"),
    "prefixItems": (_is_schemas, "must be a list of schemas"),
    **dict.fromkeys(
        ("pattern", "format", "$ref"), (lambda value: isinstance(value, str), "must be text")
    ),
    **dict.fromkeys(
        ("uniqueItems",), (lambda value: isinstance(value, bool), "must be true or false")
    ),
    **dict.fromkeys(
        ("properties", "patternProperties"), (_is_named, "must be an object of schemas")
    ),
    **dict.fromkeys(
        ("allOf", "anyOf", "oneOf"),
        (lambda v: _is_schemas(v) and bool(v), "must be a list of schemas"),
    ),
    **dict.fromkeys(
        (
            *("additionalProperties", "propertyNames", "additionalItems"),
            *("unevaluatedProperties", "unevaluatedItems"),
        ),
        (_is_schema, "must be a schema"),
    ),
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems"),
            *("minProperties", "maxProperties", "minContains", "maxContains"),
        ),
        (_is_count, "must be a whole number of at least 0"),
    ),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        (_is_number, "must be a number"),
    ),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "must be a number above 0"),
}

KEYWORDS = OWN | {*COMBINING, "$ref", *_REFUSED}
"""Keywords that say anything of a value."""


def check(schema: dict[str, Any], pointer: str) -> None:
    """Refuse keywords that cannot be enforced, and values that a keyword may not have."""
    for keyword, (harmless, instead) in _REFUSED.items():
        if keyword in schema and not harmless(schema[keyword], schema):
            raise SchemaError(keyword, pointer, f"cannot be enforced; {instead}")
    for keyword, (fits, wanted) in _SHAPES.items():
        if keyword in schema and not fits(schema[keyword]):
            raise SchemaError(keyword, pointer, wanted)
