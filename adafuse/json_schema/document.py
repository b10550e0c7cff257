"""Finding the parts of a schema: by JSON pointer, and by what a `$ref` says.

`referencing` resolves references, within the document only: nothing is fetched. Knows no keyword
but those that hold what is no schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

__all__ = ["Document", "EmptySchemaError", "SchemaError", "WrongSchemaError", "modern"]

_NO_SCHEMAS = ("const", "enum", "default", "examples", "example")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")  # hold schemas by name
_LONG = 200  # characters of a pointer, for messages


class SchemaError(ValueError):
    """A schema cannot be enforced.

    Args:
        keyword: which of its keywords is to blame; None for the schema as a whole.
        pointer: of the part that has it.
        why: and what to do.
    """

    def __init__(self, keyword: str | None, pointer: str, why: str) -> None:
        place = pointer if len(pointer) < _LONG else f"…{pointer[-_LONG:]}"
        message = f"{keyword!r} at {place or 'the top level'} {why}" if keyword else why
        super().__init__(" ".join(message.split()))
        self.keyword, self.pointer = keyword, pointer


class EmptySchemaError(SchemaError):
    """Nothing matches a part of a schema; the whole may have other ways."""


class WrongSchemaError(SchemaError):
    """It is no schema, whoever reads it."""


class Document:
    """A schema whose parts are known by where they stand.

    Args:
        root: the schema, in plain JSON values, of the shape of 2020-12.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        resource = DRAFT202012.create_resource(self.root)
        self.registry: Registry[Any] = Registry().with_resource(resource.id() or "", resource)
        self._base = resource.id() or ""
        resolver = self.registry.resolver_with_root(resource)
        self._places = {id(self.root): ("", resolver)}
        for pointer, part, above in _parts(self.root):
            resolver = self._places[above][1]
            if isinstance(part, dict) and isinstance(part.get("$id"), str) and pointer:
                resolver = resolver.in_subresource(DRAFT202012.create_resource(part))
            self._places[id(part)] = (pointer, resolver)

    def pointer(self, part: dict[str, Any]) -> str:
        """Where a part stands, such as "/properties/age"; "" is the whole."""
        return self._places[id(part)][0]

    def address(self, part: dict[str, Any]) -> str:
        """A `$ref` that means a part, in the registry."""
        return f"{self._base}#{quote(self.pointer(part))}"

    def target(self, part: dict[str, Any]) -> dict[str, Any] | bool:
        """What the `$ref` of a part means.

        Raises:
            SchemaError: there is no such schema in the document.
        """
        pointer, resolver = self._places[id(part)]
        try:
            target = resolver.lookup(part["$ref"]).contents
        except (Unresolvable, ValueError, TypeError, LookupError, AttributeError):
            target = None
        if isinstance(target, bool) or (isinstance(target, dict) and id(target) in self._places):
            return target
        why = f"is {part['$ref']!r}, which is no schema in this one; put it into '$defs'"
        raise WrongSchemaError("$ref", pointer, why)


def _parts(root: Any) -> Iterator[tuple[str, Any, int]]:
    """Every mapping and list that may hold a schema, outer ones first, with the one around it."""
    waiting = [("", root, id(root), False)]
    while waiting:
        pointer, part, above, is_named = waiting.pop()
        yield pointer, part, above
        inner = part.items() if isinstance(part, dict) else enumerate(part)
        waiting += [
            (
                f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}",
                value,
                id(part),
                key in _NAMED and not is_named,
            )
            for key, value in inner
            if isinstance(value, dict | list) and (is_named or key not in _NO_SCHEMAS)
        ]


def modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a schema, with the first items of lists where 2020-12 has them."""
    root: dict[str, Any] = json.loads(json.dumps(schema))
    for _, part, _ in _parts(root):
        if isinstance(part, dict) and isinstance(part.get("items"), list):
            part.setdefault("prefixItems", part.pop("items"))
            if "additionalItems" in part:
                part["items"] = part.pop("additionalItems")
    return root
