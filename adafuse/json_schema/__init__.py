"""JSON schemas as a grammar can hold answers to them: bounded, checked and written anew.

A weak model can go on with a string, a list or a row of digits until its tokens run out. A bounded
schema accepts less than the original, and never anything else; what cannot be made sure of is
refused. Plain values; knows no grammar.

    patterns, formats, numbers   what every reader takes alike
    references   the parts of a schema, by pointer
    keywords     which there are, and what their values must be
    options      what may hold together
    merging      what that asks of a value of each type
    values       whether a value fits, whether two options are apart
    scalars, containers, places   the forms in which a value may be written
    writing      all of them as one schema
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.json_schema.alternatives import Reader
from adafuse.json_schema.emit import Writer
from adafuse.json_schema.nodes import Form, Leaf, ObjectForm
from adafuse.json_schema.pointers import Document, SchemaError

__all__ = ["Bounded", "SchemaError", "bounded"]

_CHARACTERS_PER_TOKEN = 4
_SHORTEST_LIMIT = 32  # characters that every string may have


@dataclass(frozen=True, slots=True)
class Bounded:
    """A schema that accepts part of what another one does.

    Attributes:
        schema: of plain parts, for the grammar.
        suspects: small schemas that the grammar library may still refuse, each with the keyword
            and the pointer that are to blame then.
    """

    schema: dict[str, Any]
    suspects: tuple[tuple[dict[str, Any], str, str], ...]


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
        strings = sum(isinstance(one, Leaf) and one.shortest is not None for one in writer.forms)
        share = _CHARACTERS_PER_TOKEN * tokens // max(strings, 1)
        made = writer.write(max(share, _SHORTEST_LIMIT))
    except RecursionError:
        raise SchemaError(None, "", "it is nested too deeply; make it flatter") from None
    return Bounded(made, tuple(one for form in writer.forms for one in _suspects(form)))


def _suspects(form: Form) -> Iterator[tuple[dict[str, Any], str, str]]:
    if isinstance(form, Leaf):
        for keyword, _, pointer in form.regexes:
            yield form.schema, keyword, pointer
    elif isinstance(form, ObjectForm) and form.patterns:
        schema = {"type": "object", "patternProperties": dict.fromkeys(form.patterns, True)}
        yield schema, "patternProperties", form.where
