"""Whether a value is what a schema accepts, by `jsonschema`, in bounded time.

Knows no grammar, so it judges what came of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from adafuse.json_schema.document import Document, SchemaError, modern
from adafuse.json_schema.regexes import found

__all__ = ["Validation", "problem"]

_MOST_REFERENCES = 10_000  # that are followed for one value
_VALIDATORS = Draft202012Validator.VALIDATORS


class Validation:
    """The values that the parts of a document accept."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = _MOST_REFERENCES
        kind = extend(
            Draft202012Validator,
            {
                "$ref": self._reference,
                "multipleOf": _multiple_of,
                "pattern": _pattern,
                "patternProperties": _pattern_properties,
                "additionalProperties": _additional_properties,
            },
        )
        self._validator = kind(document.root, registry=document.registry)

    def accepts(self, part: dict[str, Any] | bool, value: Any) -> bool:
        """Whether a part of the document accepts a value; formats are notes here."""
        if isinstance(part, bool):
            return part
        return not self.problem(value, {"$ref": self._document.address(part)})

    def problem(self, value: Any, schema: dict[str, Any]) -> str:
        """Why a schema does not accept a value, in one line; empty if it does."""
        self._left = _MOST_REFERENCES
        error = next(self._validator.evolve(schema=schema).iter_errors(value), None)
        return "" if error is None else " ".join(error.message.split())

    def _reference(self, validator: Any, *args: Any) -> Any:
        self._left -= 1
        if not self._left:
            raise SchemaError("$ref", "", f"leads to over {_MOST_REFERENCES} schemas of one value")
        return _VALIDATORS["$ref"](validator, *args)


def problem(schema: Mapping[str, Any], text: str) -> str:
    """Why a text is not JSON that a schema accepts, in one line; empty if it is.

    What takes too long to check, or too deep a stack, is left to the grammar that it came from.
    """
    try:
        document = Document(modern(schema))
        return Validation(document).problem(json.loads(text), document.root)
    except json.JSONDecodeError as error:
        return str(error)
    except (SchemaError, RecursionError):
        return ""


def _multiple_of(_: Any, step: Any, value: Any, __: Any) -> Iterator[ValidationError]:
    """Whether a number is a multiple as it is written; as a float 8.1 is no multiple of 0.1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        ways = (Fraction(value) / Fraction(step), Fraction(repr(value)) / Fraction(repr(step)))
        if all(way.denominator > 1 for way in ways):
            yield ValidationError(f"{value} is not a multiple of {step}")


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, _: Any) -> Any:
    if isinstance(value, dict):
        for pattern, part in patterns.items():
            for name in value:
                if found(pattern, name):
                    yield from validator.descend(value[name], part, path=name)


def _additional_properties(validator: Any, part: Any, value: Any, schema: Any) -> Any:
    if isinstance(value, dict):
        patterns = schema.get("patternProperties", ())
        for name in value.keys() - schema.get("properties", {}).keys():
            if not any(found(pattern, name) for pattern in patterns):
                yield from validator.descend(value[name], part, path=name)
