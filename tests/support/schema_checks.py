"""What makes an answer wrong under a JSON schema, and schemas that are refused.

This module knows neither models nor grammars.
"""

import datetime
import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

__all__ = ["NEVER", "REFUSED", "VALIDATOR", "wrong"]


def _multiple_of(_: Any, step: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    """Whether a number is a multiple as it is written; as a float 8.1 is no multiple of 0.1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        ways = (Fraction(value) / Fraction(step), Fraction(repr(value)) / Fraction(repr(step)))
        if all(way.denominator > 1 for way in ways):
            yield ValidationError(f"{value} is not a multiple of {step}")


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.datetime.fromisoformat(value.upper()))


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.time.fromisoformat(value.upper()))


VALIDATOR: Any = extend(Draft202012Validator, {"multipleOf": _multiple_of})
FORMATS = FormatChecker()
FORMATS.checks("date-time", raises=ValueError)(_is_moment)  # jsonschema's own need a package more
FORMATS.checks("time", raises=ValueError)(_is_time)


def wrong(schema: Any, text: str) -> str:
    """Why a text is not JSON that a schema accepts; empty if it is."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    errors = VALIDATOR(schema, format_checker=FORMATS).iter_errors(value)
    return "; ".join(error.message for error in errors)


def _of_strings(*listed: str, **keywords: Any) -> dict[str, Any]:
    """An object of strings, in which the listed properties are integers."""
    rest = {"additionalProperties": {"type": "string"}}
    return {"type": "object", "properties": dict.fromkeys(listed, INTEGER), **rest, **keywords}


INTEGER, NUMBER, STRING = ({"type": kind} for kind in ("integer", "number", "string"))
_DATE = {"type": "string", "format": "date"}
_MOMENT = {"type": "string", "format": "date-time"}
_SELF = {"$ref": "#/$defs/a"}

NEVER: tuple[tuple[dict[str, Any], str], ...] = (
    # A name that is another's, written otherwise.
    (_of_strings("a"), r'{"\u0061": "x"}'),
    (_of_strings("a"), r'{"a": 1, "\u0061": "x"}'),
    (_of_strings("\x7f"), r'{"\u007f": "x"}'),
    (_of_strings("\x1f"), r'{"\u001F": "x"}'),
    (_of_strings(patternProperties={"^x": INTEGER}), r'{"\u0078": "x"}'),
    # A property that comes twice and counts once.
    ({"type": "object", "additionalProperties": INTEGER, "minProperties": 2}, '{"a": 1, "a": 2}'),
    # Bounds that numbers only seem to keep.
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "0"),
    ({"type": "number", "minimum": -0.5, "exclusiveMaximum": 0}, "-0"),
    ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.5}, "1"),
    ({"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": -1}, "-1"),
    ({"type": "number", "exclusiveMaximum": 1}, "0.99999999999999999999"),
    ({"type": "number", "exclusiveMinimum": 1}, "1.00000000000000000001"),
    ({"type": "number", "exclusiveMinimum": 0}, f"0.{'0' * 330}1"),
    # Numbers that no reader holds.
    (NUMBER, "1e999"),
    ({}, "[1e999]"),
    ({"anyOf": [{}, {"type": "null"}]}, "-1e999"),
    ({"type": "number", "minimum": 5}, f"1{'0' * 400}.0"),
    ({"type": "number", "multipleOf": 0.5}, f"1{'0' * 400}.5"),
    (INTEGER, "1" * 4301),
    ({"type": "integer", "minimum": 10, "multipleOf": 7}, "7" * 4302),
    ({"type": "array"}, f"{'[' * 2000}{']' * 2000}"),
    # Dates and times that are none.
    (_DATE, '"2023-02-29"'),
    (_DATE, '"1900-02-29"'),
    (_DATE, '"0000-01-01"'),
    ({**_DATE, "pattern": "^2023-02"}, '"2023-02-29"'),
    (_MOMENT, '"2023-02-29T00:00:00Z"'),
    # Ways of writing JSON that are none.
    ({"type": "number"}, "01"),
    ({"type": "number"}, "NaN"),
    ({"type": "number"}, "1."),
    (STRING, '"a\tb"'),
    (STRING, r'"\ud800"'),
    (STRING, r'"\x"'),
    ({"type": "array", "items": INTEGER}, "[1, ]"),
    ({"type": "object"}, '{"a": 1, }'),
)
"""Texts that a schema forbids, and that a grammar made of it may let through."""

_LISTED = {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}}

REFUSED: dict[str, dict[str, Any]] = {
    "not": {"not": STRING},
    "not, in a property": {"type": "object", "properties": {"a": {"not": STRING}}},
    "not, in a definition": {"$defs": {"a": {"not": STRING}}, **_SELF},
    "if": {"if": STRING, "then": {"minLength": 1}, "else": {"minimum": 1}},
    "contains": {"type": "array", "contains": INTEGER},
    "uniqueItems": {"type": "array", "items": INTEGER, "uniqueItems": True},
    "oneOf that overlaps": {"oneOf": [NUMBER, INTEGER]},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "dependentSchemas": {"type": "object", "dependentSchemas": {"a": _LISTED}},
    "$dynamicRef": {"$dynamicRef": "#a"},
    "$ref to elsewhere": {"$ref": "https://example.com/schema.json"},
    "$ref to a file": {"$ref": "file:///etc/hostname"},
    "$ref to nothing": {"$ref": "#/$defs/missing"},
    "$ref to itself": {"$ref": "#"},
    "$ref in a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": _SELF}, **_SELF},
    "recursion without an end": {
        "$defs": {"a": {"type": "object", "properties": {"a": _SELF}, "required": ["a"]}},
        **_SELF,
    },
    "lists without an end": {
        "$defs": {"a": {"type": "array", "items": _SELF, "minItems": 1}},
        **_SELF,
    },
    "unknown type": {"type": "text"},
    "lookahead": {"type": "string", "pattern": "^(?=a)b"},
    "backreference": {"type": "string", "pattern": r"^(a)\1$"},
    "no regex": {"type": "string", "pattern": "("},
    "false": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "enum of nothing": {"enum": []},
    "minLength above maxLength": {"type": "string", "minLength": 2, "maxLength": 1},
    "minimum above maximum": {"type": "integer", "minimum": 2, "maximum": 1},
    "no integer within": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "no multiple within": {"type": "integer", "multipleOf": 1000, "minimum": 1, "maximum": 999},
    "minItems above maxItems": {"type": "array", "minItems": 2, "maxItems": 1},
    "minItems of nothing": {"type": "array", "items": False, "minItems": 1},
    "minProperties above maxProperties": {"type": "object", "minProperties": 2, "maxProperties": 1},
    "more properties than listed": {**_LISTED, "minProperties": 3, "additionalProperties": False},
    "required and forbidden": {**_LISTED, "required": ["c"], "additionalProperties": False},
    "types that exclude each other": {"allOf": [STRING, INTEGER]},
    "pattern above maxLength": {"type": "string", "pattern": "^abc$", "maxLength": 2},
    "const of another type": {"type": "string", "const": 1},
    "const that floats change": {"const": 2**53 + 1},
    "the lowest integer": {"const": -(2**63)},
    "a range beyond floats": {"type": "integer", "minimum": -(2**63), "maximum": -(2**63) + 9},
    "patternProperties that overlap": {
        "type": "object",
        "patternProperties": {"^x": INTEGER, "y$": STRING},
    },
    "negative length": {"type": "string", "minLength": -1},
    "no schema": {"type": "object", "properties": {"a": 3}},
}
"""Schemas that cannot be satisfied, or that cannot be enforced."""
