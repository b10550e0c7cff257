"""The keywords of JSON Schema: which are enforced, and which are refused by name.

What is in no list here is a note to the reader (`title`, `deprecated`, `discriminator`, `x-…`), as
JSON Schema has it; but not what is spelt nearly as a keyword is, which nobody would follow.
"""

from __future__ import annotations

import difflib
import functools
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
# Read beside another keyword, or a note of somebody's that is nearly spelt as a keyword.
_NOTED = {
    *("then", "else", "minContains", "maxContains", "definitions"),
    *("formatMinimum", "formatMaximum", "formats", "multiple", "propertyName", "types"),
}
_NEAR = 0.84  # of two names, as difflib compares them
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
    """Refuse keywords that cannot be enforced, and what only looks like one."""
    for name in schema.keys() - _CHECKED - _NOTED:
        if (meant := _meant(name)) is not None:
            raise SchemaError(name, pointer, f"is no keyword; did you mean {meant!r}?")
    for keyword, (harmless, instead) in _REFUSED.items():
        if keyword in schema and not harmless(schema[keyword], schema):
            raise SchemaError(keyword, pointer, f"cannot be enforced; {instead}")


@functools.lru_cache(maxsize=4096)
def _meant(name: str) -> str | None:
    """The keyword that a name is nearly spelt as, if there is one."""
    if name.startswith(("x-", "$")):
        return None
    by_letters = {_letters(keyword): keyword for keyword in _CHECKED if not keyword.startswith("$")}
    near = difflib.get_close_matches(_letters(name), by_letters, n=1, cutoff=_NEAR)
    return by_letters[near[0]] if near else None


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


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
