"""JSON schemas as a grammar can hold answers to them: bounded, checked and written anew.

A weak model can go on with a string, a list or a row of digits until its tokens run out. A bounded
schema accepts less than the original, and never anything else; what cannot be made sure of is
refused. Plain values; knows no grammar.

    references   the parts of a schema, by pointer
    keywords     which there are, and what their values must be
    options      what may hold together
    merging      what that asks of a value of each type
    values       whether a value fits, whether two options are apart
    scalars, containers, writing   what may be written
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.schemas.options import Reader
from adafuse.schemas.references import Document, SchemaError
from adafuse.schemas.writing import Writer

__all__ = ["Bounded", "SchemaError", "bounded"]

_CHARACTERS_PER_TOKEN = 4
_SHORTEST_LIMIT = 32  # characters that every string may have


@dataclass(frozen=True, slots=True)
class Bounded:
    """A schema that accepts part of what another one does.

    Attributes:
        schema: of plain parts, for the grammar.
        strings: schemas of single strings in it that a regex or a format bounds, each with the
            keyword and the pointer it comes from: what to blame if the grammar refuses one.
    """

    schema: dict[str, Any]
    strings: tuple[tuple[dict[str, Any], str, str], ...]


def bounded(schema: Mapping[str, Any], tokens: int) -> Bounded:
    """Bound a schema, in plain JSON values, so that whatever it accepts has an end.

    Strings get an equal share of the characters that `tokens` make, lists 16 items, numbers 15
    digits before the point, objects their listed properties only, a schema within itself 16 rounds.
    Bounds that the schema has are kept.

    Raises:
        SchemaError: a keyword cannot be enforced, or nothing matches the schema.
    """
    try:
        writer = Writer(Reader(Document(dict(schema))))
        strings = sum(leaf.shortest is not None for leaf in writer.leaves)
        share = _CHARACTERS_PER_TOKEN * tokens // max(strings, 1)
        made = writer.write(max(share, _SHORTEST_LIMIT))
    except RecursionError:
        raise SchemaError(None, "", "it is nested too deeply; make it flatter") from None
    found = ((leaf.schema, *regex[::2]) for leaf in writer.leaves for regex in leaf.regexes)
    return Bounded(made, tuple(found))
