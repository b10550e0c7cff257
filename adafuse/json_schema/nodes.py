"""The forms that a value may be written in, each of one type, and what they have in common.

A form holds less than what its schema accepts, and never anything else: strings, lists, objects and
numbers have an end. Knows no grammar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adafuse.json_schema.alternatives import Place
from adafuse.json_schema.intersection import Meaning
from adafuse.json_schema.pointers import SchemaError

__all__ = [
    "ANYTHING",
    "MOST_COUNT",
    "MOST_ITEMS",
    "EmptyFormError",
    "Form",
    "Leaf",
    "ListForm",
    "ObjectForm",
    "Spot",
    "blamed",
    "capped",
]

Spot = Place | int
"""Where a value stands: schemas that it must match, or anything of at most so many levels."""

ANYTHING = 3
"""Levels of a value of which the schema says nothing."""

MOST_ITEMS = 16
"""Of a list, or an object of free names, that has no end of its own."""

MOST_COUNT = 10**6
"""Characters, items or properties; no answer has more."""


@dataclass(slots=True)
class Leaf:
    """A value without parts.

    Attributes:
        schema: what it is, for the grammar.
        shortest: characters that a string without an end must be allowed; None: it has an end.
        regexes: what is searched for in it, each with the keyword and pointer it comes from.
    """

    schema: dict[str, Any]
    shortest: int | None = None
    regexes: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class ListForm:
    """A list: its first items, and what the others are; None if there are none."""

    first: list[Spot]
    rest: Spot | None
    least: int
    most: int


@dataclass(slots=True)
class ObjectForm:
    """An object: named properties, those whose name matches a regex, others; as for a list.

    Attributes:
        covered: names of which a regex that they match says all there is to say.
        where: the pointer of a part that has "patternProperties".
    """

    names: dict[str, Spot]
    required: set[str]
    patterns: dict[str, Spot]
    rest: Spot | None
    least: int = 0
    most: int | None = None
    covered: set[str] = field(default_factory=set)
    where: str = ""


Form = Leaf | ListForm | ObjectForm


class EmptyFormError(Exception):
    """Nothing can be written in a form; the schema may have others.

    Args:
        blame: a keyword, and the pointer of the part that has it.
        why: nothing fits.
    """

    def __init__(self, blame: tuple[str, str], why: str) -> None:
        super().__init__(why)
        self.problem = SchemaError(*blame, why)


def blamed(meaning: Meaning, *keywords: str) -> tuple[str, str]:
    """The first of some keywords that is there, and the pointer of the part that has it."""
    found = ((keyword, at) for keyword in keywords for at, _ in meaning.given(keyword))
    return next(found, (keywords[0], meaning.option.parts[0]))


def capped(least: int, most: int | None, meaning: Meaning, keywords: tuple[str, str]) -> int | None:
    """The upper of two counts, no greater than can be followed.

    Args:
        keywords: the names of the lower and the upper count.

    Raises:
        EmptyFormError: nothing has at least the one and at most the other.
    """
    if most is not None and least > most:
        raise EmptyFormError(
            blamed(meaning, *keywords), f"asks for at least {least} and at most {most}"
        )
    if least > MOST_COUNT:
        raise EmptyFormError(blamed(meaning, *keywords), "asks for more than any answer can hold")
    return None if most is None else min(most, MOST_COUNT)
