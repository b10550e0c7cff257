"""Giving bounds to what a JSON schema leaves unbounded.

A weak model can go on with a string, a list or a row of digits until its tokens run out. A bounded
schema accepts less than the original, and never anything else. Plain values; knows no grammar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["bounded"]

_CHARACTERS_PER_TOKEN = 4
_SHORTEST_LIMIT = 32  # characters that every string may have
_MOST_ITEMS = 16
_LARGEST = 10**15 - 1  # exact as a float, so every reader agrees on it
_DEPTH = 3  # levels of a value of which the schema says nothing

_OBJECT = (
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "minProperties",
    "maxProperties",
)
_ARRAY = ("items", "prefixItems", "minItems", "maxItems")
_STRING = ("minLength", "maxLength", "pattern", "format")
_NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_KINDS = {"object": _OBJECT, "array": _ARRAY, "string": _STRING, "number": _NUMBER}
_FIXED = ("enum", "const")
_IN_PLACE = ("allOf", "anyOf", "oneOf")  # applied to the same value as the schema they stand in
_KEYWORDS = {*_OBJECT, *_ARRAY, *_STRING, *_NUMBER, *_FIXED, *_IN_PLACE, "type", "$ref"}
_DEFINITIONS = ("$defs", "definitions")


def bounded(schema: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """A schema that accepts part of what `schema` does, and nothing that is endless.

    Strings get an equal share of the characters that `tokens` make, lists 16 items, numbers 15
    digits before the point, objects their listed properties only. Bounds that the schema has are
    kept.
    """
    strings = sum(1 for one in _every(schema) if _is_open_string(one))
    share = _CHARACTERS_PER_TOKEN * tokens // max(strings, 1)
    limits = _Bounds(max(share, _SHORTEST_LIMIT), _mixed_in(schema))
    made: dict[str, Any] = limits.of(dict(schema), alone=True)
    return made


class _Bounds:
    """The limits for one schema, and the definitions that must stay open in it."""

    def __init__(self, characters: int, mixed_in: set[str]) -> None:
        self._characters = characters
        self._mixed_in = mixed_in

    def of(self, schema: Any, *, alone: bool) -> Any:
        """Bound a schema; `alone` says that no other one applies to the same value."""
        if schema is True or (isinstance(schema, dict) and not _KEYWORDS & schema.keys()):
            notes = schema if isinstance(schema, dict) else {}
            return {**notes, **self._anything(_DEPTH)} if alone else schema
        if not isinstance(schema, dict):
            return schema
        made = dict(schema)
        for name in _DEFINITIONS:
            if isinstance(made.get(name), dict):
                made[name] = {
                    key: self.of(one, alone=f"#/{name}/{key}" not in self._mixed_in)
                    for key, one in made[name].items()
                }
        siblings = _KEYWORDS & made.keys()
        for name in _IN_PLACE:
            if isinstance(made.get(name), list):
                only = alone and siblings == {name} and name != "allOf"
                made[name] = [self.of(one, alone=only) for one in made[name]]
        if not any(name in made for name in (*_FIXED, "$ref")):
            self._bound_kinds(made, alone)
        return made

    def _bound_kinds(self, made: dict[str, Any], alone: bool) -> None:
        kinds = _kinds(made)
        if "string" in kinds and "maxLength" not in made:
            made["maxLength"] = max(self._characters, made.get("minLength", 0))
        if kinds & {"number", "integer"}:
            _bound_number(made)
        if "array" in kinds:
            self._bound_array(made)
        if "object" in kinds:
            self._bound_object(made, alone)
        if "type" not in made and kinds:
            made["type"] = next(kind for kind in _KINDS if kind in kinds)

    def _bound_array(self, made: dict[str, Any]) -> None:
        first = made.get("prefixItems")
        if isinstance(first, list):
            made["prefixItems"] = [self.of(one, alone=True) for one in first]
        made["items"] = self.of(made.get("items", True), alone=True)
        least = max(made.get("minItems", 0), len(first or ()))
        made.setdefault("maxItems", max(_MOST_ITEMS, least))

    def _bound_object(self, made: dict[str, Any], alone: bool) -> None:
        for name in ("properties", "patternProperties"):
            if isinstance(made.get(name), dict):
                made[name] = {k: self.of(one, alone=True) for k, one in made[name].items()}
        if isinstance(made.get("additionalProperties"), dict | bool):
            made["additionalProperties"] = self.of(made["additionalProperties"], alone=True)
        elif not alone:
            return
        elif made.get("properties") or made.get("patternProperties"):
            listed = set(made.get("properties", ()))
            if listed.issuperset(made.get("required", ())) and "minProperties" not in made:
                made["additionalProperties"] = False
        else:
            made["additionalProperties"] = self._anything(_DEPTH - 1)
        if alone and not made.get("properties") and not made.get("patternProperties"):
            least = max(made.get("minProperties", 0), len(made.get("required", ())))
            made.setdefault("maxProperties", max(_MOST_ITEMS, least))

    def _anything(self, depth: int) -> dict[str, Any]:
        """Any JSON value of at most so many levels."""
        number = {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST}
        kinds: list[dict[str, Any]] = [
            {"type": "string", "maxLength": self._characters},
            number,
            {"type": "boolean"},
            {"type": "null"},
        ]
        if depth > 1:
            inner = self._anything(depth - 1)
            kinds += [
                {"type": "array", "items": inner, "maxItems": _MOST_ITEMS},
                {"type": "object", "additionalProperties": inner, "maxProperties": _MOST_ITEMS},
            ]
        return {"anyOf": kinds}


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema names, or that its keywords are about."""
    given = schema.get("type")
    if given is not None:
        return set(given) if isinstance(given, list) else {given}
    if any(name in schema for name in _IN_PLACE):
        return set()
    return {kind for kind, names in _KINDS.items() if any(name in schema for name in names)}


def _bound_number(made: dict[str, Any]) -> None:
    low = made.get("minimum", made.get("exclusiveMinimum"))
    high = made.get("maximum", made.get("exclusiveMaximum"))
    if low is None:
        made["minimum"] = -_LARGEST if high is None else min(-_LARGEST, int(high) - _LARGEST)
    if high is None:
        made["maximum"] = _LARGEST if low is None else max(_LARGEST, int(low) + _LARGEST)


def _is_open_string(schema: Mapping[str, Any]) -> bool:
    fixed = any(name in schema for name in (*_FIXED, "maxLength"))
    return "string" in _kinds(schema) and not fixed


def _every(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a schema, which may be more than its subschemas."""
    if isinstance(schema, Mapping):
        yield schema
    inner = schema.values() if isinstance(schema, Mapping) else schema
    if isinstance(schema, Mapping | list):
        for one in inner:
            yield from _every(one)


def _mixed_in(schema: Any) -> set[str]:
    """Definitions that apply beside other schemas: closing them would forbid the others' keys."""
    found: set[str] = set()
    for one in _every(schema):
        combined = [*one.get("allOf", ())] if isinstance(one.get("allOf"), list) else []
        if len(_KEYWORDS & one.keys()) > 1:
            combined.append({"$ref": one.get("$ref")})
            for name in ("anyOf", "oneOf"):
                combined += one[name] if isinstance(one.get(name), list) else []
        found.update(
            part["$ref"]
            for part in combined
            if isinstance(part, dict) and isinstance(part.get("$ref"), str)
        )
    return found
