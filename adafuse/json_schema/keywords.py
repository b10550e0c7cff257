"""The keywords of JSON Schema: which are enforced, and which are refused by name.

What is in no list here is a note to the reader (`title`, `deprecated`, `discriminator`, `x-…`), as
JSON Schema has it: a misspelt keyword is one too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonschema import Draft202012Validator

from adafuse.json_schema.document import SchemaError, WrongSchemaError

__all__ = ["COMBINING", "KINDS", "LISTING", "check_shapes", "refuse", "says_nothing", "types_of"]

KINDS: dict[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": (
        *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties"),
    ),
}
"""Keywords that say something of one type only."""

COMBINING = ("allOf", "anyOf", "oneOf")
LISTING = ("enum", "const")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")  # hold schemas by name
_OWN = {name for names in KINDS.values() for name in names} | {"type", *LISTING}

_REFUSED: dict[str, tuple[Callable[[Any, dict[str, Any]], bool], str]] = {
    # Each with when it says nothing.
    "not": (lambda value, _: value is False, "say what is allowed instead"),
    "if": (lambda _, schema: not {"then", "else"} & schema.keys(), "use 'anyOf'"),
    "contains": (
        lambda _, schema: schema.get("minContains") == 0 and "maxContains" not in schema,
        "use 'items' or 'prefixItems'",
    ),
    "uniqueItems": (
        lambda value, schema: not value or schema.get("maxItems", 2) <= 1,
        "take a list, not a set",
    ),
    "unevaluatedProperties": (lambda value, _: value is True, "use 'additionalProperties'"),
    "unevaluatedItems": (lambda value, _: value is True, "use 'items'"),
    "dependentRequired": (lambda value, _: not value, "use 'anyOf' with 'required'"),
    "dependentSchemas": (lambda value, _: not value, "use 'anyOf'"),
    "dependencies": (lambda value, _: not value, "use 'anyOf'"),
    "contentSchema": (lambda _, __: False, "take an object in place of its text"),
    "$dynamicRef": (lambda _, __: False, "use '$ref'"),
    "$recursiveRef": (lambda _, __: False, "use '$ref'"),
}


def check_shapes(root: dict[str, Any]) -> None:
    """Refuse values that a keyword may not have; what notes have does not matter."""
    validator = Draft202012Validator(
        Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    for error in validator.iter_errors(root):
        path = [str(step) for step in error.absolute_path]
        at = max((at for at, step in enumerate(path) if step in {*_CHECKED, *_NAMED}), default=-1)
        rest = list(error.absolute_path)[at + 1 :]
        if at >= 0 and not [step for step in rest[path[at] in _NAMED :] if isinstance(step, str)]:
            pointer = "".join(f"/{step}" for step in path[:at])
            message = error.message if len(error.message) < 200 else f"{error.message[:197]}..."
            raise WrongSchemaError(path[at], pointer, f"is wrong: {message}")


def refuse(schema: dict[str, Any], pointer: str) -> None:
    """Refuse keywords that cannot be enforced."""
    for keyword, (harmless, instead) in _REFUSED.items():
        if keyword in schema and not harmless(schema[keyword], schema):
            raise SchemaError(keyword, pointer, f"cannot be enforced; {instead}")


def says_nothing(schema: dict[str, Any] | bool) -> bool:
    """Whether a schema accepts everything."""
    return schema is True or (isinstance(schema, dict) and not schema.keys() & _CHECKED)


def types_of(schema: dict[str, Any], *, guessed: bool = False) -> set[str] | None:
    """The types that a schema names; None if it names none.

    Args:
        guessed: then those that its keywords are about, of which alone values are written.
    """
    types = schema.get("type")
    if types is not None:
        return {types} if isinstance(types, str) else set(types)
    about = {kind for kind, names in KINDS.items() if schema.keys() & set(names)}
    return about if guessed and about else None


_CHECKED = {*_OWN, *COMBINING, "$ref", *_REFUSED}
