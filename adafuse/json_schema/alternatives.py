"""Whether two schemas of a `oneOf` can be told apart, whatever is written for the one.

Careful: where it cannot tell, it says no. Knows no grammar.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from adafuse.json_schema.document import Document
from adafuse.json_schema.keywords import LISTING, says_nothing, types_of
from adafuse.json_schema.validation import Validation

__all__ = ["Comparison"]

_DEEPEST = 4  # levels of properties by which schemas may be told apart
_EVERY = {"null", "boolean", "number", "string", "array", "object"}
_OPEN = {"additionalProperties", "patternProperties", "propertyNames", "allOf", "anyOf", "oneOf"}

Schema = dict[str, Any] | bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares schemas of one value.

    Attributes:
        names: of properties that are written whether a schema lists them or not.
    """

    document: Document
    validation: Validation
    names: Collection[str] = ()

    def apart(self, first: Schema, second: Schema) -> bool:
        """Whether no value that is written for one schema matches the other, and vice versa."""
        return self._excludes(first, second, 0) and self._excludes(second, first, 0)

    def _excludes(self, written: Schema, other: Schema, depth: int) -> bool:
        """Whether no value that is written for the first schema matches the second."""
        written, other = self._behind(written), self._behind(other)
        if isinstance(written, bool) or isinstance(other, bool):
            return written is False or other is False
        for listing in (written, other):
            if listing.keys() & set(LISTING):
                values = listing["enum"] if "enum" in listing else [listing["const"]]
                accepts = self.validation.accepts
                return not any(accepts(written, one) and accepts(other, one) for one in values)
        shared = _types(written, guessed=True) & _types(other)
        if shared == {"object"}:
            return self._objects_exclude(written, other, depth)
        return not shared

    def _behind(self, schema: Schema) -> Schema:
        """What a reference leads to that says all there is to say."""
        seen = set()
        while isinstance(schema, dict) and "$ref" in schema and id(schema) not in seen:
            if not says_nothing({name: schema[name] for name in schema if name != "$ref"}):
                break
            seen.add(id(schema))
            schema = self.document.target(schema)
        return schema

    def _objects_exclude(self, written: Any, other: Any, depth: int) -> bool:
        """Whether a property that one of them must have cannot be right for the other."""
        mine, theirs = written.get("properties", {}), other.get("properties", {})
        always = written.get("required", [])
        for name in dict.fromkeys((*always, *other.get("required", []))):
            if name in mine and name in theirs:
                if depth < _DEEPEST and self._excludes(mine[name], theirs[name], depth + 1):
                    return True
            elif mine and name not in {*mine, *always, *(() if depth else self.names)}:
                if not _OPEN & written.keys():
                    return True  # it is never written
        return False


def _types(schema: dict[str, Any], *, guessed: bool = False) -> set[str]:
    types = types_of(schema, guessed=guessed) or _EVERY
    return {"number" if name == "integer" else name for name in types}
