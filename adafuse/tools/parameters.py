"""The parameters of a tool as a schema of an object, in the form that templates show.

Templates look for "properties" at the top, and Pydantic's schema of a class that holds itself has
nothing there but a reference. Knows no keyword but those that say what is meant elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adafuse.errors import PromptError
from adafuse.validation import show

__all__ = ["inlined", "object_schema"]

_NOTES = ("title", "description", "$defs", "definitions", "$schema")

_COMBINING = ("allOf", "anyOf", "oneOf", "$ref")
_MOST_STEPS = 100  # of references at the top


def object_schema(where: str, schema: object) -> dict[str, Any]:
    """The schema of a call's arguments, with "type" and "properties" at its top.

    What it says stays the same: a reference at its top is put in place, as far as that can be done.

    Raises:
        PromptError: it is no schema, or one of something else than an object.
    """
    if schema is None:
        schema = {}
    if not isinstance(schema, Mapping):
        raise PromptError(f"{where} must have a JSON schema as 'parameters'")
    found: dict[str, Any] = dict(schema)
    for _ in range(_MOST_STEPS):
        if (opened := _opened(found)) is None:
            break
        found = opened
    kind = found.get("type", "object")
    kinds = kind if isinstance(kind, list | tuple) else (kind,)
    if "object" not in kinds:
        raise PromptError(
            f"{where} has parameters of 'type' {show(kind)}; a call names its arguments, so they "
            "must be of 'type' 'object', with 'properties'"
        )
    properties = found.get("properties", {})
    if not isinstance(properties, Mapping):
        raise PromptError(f"{where} must have a mapping as 'properties', not {show(properties)}")
    if not {"additionalProperties", "patternProperties", *_COMBINING} & found.keys():
        required = found.get("required")
        for name in required if isinstance(required, list | tuple) else ():
            if isinstance(name, str) and name not in properties:
                properties = {**properties, name: {}}  # it must be there, whatever it is
    return {**found, "type": "object", "properties": properties}


def _opened(schema: dict[str, Any]) -> dict[str, Any] | None:
    """A schema with what its top leads to in place of that; None if it stays as it is."""
    inner: Any = None
    if "$ref" in schema:
        inner, rest = _target(schema, schema["$ref"]), _without(schema, "$ref")
    elif isinstance(parts := schema.get("allOf"), list) and len(parts) == 1:
        inner, rest = parts[0], _without(schema, "allOf")
    if not isinstance(inner, Mapping) or inner is schema or "$id" in inner:
        return None
    both = (inner.keys() & rest.keys()) - set(_NOTES)
    if any(inner[name] != rest[name] for name in both):
        return None
    return {**inner, **rest}


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != name}


def _target(root: Mapping[str, Any], reference: object) -> Any:
    """What a reference within the schema leads to; None if that is no pointer into it."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    part: Any = root
    for step in reference[2:].split("/"):
        if not isinstance(part, Mapping):
            return None
        part = part.get(step.replace("~1", "/").replace("~0", "~"))
    return part


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with its parts where they are referred to, as members read it best.

    A reference that leads back to where it stands stays, with the definitions.
    """
    kept: set[str] = set()
    whole = _inlined(schema, schema, (), kept)
    return whole if kept else {k: v for k, v in whole.items() if k not in ("$defs", "definitions")}


def _inlined(part: Any, root: Mapping[str, Any], around: tuple[str, ...], kept: set[str]) -> Any:
    if isinstance(part, list):
        return [_inlined(inner, root, around, kept) for inner in part]
    if not isinstance(part, Mapping):
        return part
    reference = part.get("$ref")
    target = _target(root, reference)
    rest = {
        key: value if part is root and key in ("$defs", "definitions") else
        _inlined(value, root, around, kept)
        for key, value in part.items()
    }  # fmt: skip
    if not isinstance(reference, str):
        return rest
    if not isinstance(target, Mapping) or reference in around:
        kept.add(reference)
        return rest
    found = _inlined(target, root, (*around, reference), kept)
    del rest["$ref"]
    return {**found, **rest}
