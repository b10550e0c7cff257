"""What an option asks of a value of each type: the keywords of its parts, taken together.

Nothing is narrowed here: this is what JSON Schema says. Knows no grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Self

from adafuse.json_schema.alternatives import Option, Place, Reader
from adafuse.json_schema.formats import FORMATS, UNENFORCEABLE
from adafuse.json_schema.keywords import KINDS
from adafuse.json_schema.numeric_bounds import common_step, lower_bound, upper_bound
from adafuse.json_schema.pointers import SchemaError, child
from adafuse.json_schema.regex_search import found

__all__ = ["Items", "Meaning", "Names", "Range", "Text", "identity", "whole"]


@dataclass(slots=True)
class Range:
    """A number: at least `low`, at most `high`, a multiple of `step`."""

    low: Decimal | None = None
    high: Decimal | None = None
    step: Fraction | None = None


@dataclass(slots=True)
class Text:
    """A string: its length, and the regexes that are found in it, of its own and of formats."""

    least: int = 0
    most: int | None = None
    patterns: list[tuple[str, str]] = field(default_factory=list)  # with the pointer of its schema
    formats: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Items:
    """A list: what its first items are, what the rest is if that is said, and how many."""

    first: list[Place]
    rest: Place | None
    least: int
    most: int | None


@dataclass(slots=True)
class Names:
    """An object: its named properties, those that match a regex, the rest, and how many.

    `rest` is None where nothing is said of it, and `names` holds every required name.
    """

    names: dict[str, Place]
    required: set[str]
    patterns: dict[str, Place]
    rest: Place | None
    least: int
    most: int | None
    each: Place = ()  # what every name must match


class Meaning:
    """What one option of a schema means.

    Args:
        reader: of the schema.
        option: of it.
    """

    @classmethod
    def of(cls, reader: Reader, option: Option) -> Self:
        """The meaning of an option; the same one for the same parts."""
        known: dict[tuple[str, ...], Self] = reader.meanings
        if option.parts not in known:
            known[option.parts] = cls(reader, option)
        return known[option.parts]

    def __init__(self, reader: Reader, option: Option) -> None:
        self.option = option
        self._reader = reader
        self._schemas = [(pointer, reader.document.at(pointer)) for pointer in option.parts]

    def given(self, keyword: str) -> Iterator[tuple[str, Any]]:
        """The values of a keyword, each with the pointer of its schema."""
        return ((at, schema[keyword]) for at, schema in self._schemas if keyword in schema)

    @cached_property
    def types(self) -> set[str] | None:
        """The types that are named; None if none is. An integer is no "number" here."""
        found: set[str] | None = None
        for _, value in self.given("type"):
            named = set(value) if isinstance(value, list) else {value}
            named |= {"integer"} if "number" in named else set()
            found = named if found is None else found & named
        return found

    @cached_property
    def about(self) -> set[str]:
        """The types that the keywords are about."""
        return {
            kind
            for kind, keywords in KINDS.items()
            for _, schema in self._schemas
            if any(keyword in schema for keyword in keywords)
        }

    @cached_property
    def values(self) -> list[Any] | None:
        """The values that are listed; None if none are."""
        lists = [values for _, values in self.given("enum")]
        lists += [[value] for _, value in self.given("const")]
        if not lists:
            return None
        others = [{identity(value) for value in values} for values in lists]
        first = {identity(value): value for value in lists[0]}
        return [value for key, value in first.items() if all(key in other for other in others)]

    @cached_property
    def identities(self) -> frozenset[str]:
        """Of the values that are listed."""
        return frozenset(identity(value) for value in self.values or ())

    def number(self, *, whole: bool) -> Range:
        """What a number must be, of bounds that every reader takes alike."""
        lows = [
            lower_bound(value, exclusive=exclusive, whole=whole)
            for keyword, exclusive in (("minimum", False), ("exclusiveMinimum", True))
            for _, value in self.given(keyword)
        ]
        highs = [
            upper_bound(value, exclusive=exclusive, whole=whole)
            for keyword, exclusive in (("maximum", False), ("exclusiveMaximum", True))
            for _, value in self.given(keyword)
        ]
        step = common_step([value for _, value in self.given("multipleOf")], whole=whole)
        return Range(max(lows, default=None), min(highs, default=None), step)

    def text(self) -> Text:
        """What a string must be."""
        formats = []
        for pointer, name in self.given("format"):
            if name in UNENFORCEABLE:
                raise SchemaError("format", pointer, f"{name!r} cannot be enforced; leave it out")
            if name in FORMATS:
                formats.append((FORMATS[name], pointer))
        patterns = [(value, pointer) for pointer, value in self.given("pattern")]
        return Text(*self._counts("minLength", "maxLength"), patterns, formats)

    def items(self) -> Items:
        """What a list must be."""
        ways = [_item_places(pointer, schema) for pointer, schema in self._schemas]
        length = max((len(first) for first, _ in ways), default=0)
        first = [
            self._reader.joined(way[0][at] if at < len(way[0]) else way[1] for way in ways)
            for at in range(length)
        ]
        said = [rest for _, rest in ways if rest]
        if not said:
            said = [(child(at, "unevaluatedItems"),) for at, _ in self.given("unevaluatedItems")]
        rest = self._reader.joined(said) if said else None
        return Items(first, rest, *self._counts("minItems", "maxItems"))

    def names(self) -> Names:
        """What an object must be."""
        required = {name for _, names in self.given("required") for name in names}
        listed = [name for _, names in self.given("properties") for name in names]
        listed += [name for _, names in self.given("required") for name in names]
        patterns = [pattern for _, names in self.given("patternProperties") for pattern in names]
        extra = [
            (child(at, "additionalProperties"),) for at, _ in self.given("additionalProperties")
        ]
        if not extra:
            keyword = "unevaluatedProperties"
            extra = [(child(at, keyword),) for at, _ in self.given(keyword)]
        each = [(child(at, "propertyNames"),) for at, _ in self.given("propertyNames")]
        return Names(
            {name: self._named(name) for name in dict.fromkeys(listed)},
            required,
            {pattern: self._matching(pattern) for pattern in dict.fromkeys(patterns)},
            self._reader.joined(extra) if extra else None,
            *self._counts("minProperties", "maxProperties"),
            self._reader.joined(each),
        )

    def _named(self, name: str) -> Place:
        """What the property of a name must match."""
        found: list[Place] = []
        for pointer, schema in self._schemas:
            listed = name in schema.get("properties", {})
            here: list[Place] = [(child(pointer, "properties", name),)] if listed else []
            here += [
                (child(pointer, "patternProperties", pattern),)
                for pattern in schema.get("patternProperties", {})
                if _found(pattern, name, pointer)
            ]
            if not here and "additionalProperties" in schema:
                here = [(child(pointer, "additionalProperties"),)]
            found += here
        keyword = "unevaluatedProperties"
        rest: list[Place] = [(child(at, keyword),) for at, _ in self.given(keyword)]
        return self._reader.joined(found or rest)

    def _matching(self, pattern: str) -> Place:
        """What a property of no listed name must match, if its name matches a regex."""
        found: list[Place] = []
        for pointer, schema in self._schemas:
            if pattern in schema.get("patternProperties", {}):
                found.append((child(pointer, "patternProperties", pattern),))
            elif "additionalProperties" in schema:
                found.append((child(pointer, "additionalProperties"),))
        return self._reader.joined(found)

    def _counts(self, least: str, most: str) -> tuple[int, int | None]:
        lows = (int(value) for _, value in self.given(least))
        highs = (int(value) for _, value in self.given(most))
        return max(lows, default=0), min(highs, default=None)


def identity(value: Any) -> str:
    """The same text for values that JSON Schema takes to be equal, and for no others."""
    return json.dumps(whole(value), sort_keys=True)


def whole(value: Any) -> Any:
    """A value with integers for floats that are whole."""
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _item_places(pointer: str, schema: dict[str, Any]) -> tuple[list[Place], Place]:
    """What a schema says of the first items, and of the rest; nothing is ()."""
    keyword, rest = "prefixItems", "items"
    if isinstance(schema.get("items"), list):  # as drafts before 2020-12 have it
        if "prefixItems" in schema:
            raise SchemaError("items", pointer, "must be a schema beside 'prefixItems'")
        keyword, rest = "items", "additionalItems"
    first: list[Place] = [
        (child(pointer, keyword, at),) for at in range(len(schema.get(keyword, [])))
    ]
    return first, (child(pointer, rest),) if rest in schema else ()


def _found(pattern: str, name: str, pointer: str) -> bool:
    try:
        return found(pattern, name)
    except (re.error, OverflowError, RecursionError) as error:
        why = f"has {pattern!r}, which Python cannot read ({error})"
        raise SchemaError("patternProperties", pointer, why) from None
