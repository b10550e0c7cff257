"""The forms of the value at a place of a schema: one for each option and type. Knows no grammar."""

from __future__ import annotations

from collections.abc import Iterator

from adafuse.json_schema.alternatives import Option, Reader
from adafuse.json_schema.arrays_objects import FREE_NAME, list_form, object_form
from adafuse.json_schema.intersection import Meaning
from adafuse.json_schema.nodes import (
    ANYTHING,
    MOST_ITEMS,
    EmptyFormError,
    Form,
    Leaf,
    ListForm,
    ObjectForm,
    Spot,
)
from adafuse.json_schema.pointers import SchemaError
from adafuse.json_schema.scalars import LARGEST, listed_form, number_form, string_form
from adafuse.json_schema.validation import apart

__all__ = ["forms_of", "spots_of"]

_ORDER = ("string", "number", "integer", "boolean", "null", "array", "object")
_EVERY = {"string", "number", "boolean", "null", "array", "object"}


def spots_of(form: Form) -> Iterator[Spot]:
    """Where the parts of a value of some form stand."""
    if isinstance(form, ListForm):
        yield from form.first
    elif isinstance(form, ObjectForm):
        yield from form.names.values()
        yield from form.patterns.values()
    if not isinstance(form, Leaf) and form.rest is not None:
        yield form.rest


def forms_of(reader: Reader, spot: Spot) -> tuple[list[Form], SchemaError | None]:
    """The forms of a value, and a reason if an option of it has none.

    Raises:
        SchemaError: a keyword cannot be enforced.
    """
    if isinstance(spot, int):
        return _anything(spot), None
    options = reader.options(spot)
    _check_apart(reader, options)
    if not all(option.parts for option in options):
        return _anything(ANYTHING), None
    found: list[Form] = []
    problem = None if options else SchemaError("false", spot[0], "allows nothing")
    for option in options:
        meaning = Meaning.of(reader, option)
        for kind in _kinds(meaning):
            try:
                found.append(_form(reader, meaning, kind))
            except EmptyFormError as empty:
                problem = empty.problem
        if not _kinds(meaning):
            problem = SchemaError("type", option.parts[0], "has no type that the others have")
    return found, problem


def _kinds(meaning: Meaning) -> list[str]:
    """The types that are written; "listed" for values that are, whatever their types."""
    if meaning.values is not None:
        return ["listed"]
    types = meaning.types
    if types is None:
        types = meaning.about or _EVERY
    return [
        kind for kind in _ORDER if kind in types and not (kind == "integer" and "number" in types)
    ]


def _form(reader: Reader, meaning: Meaning, kind: str) -> Form:
    match kind:
        case "listed":
            return listed_form(reader, meaning)
        case "string":
            return string_form(meaning)
        case "number" | "integer":
            return number_form(meaning, kind)
        case "array":
            return list_form(meaning)
        case "object":
            return object_form(reader, meaning)
    return Leaf({"type": kind})


def _anything(levels: int) -> list[Form]:
    """Any JSON value of at most so many levels."""
    found: list[Form] = [
        Leaf({"type": "string"}, shortest=0),
        Leaf({"type": "number", "minimum": -LARGEST, "maximum": LARGEST}),
        Leaf({"type": "boolean"}),
        Leaf({"type": "null"}),
    ]
    if levels > 1:
        found.append(ListForm([], levels - 1, 0, MOST_ITEMS))
        found.append(ObjectForm({}, set(), {FREE_NAME: levels - 1}, None, 0, MOST_ITEMS))
    return found


def _check_apart(reader: Reader, options: list[Option]) -> None:
    """Refuse a "oneOf" of which two options may hold at once."""
    choosing = [option for option in options if option.picks]
    for at, one in enumerate(choosing):
        for other in choosing[at + 1 :]:
            picks = dict(other.picks)
            for pointer, pick in one.picks:
                if picks.get(pointer, pick) != pick and not apart(reader, one, other):
                    why = (
                        f"has options {pick} and {picks[pointer]} that may both hold; use 'anyOf', "
                        "or a required property with another 'const' in each"
                    )
                    raise SchemaError("oneOf", pointer.rpartition("/")[0], why)
