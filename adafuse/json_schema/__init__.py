"""JSON schemas as a grammar can hold answers to them: bounded, and refused where that fails.

A weak model can go on with a string, a list or a row of digits until its tokens run out. A bounded
schema accepts less than the original, and never anything else; what cannot be made sure of is
refused. Plain values; knows no grammar.

    document     the parts of a schema, by pointer and by reference (`referencing`)
    keywords     which there are, and which are refused
    formats, regexes, numeric_bounds   what every reader takes alike
    scalars, arrays_objects   values of one type, with an end
    narrowing    all of them as one schema, for llguidance to merge
    validation   whether a value is what a schema accepts (`jsonschema`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.json_schema.document import Document, SchemaError, modern
from adafuse.json_schema.keywords import check_shapes
from adafuse.json_schema.narrowing import OVERLAPPING, Narrower
from adafuse.json_schema.validation import problem

__all__ = ["OVERLAPPING", "Bounded", "SchemaError", "bounded", "problem"]

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Bounded:
    """A schema that accepts part of what another one does.

    Attributes:
        schema: of plain parts, for the grammar.
        suspects: parts of it that the grammar library may still refuse, each with the keyword and
            the pointer that are to blame then.
        proofs: schemas that it must not refuse, or a `oneOf` (of that pointer) may hold twice.
    """

    schema: dict[str, Any]
    suspects: tuple[tuple[dict[str, Any], str, str], ...]
    proofs: tuple[tuple[dict[str, Any], str], ...]


def bounded(schema: Mapping[str, Any], tokens: int) -> Bounded:
    """Bound a schema, in plain JSON values, so that whatever it accepts has an end.

    Strings get an equal share of the characters that `tokens` make, lists 16 items, numbers 15
    digits before the point, objects their listed properties only, a schema within itself 40 rounds.
    Bounds that the schema has are kept.

    Raises:
        SchemaError: a keyword cannot be enforced, or nothing matches the schema.
    """
    try:
        root = modern(schema)
        check_shapes(root)
        narrower = Narrower(Document(root), _CHARACTERS_PER_TOKEN * tokens)
    except RecursionError:
        raise SchemaError(None, "", "it is nested too deeply; make it flatter") from None
    return Bounded(narrower.schema, tuple(narrower.suspects), tuple(narrower.proofs))
