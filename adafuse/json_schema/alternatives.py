"""What a schema may mean for one value: options, each a set of parts that hold together.

`allOf`, `$ref` and what stands beside them hold together; `anyOf`, `oneOf` choose. Knows no keyword
that says something of the value itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from adafuse.json_schema.keywords import COMBINING, KEYWORDS, OWN, check
from adafuse.json_schema.pointers import Document, SchemaError, child

__all__ = ["Option", "Place", "Reader"]

Place = tuple[str, ...]
"""Pointers of schemas that a value must all match; none of them: it may be anything."""

_EVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_MOST_OPTIONS = 500


@dataclass(frozen=True, slots=True)
class Option:
    """One way to match a schema.

    Attributes:
        parts: pointers of the schemas whose own keywords all hold.
        picks: of each `oneOf` on the way its pointer, and which of its schemas was taken.
    """

    parts: tuple[str, ...] = ()
    picks: tuple[tuple[str, int], ...] = ()


class Reader:
    """Reads one schema.

    Args:
        document: the schema.

    Attributes:
        meanings: what is known of options, by their parts; for `intersection`.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.meanings: dict[tuple[str, ...], Any] = {}
        self._known: dict[Place, list[Option]] = {}
        self._checked: set[str] = set()

    def options(self, place: Place) -> list[Option]:
        """The ways to match some schemas at once; none if nothing matches.

        Raises:
            SchemaError: a keyword cannot be enforced.
        """
        if place not in self._known:
            alone = self._alone(place)
            found = [Option()]
            seen: dict[str, list[Option]] = {}
            for pointer in place:
                found = _both(found, self._expand(pointer, (), alone, seen), "allOf", pointer)
            self._known[place] = found
        return self._known[place]

    def joined(self, places: Iterable[Place]) -> Place:
        """The place whose value matches all that those of some places match."""
        pointers = dict.fromkeys(pointer for place in places for pointer in place)
        return tuple(pointer for pointer in pointers if not self._is_silent(pointer))

    def _is_silent(self, pointer: str) -> bool:
        schema = self.document.at(pointer)
        if isinstance(schema, dict):
            return not schema.keys() & KEYWORDS
        return schema is True

    def _expand(
        self,
        pointer: str,
        above: tuple[str, ...],
        alone: str | None,
        seen: dict[str, list[Option]],
    ) -> list[Option]:
        """The ways to match one schema; `seen` has those that were read for the same place.

        Without it, schemas that name the next one twice would be read 2^n times.
        """
        if pointer not in seen:
            seen[pointer] = self._read(pointer, above, alone, seen)
        return seen[pointer]

    def _read(
        self,
        pointer: str,
        above: tuple[str, ...],
        alone: str | None,
        seen: dict[str, list[Option]],
    ) -> list[Option]:
        schema = self.document.at(pointer)
        if isinstance(schema, bool):
            return [Option()] if schema else []
        if pointer in above:
            raise SchemaError("$ref", pointer, "leads back to itself; let it lead to a schema")
        if pointer not in self._checked:
            check(schema, pointer)
            self._checked.add(pointer)
        for keyword in _EVALUATED:
            if pointer != alone and schema.get(keyword, True) is not True:
                why = "cannot be enforced in a part of a schema; put it beside 'properties'"
                raise SchemaError(keyword, pointer, why)
        above = (*above, pointer)
        found = [Option()]
        own = False
        for keyword in schema:
            more: list[Option]
            if keyword in OWN and not own:
                own, more = True, [Option((pointer,))]
            elif keyword == "$ref":
                target = self.document.target(schema["$ref"], pointer)
                more = self._expand(target, above, alone, seen)
            elif keyword in COMBINING:
                here = child(pointer, keyword)
                each = [
                    self._expand(child(here, at), above, alone, seen)
                    for at in range(len(schema[keyword]))
                ]
                more = _chosen(each, here, keyword, pointer)
            else:
                continue
            found = _both(found, more, keyword, pointer)
        return found

    def _alone(self, place: Place) -> str | None:
        """The schema that says everything of the value, if it is one."""
        pointer = place[0] if len(place) == 1 else None
        seen = set()
        while pointer is not None and pointer not in seen:
            seen.add(pointer)
            schema = self.document.at(pointer)
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                break
            if any(keyword in OWN or keyword in COMBINING for keyword in schema):
                break
            pointer = self.document.target(schema["$ref"], pointer)
        return pointer


def _chosen(each: list[list[Option]], here: str, keyword: str, pointer: str) -> list[Option]:
    if keyword == "allOf":
        found = [Option()]
        for options in each:
            found = _both(found, options, keyword, pointer)
        return found
    if keyword == "anyOf":
        return list(dict.fromkeys(option for options in each for option in options))
    return [
        Option(option.parts, ((here, at), *option.picks))
        for at, options in enumerate(each)
        for option in options
    ]


def _both(some: list[Option], others: list[Option], keyword: str, pointer: str) -> list[Option]:
    """Every option of the one with every option of the other."""
    if len(some) * len(others) > _MOST_OPTIONS:
        raise SchemaError(keyword, pointer, f"makes over {_MOST_OPTIONS} combinations; choose less")
    return [
        Option(
            tuple(dict.fromkeys((*one.parts, *other.parts))),
            tuple(dict.fromkeys((*one.picks, *other.picks))),
        )
        for one in some
        for other in others
    ]
